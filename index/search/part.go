package search

import (
	"encoding/binary"
	"sort"
	"strings"

	"github.com/arrwdb/arrwdb/index/attr"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// A part covers the slots first … first+len-1 of a library. The last part is being
// filled; the others never get another slot. A part that is built is replaced, never
// changed, but for the counts of the dead in its keywords.
//
// What is here serves three questions about a slot: which chunk is it (nums), in
// which order among equals (ids), and what is found by words and metadata.
type part struct {
	first uint32
	last  uint64 // highest number of a chunk in this part or before it, copies aside
	words keyword.Part
	seg   *segment // where the part is built; else tail
	tail  *tail

	purged uint32 // slots whose content a merge has left out
	saved  string // name of the file that holds seg, "" where none does
}

func (p *part) len() uint32 {
	if p.seg != nil {
		return p.seg.n
	}
	return uint32(len(p.tail.nums))
}

// A tail holds slots that are not built yet. Only the applier appends, under the
// library's lock; a capture of it is slice headers.
type tail struct {
	nums  []uint64          // of the chunks; see segment
	where map[uint64]uint32 // number → local slot; the applier's alone
	ids   []slotID
	meta  []slotMeta
	bytes int // of what was put in, about
	words *keyword.Tail
}

type slotID struct{ doc, chunk string }

type slotMeta struct{ doc, chunk []byte }

func (p *part) id(local uint32) slotID {
	if p.seg != nil {
		return p.seg.id(local)
	}
	return p.tail.ids[local]
}

func (p *part) num(local uint32) uint64 {
	if p.seg != nil {
		return p.seg.num(local)
	}
	return p.tail.nums[local] &^ copied
}

// pass sets the bits of the local slots that f passes, from bit at on.
func (p *part) pass(f *filter.Filter, out []uint64, n uint32) {
	if p.seg != nil {
		p.seg.attrs.Eval(f, out)
		return
	}
	clear(out)
	for i, m := range p.tail.meta[:n] {
		if f.Match(m.doc, m.chunk) {
			out[i/64] |= 1 << (i % 64)
		}
	}
}

// freeze returns a copy of the part as it is now: what the applier appends later
// is not in it.
func (p *part) freeze() *part {
	if p.seg != nil {
		return p
	}
	t := *p.tail
	return &part{first: p.first, words: p.words, tail: &t}
}

// copied marks the slot of a chunk that an earlier slot has held: the number of
// such a slot is not in order with those around it.
const copied = 1 << 63

// A segment is the built form of a part: one run of bytes, in memory or mapped from
// a file.
type segment struct {
	n     uint32
	bytes []byte // the whole file
	nums  []byte // 8 a slot
	offs  []byte // of ids, 4 a slot and 4 for the end
	blob  []byte
	words *keyword.Segment
	attrs *attr.Segment
	order []uint32 // slots that are not copies; nil where there are no copies
}

func (s *segment) raw(local uint32) uint64 { return binary.LittleEndian.Uint64(s.nums[8*local:]) }

func (s *segment) num(local uint32) uint64 { return s.raw(local) &^ copied }

func (s *segment) id(local uint32) slotID {
	from, to := binary.LittleEndian.Uint32(s.offs[4*local:]), binary.LittleEndian.Uint32(s.offs[4*local+4:])
	doc, chunk, _ := strings.Cut(string(s.blob[from:to]), "\x00")
	return slotID{doc, chunk}
}

// find returns the slot of a chunk that came with this part, not as a copy.
func (s *segment) find(num uint64) (uint32, bool) {
	n, at := int(s.n), func(i int) uint32 { return uint32(i) }
	if s.order != nil {
		n, at = len(s.order), func(i int) uint32 { return s.order[i] }
	}
	i := sort.Search(n, func(i int) bool { return s.num(at(i)) >= num })
	if i < n && s.num(at(i)) == num {
		return at(i), true
	}
	return 0, false
}

// makeOrder fills order in, and reports whether the numbers are in order.
func (s *segment) makeOrder(last uint64) (uint64, bool) {
	copies := false
	for i := range s.n {
		copies = copies || s.raw(i)&copied != 0
	}
	if copies {
		s.order = []uint32{}
	}
	for i := range s.n {
		raw := s.raw(i)
		if raw&copied != 0 {
			continue
		}
		if raw <= last {
			return 0, false
		}
		last = raw
		if copies {
			s.order = append(s.order, i)
		}
	}
	return last, true
}
