package docjson

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/arrwdb/arrwdb/change"
)

// path names a member for people: "chunks[3].text".
func (p *parser) path(field string) string {
	switch {
	case p.chunk < 0:
		return field
	case field == "":
		return fmt.Sprintf("chunks[%d]", p.chunk)
	}
	return fmt.Sprintf("chunks[%d].%s", p.chunk, field)
}

func (p *parser) wrongType(field, right string) bool {
	kind := p.kind()
	if kind == "" {
		return p.unexpected("a value")
	}
	name := p.path(field)
	if name == "" {
		return p.fail(change.BadField("", "this is %s: %s", kind, right))
	}
	return p.fail(change.BadField(name, "%s is %s: %s", name, kind, right))
}

func (p *parser) twice(field string) bool {
	return p.fail(change.BadField(p.path(field), "%s is given twice", p.path(field)))
}

func (p *parser) unknown(name []byte, known []string) bool {
	return p.fail(unknownField(p.path(string(name)), string(name), known))
}

func unknownField(path, name string, known []string) *change.Error {
	hint := ""
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return change.BadField(path, "unknown field %s: known are %s%s", quote(name), strings.Join(known, ", "), hint)
}

// quote writes s for a message, cut where it is long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", bytes.ToValidUTF8([]byte(s[:most]), nil))
	}
	return fmt.Sprintf("%q", s)
}

// nearest returns the known name that s may have been meant to be.
func nearest(s string, known []string) string {
	best, name := 3, ""
	if len(s) > 32 {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(s), k); d < best && d < len(k) {
			best, name = d, k
		}
	}
	return name
}

// distance is the number of bytes to insert, remove or replace to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
