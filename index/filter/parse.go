package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of one filter.
const (
	MaxBytes    = 8 << 20 // of JSON: 65,536 ids of 128 bytes fit
	MaxDepth    = 32      // of $and, $or, $not inside each other
	MaxValues   = 65_536  // in one $in or $nin
	MaxNodes    = 16_384  // conditions and connectives in all
	MaxSegments = 32      // of one dotted field
)

// An Error says what is wrong with a filter, and where.
type Error struct {
	// Path leads to the fault from the top of the filter, as in
	// "$and[1].year.$gte"; "" is the top itself.
	Path string
	// Detail says what is wrong and what would be right.
	Detail string
	// Offset is the place of the fault in the JSON text, in bytes, where the
	// text is no JSON; else -1.
	Offset int64
}

func (e *Error) Error() string {
	at := "filter"
	if e.Path != "" {
		at += " at " + e.Path
	}
	return at + ": " + e.Detail
}

// Parse reads a filter. No bytes, and null, give the nil Filter. The error is
// always an *Error.
func Parse(raw []byte) (*Filter, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if len(raw) > MaxBytes {
		return nil, &Error{Detail: fmt.Sprintf("%d bytes, at most %d are allowed", len(raw), MaxBytes), Offset: -1}
	}
	if e := checkJSON(raw); e != nil {
		return nil, e
	}
	p := &parser{}
	root, e := p.filter(raw, "", 0)
	if e != nil {
		return nil, e
	}
	return &Filter{root}, nil
}

func checkJSON(raw []byte) *Error {
	var m json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		e := &Error{Detail: "no valid JSON: " + err.Error(), Offset: 0}
		if se := (*json.SyntaxError)(nil); errors.As(err, &se) {
			e.Offset = se.Offset
			e.Detail = fmt.Sprintf("no valid JSON at byte %d: %s", se.Offset, err)
		}
		return e
	}
	if !utf8.Valid(raw) {
		at := 0
		for at < len(raw) {
			r, n := utf8.DecodeRune(raw[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return &Error{Detail: fmt.Sprintf("no valid UTF-8 at byte %d", at), Offset: int64(at)}
	}
	return nil
}

// parser works on text that is known to be valid JSON.
type parser struct{ nodes int }

func fault(path, format string, args ...any) *Error {
	return &Error{Path: path, Detail: fmt.Sprintf(format, args...), Offset: -1}
}

func join(path, step string) string {
	if path == "" {
		return step
	}
	return path + "." + step
}

func (p *parser) node(path string, n *Node) (*Node, *Error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, fault(path, "more than %d conditions", MaxNodes)
	}
	return n, nil
}

// filter reads a filter object; nil without error is {}, which always holds.
func (p *parser) filter(raw []byte, path string, depth int) (*Node, *Error) {
	if depth > MaxDepth {
		return nil, fault(path, "nested deeper than %d", MaxDepth)
	}
	if raw[0] != '{' {
		return nil, fault(path, "%s where a filter object is wanted", kindOf(raw))
	}
	var kids []*Node
	e := p.object(raw, path, func(key string, val []byte, at string) *Error {
		var n *Node
		var e *Error
		switch {
		case key == "$and":
			n, e = p.list(And, val, at, depth)
		case key == "$or":
			n, e = p.list(Or, val, at, depth)
		case key == "$not":
			n, e = p.not(val, at, depth)
		case strings.HasPrefix(key, "$"):
			e = fault(at, "unknown operator %q; $and, $or and $not stand here, the others under a field", key)
		default:
			n, e = p.field(key, val, at, depth)
		}
		kids = append(kids, n)
		return e
	})
	if e != nil || len(kids) == 0 {
		return nil, e
	}
	return p.all(kids, path)
}

// all connects conditions that must all hold.
func (p *parser) all(kids []*Node, path string) (*Node, *Error) {
	if len(kids) == 1 {
		return kids[0], nil
	}
	return p.node(path, &Node{Op: And, Kids: kids})
}

// always is what {} means inside of a connective, where nil has no place.
func (p *parser) always(path string) (*Node, *Error) {
	none, e := p.node(path, &Node{Op: In, Field: "_", Path: []string{"_"}})
	if e != nil {
		return nil, e
	}
	return p.node(path, &Node{Op: Not, Kids: []*Node{none}})
}

func (p *parser) inner(raw []byte, path string, depth int) (*Node, *Error) {
	n, e := p.filter(raw, path, depth+1)
	if e == nil && n == nil {
		return p.always(path)
	}
	return n, e
}

func (p *parser) list(op Op, raw []byte, path string, depth int) (*Node, *Error) {
	if raw[0] != '[' {
		return nil, fault(path, "%s where an array of filters is wanted", kindOf(raw))
	}
	n := &Node{Op: op}
	for el := walkArray(raw); ; {
		val, ok := el.next()
		if !ok {
			break
		}
		kid, e := p.inner(val, fmt.Sprintf("%s[%d]", path, len(n.Kids)), depth)
		if e != nil {
			return nil, e
		}
		n.Kids = append(n.Kids, kid)
	}
	if len(n.Kids) == 0 {
		return nil, fault(path, "an empty array; at least one filter is wanted")
	}
	return p.node(path, n)
}

func (p *parser) not(raw []byte, path string, depth int) (*Node, *Error) {
	kid, e := p.inner(raw, path, depth)
	if e != nil {
		return nil, e
	}
	return p.node(path, &Node{Op: Not, Kids: []*Node{kid}})
}

// field reads what stands under a field: a scalar, or an object of conditions.
func (p *parser) field(name string, raw []byte, path string, depth int) (*Node, *Error) {
	segments := strings.Split(name, ".")
	if len(segments) > MaxSegments {
		return nil, fault(path, "a field of %d segments, at most %d are allowed", len(segments), MaxSegments)
	}
	for _, s := range segments {
		if s == "" {
			return nil, fault(path, "the field %q has an empty segment", name)
		}
	}
	leaf := Node{Field: name, Path: segments}
	if raw[0] == '{' {
		return p.conditions(leaf, raw, path, depth)
	}
	return p.condition(leaf, "$eq", raw, path, depth)
}

func (p *parser) conditions(leaf Node, raw []byte, path string, depth int) (*Node, *Error) {
	if depth > MaxDepth {
		return nil, fault(path, "nested deeper than %d", MaxDepth)
	}
	var kids []*Node
	e := p.object(raw, path, func(key string, val []byte, at string) *Error {
		if !strings.HasPrefix(key, "$") {
			return fault(at, "a field is compared with scalars, not with objects; for a nested field write %q", leaf.Field+"."+key)
		}
		n, e := p.condition(leaf, key, val, at, depth)
		kids = append(kids, n)
		return e
	})
	if e != nil {
		return nil, e
	}
	if len(kids) == 0 {
		return nil, fault(path, "an empty object; at least one condition is wanted")
	}
	return p.all(kids, path)
}

var conditionOps = map[string]Op{"$eq": Eq, "$ne": Ne, "$gt": Gt, "$gte": Gte, "$lt": Lt, "$lte": Lte,
	"$in": In, "$nin": Nin, "$exists": Exists, "$contains": Contains}

func (p *parser) condition(leaf Node, name string, raw []byte, path string, depth int) (*Node, *Error) {
	if name == "$not" {
		if raw[0] != '{' {
			return nil, fault(path, "%s where an object of conditions is wanted", kindOf(raw))
		}
		kid, e := p.conditions(leaf, raw, path, depth+1)
		if e != nil {
			return nil, e
		}
		return p.node(path, &Node{Op: Not, Kids: []*Node{kid}})
	}
	op, ok := conditionOps[name]
	if !ok {
		return nil, fault(path, "unknown operator %q; a field takes $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $contains, $not", name)
	}
	leaf.Op = op
	if op == In || op == Nin {
		if e := leaf.takeList(raw, path); e != nil {
			return nil, e
		}
		return p.node(path, &leaf)
	}
	v, e := valueOf(raw, path)
	if e != nil {
		return nil, e
	}
	switch {
	case op == Exists && v.Kind != Bool:
		return nil, fault(path, "%s where true or false is wanted", kindOf(raw))
	case op >= Gt && op <= Lte && v.Kind != Number && v.Kind != String:
		return nil, fault(path, "%s where a number or a string is wanted", kindOf(raw))
	}
	leaf.Values = []Value{v}
	return p.node(path, &leaf)
}

// takeList reads the operands of $in and $nin.
func (n *Node) takeList(raw []byte, path string) *Error {
	if raw[0] != '[' {
		return fault(path, "%s where an array is wanted", kindOf(raw))
	}
	seen := map[Value]struct{}{}
	count := 0
	for el := walkArray(raw); ; count++ {
		val, ok := el.next()
		if !ok {
			break
		}
		if count == MaxValues {
			return fault(path, "more than %d values", MaxValues)
		}
		v, e := valueOf(val, fmt.Sprintf("%s[%d]", path, count))
		if e != nil {
			return e
		}
		if _, dup := seen[v]; !dup {
			seen[v] = struct{}{}
			n.Values = append(n.Values, v)
		}
	}
	if len(n.Values) > smallSet {
		n.set = seen
	}
	return nil
}

// object calls each for the members of an object and refuses a key that stands
// there twice.
func (p *parser) object(raw []byte, path string, each func(key string, val []byte, at string) *Error) *Error {
	seen := map[string]struct{}{}
	for m := walkObject(raw); ; {
		k, val, ok := m.next()
		if !ok {
			return nil
		}
		key := string(k)
		at := join(path, key)
		if _, dup := seen[key]; dup {
			return fault(at, "the key stands here twice; use $and")
		}
		seen[key] = struct{}{}
		if e := each(key, val, at); e != nil {
			return e
		}
	}
}

func valueOf(raw []byte, path string) (Value, *Error) {
	s, ok := scalarOf(raw)
	if !ok {
		return Value{}, fault(path, "%s where null, a boolean, a number or a string is wanted", kindOf(raw))
	}
	if s.kind == Number {
		if _, exact, _ := ParseNum(raw); !exact {
			return Value{}, fault(path, "the number %.40s is out of range", raw)
		}
	}
	return Value{Kind: s.kind, Bool: s.b, Num: s.num, Str: string(s.text)}, nil
}

func kindOf(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	if s, ok := scalarOf(raw); ok {
		return kindNames[s.kind]
	}
	return "something unreadable"
}
