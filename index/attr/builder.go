package attr

import (
	"bytes"
	"strings"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/invariant"
)

// A Builder gathers the metadata of slots, in their order, for one segment. It
// is used by one goroutine at a time.
type Builder struct {
	n        uint32
	root     *node
	literals map[string]*literal // top-level keys with a dot

	serial uint64    // of the object whose members are being gathered
	stack  []member  // members of the objects on the way
	dotted []pending // literals of the slot at hand
}

// A node is a field: the root's child, its child, and so on.
type node struct {
	kids   map[string]*node
	exists []uint32
	groups [kinds]*pairs

	// Where the object of this serial has the field's last segment as a key: the
	// index of that member in the stack. The last of equal keys counts, and this finds
	// the one before without a map for each object.
	serial uint64
	at     int
}

// pairs are the values of one kind that a field has, and where.
type pairs struct {
	nums   map[filter.Num]uint32 // of Number
	texts  map[string]uint32     // of String
	values []filter.Value
	ids    []uint32 // a value's index
	places []uint32 // slot × columns, plus the column; ascending by slot
}

type member struct {
	node *node
	val  []byte
}

// A literal is a top-level key with a dot. It stands for the field of that name
// in slots where the walk along the dots finds nothing.
type literal struct {
	node   *node
	serial uint64
	at     int // in dotted
}

type pending struct {
	literal *literal
	val     []byte
}

// NewBuilder returns an empty Builder.
func NewBuilder() *Builder {
	return &Builder{root: &node{}, literals: map[string]*literal{}}
}

// Len returns the number of slots added.
func (b *Builder) Len() int { return int(b.n) }

// Add appends a slot: the document's metadata, overlaid by the chunk's. Both are
// raw JSON objects or nil, and are not kept. There may be at most index.MaxSlots.
func (b *Builder) Add(doc, chunk []byte) {
	invariant.Check(b.n < index.MaxSlots, "slot %d is one too many", b.n)
	b.serial++
	b.gatherTop(doc)
	b.gatherTop(chunk)
	for i := range len(b.stack) {
		b.walk(b.stack[i].node, b.stack[i].val, 1)
	}
	for _, p := range b.dotted {
		if n := p.literal.node; !n.existsIn(b.n) {
			b.file(n, p.val)
		}
	}
	clear(b.stack)
	clear(b.dotted)
	b.stack, b.dotted = b.stack[:0], b.dotted[:0]
	b.n++
}

// gatherTop adds the members of a metadata object to those of the slot. As the
// chunk comes last and the last of equal keys counts, that is the overlay too.
func (b *Builder) gatherTop(object []byte) {
	for m := filter.WalkObject(object); ; {
		key, val, ok := m.Next()
		if !ok {
			return
		}
		if bytes.IndexByte(key, '.') < 0 {
			b.gather(b.root, key, val)
			continue
		}
		l := b.literal(key)
		switch {
		case l == nil:
		case l.serial == b.serial:
			b.dotted[l.at].val = val
		default:
			l.serial, l.at = b.serial, len(b.dotted)
			b.dotted = append(b.dotted, pending{l, val})
		}
	}
}

// gather adds a member of the object at hand to the stack, or replaces the one
// of the same key.
func (b *Builder) gather(parent *node, key, val []byte) {
	n := parent.kids[string(key)]
	if n == nil {
		n = parent.kid(string(key))
	}
	if n.serial == b.serial {
		b.stack[n.at].val = val
		return
	}
	n.serial, n.at = b.serial, len(b.stack)
	b.stack = append(b.stack, member{n, val})
}

// literal returns the literal of a key with a dot, nil where no filter can name
// it.
func (b *Builder) literal(key []byte) *literal {
	l, known := b.literals[string(key)]
	if known {
		return l
	}
	if bytes.Count(key, []byte{'.'}) < filter.MaxSegments {
		l = &literal{node: b.root}
		for s := range strings.SplitSeq(string(key), ".") {
			l.node = l.node.kid(s)
		}
		b.literals[string(key)] = l
	}
	return l
}

// walk files the value of a field of so many segments, and of all fields below.
func (b *Builder) walk(n *node, val []byte, segments int) {
	b.file(n, val)
	if segments == filter.MaxSegments {
		return
	}
	switch val[0] {
	case '{':
		b.walkMembers(n, val, segments)
	case '[':
		for el := filter.WalkArray(val); ; {
			v, ok := el.Next()
			if !ok {
				return
			}
			if v[0] == '{' {
				b.walkMembers(n, v, segments)
			}
		}
	}
}

func (b *Builder) walkMembers(n *node, object []byte, segments int) {
	b.serial++
	base := len(b.stack)
	for m := filter.WalkObject(object); ; {
		key, val, ok := m.Next()
		if !ok {
			break
		}
		if bytes.IndexByte(key, '.') < 0 { // else no filter can name it
			b.gather(n, key, val)
		}
	}
	for i := base; i < len(b.stack); i++ {
		b.walk(b.stack[i].node, b.stack[i].val, segments+1)
	}
	clear(b.stack[base:])
	b.stack = b.stack[:base]
}

// file adds a value to a field: itself, or an array's elements.
func (b *Builder) file(n *node, val []byte) {
	if !n.existsIn(b.n) {
		n.exists = append(n.exists, b.n)
	}
	if val[0] != '[' {
		if s, ok := filter.ReadScalar(val); ok {
			n.add(&s, b.n*columns+asScalar)
		}
		return
	}
	for el := filter.WalkArray(val); ; {
		v, ok := el.Next()
		if !ok {
			return
		}
		if s, ok := filter.ReadScalar(v); ok {
			n.add(&s, b.n*columns+asElement)
		}
	}
}

func (n *node) existsIn(slot uint32) bool {
	return len(n.exists) > 0 && n.exists[len(n.exists)-1] == slot
}

// kid returns the child of that name, which it makes if need be.
func (n *node) kid(name string) *node {
	k := n.kids[name]
	if k == nil {
		if n.kids == nil {
			n.kids = map[string]*node{}
		}
		k = &node{}
		n.kids[name] = k
	}
	return k
}

func (n *node) add(s *filter.Scalar, place uint32) {
	p := n.groups[s.Kind]
	if p == nil {
		p = newPairs(s.Kind)
		n.groups[s.Kind] = p
	}
	p.ids = append(p.ids, p.id(s))
	p.places = append(p.places, place)
}

func newPairs(kind filter.Kind) *pairs {
	p := &pairs{}
	switch kind {
	case filter.Null:
		p.values = []filter.Value{{Kind: filter.Null}}
	case filter.Bool:
		p.values = []filter.Value{{Kind: filter.Bool}, {Kind: filter.Bool, Bool: true}}
	case filter.Number:
		p.nums = map[filter.Num]uint32{}
	case filter.String:
		p.texts = map[string]uint32{}
	}
	return p
}

// id returns the index of a value, a new one if it is new.
func (p *pairs) id(s *filter.Scalar) uint32 {
	next := uint32(len(p.values))
	switch s.Kind {
	case filter.Bool:
		return uint32(boolByte(s.Bool))
	case filter.Number:
		id, known := p.nums[s.Num]
		if !known {
			id = next
			p.nums[s.Num] = id
			p.values = append(p.values, filter.Value{Kind: s.Kind, Num: s.Num})
		}
		return id
	case filter.String:
		id, known := p.texts[string(s.Text)]
		if !known {
			id = next
			text := string(s.Text)
			p.texts[text] = id
			p.values = append(p.values, filter.Value{Kind: s.Kind, Str: text})
		}
		return id
	}
	return 0
}
