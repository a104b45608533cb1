package attr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"sync"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/filter"
)

var (
	// ErrDamaged is in the chain of Open's errors about bytes that are no segment.
	ErrDamaged = errors.New("attr: damaged segment")
	// ErrNewer is in the chain of Open's errors about a segment of a later format.
	ErrNewer = errors.New("attr: segment of a newer format")
)

// A Segment answers filters over its slots. It is safe for any number of
// goroutines, and reads the bytes it was opened on, which must not change.
type Segment struct {
	n      uint32
	count  int    // of nodes
	table  []byte // of count + 1 nodes
	names  []byte
	bodies []byte

	scratch sync.Pool // of *[]uint64 of (n+63)/64 words
}

// Len returns the number of slots.
func (s *Segment) Len() int { return int(s.n) }

func (s *Segment) words() int { return int((uint64(s.n) + 63) / 64) }

// Open checks all of b, so that Eval and Merge can rely on it, and returns the
// segment. The error wraps ErrDamaged or ErrNewer.
func Open(b []byte) (*Segment, error) {
	if len(b) < headerSize+nodeSize+crcSize || string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: %d bytes without a segment's header", ErrDamaged, len(b))
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > version {
		return nil, fmt.Errorf("%w: version %d, at most %d can be read", ErrNewer, v, version)
	} else if v != version {
		return nil, fmt.Errorf("%w: version %d", ErrDamaged, v)
	}
	body, sum := b[:len(b)-crcSize], binary.LittleEndian.Uint32(b[len(b)-crcSize:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("%w: CRC-32C %08x, %08x is stored", ErrDamaged, got, sum)
	}
	s := &Segment{n: binary.LittleEndian.Uint32(b[12:]), count: int(binary.LittleEndian.Uint32(b[16:]))}
	names, bodies := binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	rest := body[headerSize:]
	if s.n > index.MaxSlots || s.count < 1 || s.count >= len(rest)/nodeSize || binary.LittleEndian.Uint32(b[20:]) != 0 {
		return nil, fmt.Errorf("%w: %d slots and %d nodes in %d bytes", ErrDamaged, s.n, s.count, len(b))
	}
	size := (s.count + 1) * nodeSize
	s.table, rest = rest[:size], rest[size:]
	if names > uint64(len(rest)) || bodies != uint64(len(rest))-names {
		return nil, fmt.Errorf("%w: names of %d and bodies of %d bytes where there are %d", ErrDamaged, names, bodies, len(rest))
	}
	s.names, s.bodies = rest[:names], rest[names:]
	if err := s.check(); err != nil {
		return nil, err
	}
	s.scratch.New = func() any { w := make([]uint64, s.words()); return &w }
	return s, nil
}

// Of node i, the number of bytes of names and of bodies before it, and its first
// child.
func (s *Segment) nameAt(i int) uint64 { return binary.LittleEndian.Uint64(s.table[i*nodeSize:]) }
func (s *Segment) bodyAt(i int) uint64 { return binary.LittleEndian.Uint64(s.table[i*nodeSize+8:]) }
func (s *Segment) first(i int) int {
	return int(binary.LittleEndian.Uint32(s.table[i*nodeSize+16:]))
}

func (s *Segment) name(i int) []byte { return s.names[s.nameAt(i):s.nameAt(i+1)] }
func (s *Segment) body(i int) []byte { return s.bodies[s.bodyAt(i):s.bodyAt(i+1)] }

func (s *Segment) check() error {
	if err := s.checkTable(); err != nil {
		return err
	}
	for i := range s.count {
		f, ok := readField(s.body(i), s.n)
		if !ok || !f.check(s.n) {
			return fmt.Errorf("%w: field %q (node %d of %d)", ErrDamaged, s.name(i), i, s.count)
		}
	}
	return nil
}

func (s *Segment) checkTable() error {
	if s.nameAt(0) != 0 || s.bodyAt(0) != 0 || s.nameAt(1) != 0 || s.bodyAt(1) != 0 || s.first(0) != 1 {
		return fmt.Errorf("%w: the root has a name or a body", ErrDamaged)
	}
	for i := 1; i <= s.count; i++ {
		if s.nameAt(i) < s.nameAt(i-1) || s.bodyAt(i) < s.bodyAt(i-1) || s.first(i) < s.first(i-1) {
			return fmt.Errorf("%w: node %d of %d is out of order", ErrDamaged, i, s.count)
		}
		if binary.LittleEndian.Uint32(s.table[(i-1)*nodeSize+20:]) != 0 {
			return fmt.Errorf("%w: reserved bytes of node %d", ErrDamaged, i-1)
		}
	}
	last := s.count
	if s.nameAt(last) != uint64(len(s.names)) || s.bodyAt(last) != uint64(len(s.bodies)) || s.first(last) != s.count {
		return fmt.Errorf("%w: %d nodes do not use all bytes", ErrDamaged, s.count)
	}
	if binary.LittleEndian.Uint32(s.table[last*nodeSize+20:]) != 0 {
		return fmt.Errorf("%w: reserved bytes of node %d", ErrDamaged, last)
	}
	for i := range s.count {
		from, to := s.first(i), s.first(i+1)
		if from < to && from <= i {
			return fmt.Errorf("%w: node %d has the child %d", ErrDamaged, i, from)
		}
		for k := from + 1; k < to; k++ {
			if string(s.name(k-1)) >= string(s.name(k)) {
				return fmt.Errorf("%w: names of the children of node %d are out of order", ErrDamaged, i)
			}
		}
	}
	return nil
}

// find returns the node of a path, -1 if there is none.
func (s *Segment) find(path []string) int {
	at := 0
	for _, p := range path {
		from, to := s.first(at), s.first(at+1)
		k := from + sort.Search(to-from, func(i int) bool { return string(s.name(from+i)) >= p })
		if k == to || string(s.name(k)) != p {
			return -1
		}
		at = k
	}
	return at
}

// A field is a node's body; of a node without a body all is empty.
type field struct {
	exists posting
	groups [kinds]group // n is 0 where there is none
}

// readField reads a body; see [writer.field]. What it has not checked, check does.
func readField(b []byte, slots uint32) (f field, ok bool) {
	if len(b) == 0 {
		return f, true
	}
	size, w := binary.Uvarint(b)
	if w <= 0 || size == 0 || size >= uint64(len(b)-w) {
		return f, false
	}
	f.exists, b = b[w:w+int(size)], b[w+int(size):]
	has := b[0]
	b = b[1:]
	for kind := range f.groups {
		if has&(1<<kind) == 0 {
			continue
		}
		if len(b) < 8 {
			return f, false
		}
		size := binary.LittleEndian.Uint64(b)
		b = b[8:]
		if size > uint64(len(b)) {
			return f, false
		}
		if f.groups[kind], ok = readGroup(b[:size], filter.Kind(kind), slots); !ok {
			return f, false
		}
		b = b[size:]
	}
	return f, has < 1<<kinds && len(b) == 0
}

func (f *field) check(slots uint32) bool {
	if !f.exists.check(slots) {
		return false
	}
	for k := range f.groups {
		if f.groups[k].n > 0 && !f.groups[k].check(slots) {
			return false
		}
	}
	return true
}

// field returns the field of a path; what is missing is empty.
func (s *Segment) field(path []string) field {
	i := s.find(path)
	if i < 0 {
		return field{}
	}
	f, _ := readField(s.body(i), s.n)
	return f
}
