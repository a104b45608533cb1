package docjson

import (
	"bytes"
	"slices"
	"strings"

	"github.com/arrwdb/arrwdb/change"
)

var patchFields = []string{"title", "metadata"}

// ParseMergePatch reads the body of a PATCH, {"title":…,"metadata":{…}}. A title
// that is absent is nil, one that is null is the empty one. Metadata that is
// absent is nil; it is otherwise a merge patch without white space, an object or
// null. Other members are refused, but those named in ignore.
func ParseMergePatch(src []byte, ignore ...string) (title *string, metadata []byte, err error) {
	p := parser{scanner: scanner{src: src}, lim: Limits{}.withDefaults(), chunk: -1}
	if p.peek() != '{' {
		p.wrongType("", "a merge patch of a document is a JSON object")
		return nil, nil, p.err
	}
	p.openObject()
	hasTitle, hasMetadata := false, false
	for first := true; p.err == nil; first = false {
		name, ok := p.key(first)
		if !ok {
			break
		}
		switch string(name) {
		case "title":
			if hasTitle {
				p.twice("title")
				break
			}
			hasTitle = true
			s := ""
			if !p.null() {
				s, _ = p.text("title")
			}
			s = strings.Clone(s)
			title = &s
		case "metadata":
			if hasMetadata {
				p.twice("metadata")
				break
			}
			hasMetadata = true
			if p.null() {
				metadata = []byte("null")
			} else if metadata, ok = p.metadata("metadata"); ok && metadata == nil {
				metadata = []byte("{}")
			}
		default:
			if !slices.Contains(ignore, string(name)) {
				p.unknown(name, patchFields)
			} else {
				p.value(0)
			}
		}
	}
	if p.err == nil {
		p.end()
	}
	if p.err != nil {
		return nil, nil, p.err
	}
	return title, bytes.Clone(metadata), nil
}

// MergePatch applies a JSON merge patch (RFC 7396) to doc and returns the result
// without white space. Values that stay are copied as they are written: no
// number or string is decoded. Members of doc keep their order, new ones follow
// in the patch's. An empty doc is no document.
func MergePatch(doc, patch []byte) ([]byte, error) {
	target, err := parseNode(doc, "the document")
	if err != nil {
		return nil, err
	}
	p, err := parseNode(patch, "the patch")
	if err != nil {
		return nil, err
	}
	return appendMerged(make([]byte, 0, len(doc)+len(patch)), target, p), nil
}

// MergeMetadata is MergePatch for metadata, which is nil where empty, on both
// sides: a patch that is null empties it.
func MergeMetadata(metadata, patch []byte) ([]byte, error) {
	if patch == nil {
		return metadata, nil
	}
	merged, err := MergePatch(metadata, patch)
	if err != nil {
		return nil, err
	}
	switch {
	case string(merged) == "{}", string(merged) == "null":
		return nil, nil
	case merged[0] != '{':
		return nil, change.BadField("metadata", "a merge patch of metadata is an object or null")
	}
	return merged, nil
}

// Valid checks that src is one JSON value as this package accepts it, metadata
// in particular, and returns it without white space.
func Valid(src []byte) ([]byte, error) {
	s := scanner{src: src}
	if s.peek(); !s.value(0) || !s.end() {
		return nil, s.err
	}
	return appendCompact(make([]byte, 0, len(src)), src), nil
}

// A node is a JSON value; of an object the members are known.
type node struct {
	raw     []byte // compact
	object  bool
	members []member
}

type member struct {
	name  []byte // decoded
	raw   []byte // as written, with quotes
	value node
}

func parseNode(src []byte, what string) (node, error) {
	if len(src) == 0 {
		return node{}, nil
	}
	raw, err := Valid(src)
	if err != nil {
		return node{}, err
	}
	s := scanner{src: raw}
	n := s.node()
	if s.err != nil { // Valid has seen to it
		return node{}, change.Errorf(change.Internal, "%s: %s", what, s.err.Detail)
	}
	return n, nil
}

func (p *scanner) node() node {
	start := p.i
	if p.src[p.i] != '{' {
		p.value(0)
		return node{raw: p.src[start:p.i]}
	}
	n := node{object: true}
	p.openObject()
	for first := true; ; first = false {
		at := p.i
		if !first {
			at++ // the comma
		}
		name, ok := p.key(first)
		if !ok {
			break
		}
		m := member{name: name, raw: p.src[at : p.i-1]}
		m.value = p.node()
		n.members = append(n.members, m)
	}
	n.raw = p.src[start:p.i]
	return n
}

func (n *node) isNull() bool { return string(n.raw) == "null" }

// index returns the places of the members by name, for objects where looking at
// each is slower.
func (n *node) index() map[string]int {
	if len(n.members) < manyKeys {
		return nil
	}
	m := make(map[string]int, len(n.members))
	for i := range n.members {
		m[string(n.members[i].name)] = i
	}
	return m
}

func (n *node) find(index map[string]int, name []byte) *member {
	if index != nil {
		if i, ok := index[string(name)]; ok {
			return &n.members[i]
		}
		return nil
	}
	for i := range n.members {
		if bytes.Equal(n.members[i].name, name) {
			return &n.members[i]
		}
	}
	return nil
}

func appendMerged(dst []byte, target, patch node) []byte {
	if !patch.object {
		return append(dst, patch.raw...)
	}
	dst = append(dst, '{')
	empty := len(dst)
	write := func(m *member) {
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(dst, m.raw...)
		dst = append(dst, ':')
	}
	byName := patch.index()
	for i := range target.members {
		m := &target.members[i]
		p := patch.find(byName, m.name)
		switch {
		case p == nil:
			write(m)
			dst = append(dst, m.value.raw...)
		case p.value.isNull():
		default:
			write(m)
			dst = appendMerged(dst, m.value, p.value)
		}
	}
	inTarget := target.index()
	for i := range patch.members {
		m := &patch.members[i]
		if m.value.isNull() || target.find(inTarget, m.name) != nil {
			continue
		}
		write(m)
		dst = appendMerged(dst, node{}, m.value)
	}
	return append(dst, '}')
}

// hasMember reports whether the checked object raw has a member of that name.
func hasMember(raw []byte, name string) bool {
	s := scanner{src: raw}
	s.openObject()
	for first := true; ; first = false {
		k, ok := s.key(first)
		if !ok {
			return false
		}
		if string(k) == name {
			return true
		}
		s.value(0)
	}
}
