package docjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

func TestMergePatch(t *testing.T) {
	for _, c := range [][3]string{
		// RFC 7396, appendix A.
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Order, numbers and strings stay as written; names compare decoded.
		{`{ "z" : 1.0e+07, "a": 12345678901234567890, "s":"\u00e9" }`, `{"n": 1.50, "a":null}`, `{"z":1.0e+07,"s":"\u00e9","n":1.50}`},
		{`{"\u0061":1}`, `{"a":2}`, `{"\u0061":2}`},
		{``, `{"a":{"b":null,"c":[null]}}`, `{"a":{"c":[null]}}`},
	} {
		got, err := docjson.MergePatch([]byte(c[0]), []byte(c[1]))
		if err != nil || string(got) != c[2] {
			t.Errorf("%s + %s: got %s, %v; want %s", c[0], c[1], got, err, c[2])
		}
	}
	for _, bad := range []string{`{`, `{"a":1,"a":2}`, `nope`} {
		if _, err := docjson.MergePatch([]byte(`{}`), []byte(bad)); err == nil {
			t.Errorf("%s passed", bad)
		}
	}
}

func TestMergeMetadata(t *testing.T) {
	for _, c := range [][3]string{{`{"a":1}`, ``, `{"a":1}`}, {`{"a":1}`, `null`, ``}, {`{"a":1}`, `{"a":null}`, ``}, {``, `{"a":1}`, `{"a":1}`}} {
		var patch []byte
		if c[1] != "" {
			patch = []byte(c[1])
		}
		got, err := docjson.MergeMetadata([]byte(c[0]), patch)
		if err != nil || string(got) != c[2] {
			t.Errorf("%s + %s: got %s, %v", c[0], c[1], got, err)
		}
	}
}

func TestParseMergePatch(t *testing.T) {
	title, metadata, err := docjson.ParseMergePatch([]byte(` {"title":"a\n","metadata":{ "a" : null }} `))
	if err != nil || title == nil || *title != "a\n" || string(metadata) != `{"a":null}` {
		t.Error(title, string(metadata), err)
	}
	title, metadata, err = docjson.ParseMergePatch([]byte(`{"title":null,"metadata":null}`))
	if err != nil || title == nil || *title != "" || string(metadata) != "null" {
		t.Error(title, string(metadata), err)
	}
	title, metadata, err = docjson.ParseMergePatch([]byte(`{"document_id":"x","metadata":{}}`), "document_id")
	if err != nil || title != nil || string(metadata) != "{}" {
		t.Error(title, string(metadata), err)
	}
	for src, field := range map[string]string{`{"titel":"x"}`: "titel", `{"metadata":1}`: "metadata", `{"title":1}`: "title", `{"title":"a","title":"b"}`: "title", `{"chunks":[]}`: "chunks"} {
		_, _, err := docjson.ParseMergePatch([]byte(src))
		if e := (*change.Error)(nil); !errors.As(err, &e) || e.Code != change.InvalidArgument || e.Field != field {
			t.Errorf("%s: %v", src, err)
		}
	}
	for _, src := range []string{``, `{`, `{"title":"x"`, `{"title":`, `{"title":"x"}x`, `[]`, `{"metadata":{`} {
		if _, _, err := docjson.ParseMergePatch([]byte(src)); err == nil {
			t.Errorf("%s passed", src)
		}
	}
}

// mergeReference is the algorithm of RFC 7396, section 2, on decoded values.
func mergeReference(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergeReference(t[k], v)
		}
	}
	return t
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1,"c":[1,2]},"d":"x"}`), []byte(`{"a":{"b":null,"e":{"f":null}},"d":1}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := docjson.MergePatch(doc, patch)
		if err != nil || len(doc) == 0 || len(patch) == 0 {
			return
		}
		var d, p, out any
		if json.Unmarshal(doc, &d) != nil || json.Unmarshal(patch, &p) != nil {
			return // numbers out of float64's range
		}
		if err := json.Unmarshal(got, &out); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if want := mergeReference(d, p); !reflect.DeepEqual(out, want) {
			t.Fatalf("%s + %s: got %s, want %v", doc, patch, got, want)
		}
	})
}
