package docjson

import (
	"fmt"
	"math"
	"strconv"

	"github.com/arrwdb/arrwdb/change"
)

// A Search is a search as a client asks for it (API, section 6). A pointer is nil,
// and Has… false, where the member is absent or null. Strings and Filter are parts
// of the bytes that were parsed.
type Search struct {
	Query     string
	HasQuery  bool
	Embedding []float32
	K         *int
	Mode      string
	Filter    []byte // JSON
	Threshold *float64
	Ef        *int
	Exact     bool
	Include   []string // nil where absent
	Fusion    string
	Weight    *float64
	RRFK      *float64
	Highlight bool
}

var searchFields = []string{"query", "query_text", "embedding", "k", "mode", "filter", "distance_threshold", "ef", "exact",
	"include", "fusion", "vector_weight", "rrf_k", "highlight"}

// laterSearchFields are in the contract, and not in this build.
var laterSearchFields = []string{"offset", "group_by", "mmr", "positive", "negative", "explain", "space", "temperature", "seed"}

// ParseSearch reads a search from src. It checks the types of the members; what
// they mean together is the caller's to judge.
func ParseSearch(src []byte) (*Search, error) {
	var doc Document
	p := parser{scanner: scanner{src: src}, doc: &doc, lim: Limits{}.withDefaults(), chunk: -1}
	q := new(Search)
	if !p.search(q) {
		return nil, p.err
	}
	if len(p.spans) > 0 {
		q.Embedding = change.AppendFloats(make([]float32, 0, len(p.floats)/4), p.floats)
	}
	return q, nil
}

func (p *parser) search(q *Search) bool {
	if p.peek() != '{' {
		return p.wrongType("", `a search is a JSON object such as {"query":"…","k":10}`)
	}
	p.openObject()
	given := map[string]bool{}
	for first := true; ; first = false {
		raw, ok := p.key(first)
		if !ok {
			break
		}
		name := string(raw)
		if given[name] {
			return p.twice(name)
		}
		given[name] = true
		if p.null() {
			continue
		}
		if !p.searchField(q, name) {
			return false
		}
	}
	return p.err == nil && p.end()
}

func (p *parser) searchField(q *Search, name string) (ok bool) {
	switch name {
	case "query", "query_text":
		if q.HasQuery {
			return p.fail(change.BadField(name, `"query_text" is another name of "query": give one of them`))
		}
		q.Query, ok = p.text(name)
		q.HasQuery = true
	case "embedding":
		ok = p.embedding()
	case "k":
		q.K, ok = p.whole(name)
	case "ef":
		q.Ef, ok = p.whole(name)
	case "mode":
		q.Mode, ok = p.text(name)
	case "fusion":
		q.Fusion, ok = p.text(name)
	case "filter":
		start := p.i
		ok = p.value(0)
		q.Filter = p.src[start:p.i]
	case "distance_threshold":
		q.Threshold, ok = p.number(name)
	case "vector_weight":
		q.Weight, ok = p.number(name)
	case "rrf_k":
		q.RRFK, ok = p.number(name)
	case "exact":
		q.Exact, ok = p.boolean(name)
	case "highlight":
		q.Highlight, ok = p.boolean(name)
	case "include":
		q.Include, ok = p.words(name)
	default:
		for _, later := range laterSearchFields {
			if name == later {
				return p.fail(change.BadField(name, "this build does not have %q yet", name))
			}
		}
		return p.unknown([]byte(name), searchFields)
	}
	return ok
}

// number reads a number as a float64.
func (p *parser) number(field string) (*float64, bool) {
	if p.kind() != "a number" {
		return nil, p.wrongType(field, "it must be a number")
	}
	start := p.i
	if !p.value(0) {
		return nil, false
	}
	f, err := strconv.ParseFloat(string(p.src[start:p.i]), 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, p.fail(change.BadField(p.path(field), "%s is outside of what a float64 holds", quote(string(p.src[start:p.i]))))
	}
	return &f, true
}

func (p *parser) whole(field string) (*int, bool) {
	f, ok := p.number(field)
	if !ok {
		return nil, false
	}
	if *f != math.Trunc(*f) || math.Abs(*f) > 1<<53 {
		return nil, p.fail(change.BadField(p.path(field), "%s is %v: it must be a whole number", field, *f))
	}
	n := int(*f)
	return &n, true
}

func (p *parser) boolean(field string) (bool, bool) {
	if p.kind() != "a boolean" {
		return false, p.wrongType(field, "it must be true or false")
	}
	yes := p.here() == 't'
	return yes, p.value(0)
}

func (p *parser) words(field string) ([]string, bool) {
	if p.here() != '[' {
		return nil, p.wrongType(field, "it must be an array of strings")
	}
	p.i++
	out := []string{}
	for first := true; p.element(first); first = false {
		s, ok := p.text(fmt.Sprintf("%s[%d]", field, len(out)))
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, p.err == nil
}

// AppendOverlay appends the members of doc that chunk does not name, and those of
// chunk: what a chunk's metadata means over its document's. Both are objects as
// Parse has let them in, or nil.
func AppendOverlay(dst, doc, chunk []byte) []byte {
	if len(doc) == 0 || len(chunk) == 0 {
		if len(chunk) > 0 {
			doc = chunk
		}
		return AppendMetadata(dst, doc)
	}
	below, above := scanner{src: doc}, scanner{src: chunk}
	top := above.node()
	index := top.index()
	dst = append(dst, '{')
	empty := len(dst)
	n := below.node()
	for _, from := range [2]*node{&n, &top} {
		for i := range from.members {
			m := &from.members[i]
			if from == &n && top.find(index, m.name) != nil {
				continue
			}
			if len(dst) > empty {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, m.raw...), ':'), m.value.raw...)
		}
	}
	return append(dst, '}')
}

// AppendDouble appends f as JSON: the shortest decimal that is read as f.
func AppendDouble(dst []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
