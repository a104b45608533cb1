package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// decodeStrict decodes one JSON value into v: malformed JSON is InvalidJSON with
// its place, an unknown field or a wrong type InvalidArgument with the field.
func decodeStrict(b []byte, v any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return change.Errorf(change.InvalidJSON, "the body is empty; a JSON object is expected")
	}
	// docjson bounds the depth and refuses doubled keys and invalid UTF-8.
	if _, err := docjson.Valid(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		if _, err := dec.Token(); err != io.EOF {
			return change.Errorf(change.InvalidJSON, "there is something behind the JSON value, at byte %d", dec.InputOffset())
		}
		return nil
	case errors.As(err, &syntax):
		return change.Errorf(change.InvalidJSON, "%v at byte %d", syntax, syntax.Offset).With("offset", syntax.Offset)
	case errors.As(err, &typ):
		field := typ.Field
		if field == "" {
			return change.BadField("body", "a JSON %s stands where %s is expected", typ.Value, jsonName(typ))
		}
		return change.BadField(field, "a JSON %s stands where %s is expected", typ.Value, jsonName(typ))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return change.BadField(clip(name), "unknown field %q", clip(name))
	}
	return change.Errorf(change.InvalidJSON, "%v", err)
}

func jsonName(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice":
		return "an array"
	case "struct", "map":
		return "an object"
	}
	return "a whole number"
}
