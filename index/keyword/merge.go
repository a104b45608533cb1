package keyword

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/arrwdb/arrwdb/index"
)

// Build returns the section of a segment with the tail's slots, the dead ones too:
// who opens it kills them again. Add must not run meanwhile; Kill and queries may.
func (t *Tail) Build() []byte {
	order := t.order()
	w := newWriter(t.lengths)
	w.list.b = make([]byte, 0, 2*len(t.postings))
	w.forward = make([]byte, 0, 2*len(t.words))
	numbers := make([]uint32, len(t.terms))
	var term []byte
	var postings []posting
	for i, o := range order {
		id := o.id
		numbers[id] = uint32(i)
		postings = postings[:0]
		for at := t.heads[id]; at > 0; at = t.postings[at-1].before {
			postings = append(postings, t.postings[at-1])
		}
		term = append(term[:0], t.terms[id]...)
		w.addTerm(term, len(postings), func(l *listWriter) {
			for _, p := range slices.Backward(postings) {
				l.add(p.slot, p.tf)
			}
		})
	}
	for i := range t.lengths {
		w.addForward(t.list(uint32(i)), numbers)
	}
	b, err := w.finish()
	if err != nil {
		panic(fmt.Sprintf("keyword: %v", err)) // a tail in memory is far smaller
	}
	return b
}

// A sortKey is a term with its first bytes, which decide most comparisons.
type sortKey struct {
	front uint64
	id    uint32
}

// order sorts the terms.
func (t *Tail) order() []sortKey {
	keys := make([]sortKey, len(t.terms))
	for i, term := range t.terms {
		var b [8]byte
		copy(b[:], term)
		keys[i] = sortKey{binary.BigEndian.Uint64(b[:]), uint32(i)}
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		if a.front != b.front {
			return cmp.Compare(a.front, b.front)
		}
		return strings.Compare(t.terms[a.id], t.terms[b.id])
	})
	return keys
}

// Merge returns the section of a segment with the slots of adjacent ones, in order.
// A purged slot keeps its number, without words. Other dead slots stay as they are:
// who opens the section kills them again. purged may be nil.
func Merge(segs []*Segment, purged func(seg int, local uint32) bool) ([]byte, error) {
	slots := uint64(0)
	for _, s := range segs {
		slots += uint64(s.h.slots)
	}
	if slots > index.MaxSlots {
		return nil, fmt.Errorf("keyword segments of %d slots in all, at most %d", slots, uint64(index.MaxSlots))
	}
	lengths := make([]uint32, 0, slots)
	merged := make([]*source, len(segs))
	for i, s := range segs {
		src := &source{Segment: s, first: uint32(len(lengths)), numbers: make([]uint32, s.h.terms)}
		merged[i] = src
		for local := range s.h.slots {
			n := s.length(local)
			if n > 0 && purged != nil && purged(i, local) {
				src.purge(local)
				n = 0
			}
			lengths = append(lengths, n)
		}
	}
	w := newWriter(lengths)
	var postings, forward uint64
	for _, s := range segs {
		postings += s.h.postings
		forward += s.h.forward
	}
	// Numbers of terms and tables grow a little where lists get longer.
	w.list.b = make([]byte, 0, postings+postings/8)
	w.forward = make([]byte, 0, forward+forward/4)
	if err := mergeTerms(w, merged); err != nil {
		return nil, err
	}
	for _, s := range merged {
		for local := range s.h.slots {
			list := s.tokens(local)
			if s.isPurged(local) {
				list = tokenReader{}
			}
			w.addForward(list, s.numbers)
		}
	}
	return w.finish()
}

// A source is a segment on its way into another.
type source struct {
	*Segment
	first   uint32   // slot of its first one there
	numbers []uint32 // of its terms there
	purged  []uint64 // bits; nil: none
	less    []uint32 // by term: how many purged slots have it
	entry   dictReader
	front   uint64 // of its term, as in a sortKey
	ids     living // scratch
}

func (s *source) purge(local uint32) {
	if s.purged == nil {
		s.purged = make([]uint64, (s.h.slots+63)/64)
		s.less = make([]uint32, s.h.terms)
	}
	s.purged[local/64] |= 1 << (local % 64)
	for _, id := range s.ids.distinct(s.tokens(local), s.h.terms) {
		s.less[id]++
	}
}

func (s *source) advance() bool {
	if !s.entry.advance() {
		return false
	}
	var b [8]byte
	copy(b[:], s.entry.e.term)
	s.front = binary.BigEndian.Uint64(b[:])
	return true
}

func (s *source) isPurged(local uint32) bool {
	return s.purged != nil && s.purged[local/64]&(1<<(local%64)) != 0
}

// sources is a heap by term, then by slot.
type sources []*source

func (h sources) Len() int      { return len(h) }
func (h sources) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h sources) Less(i, j int) bool {
	if h[i].front != h[j].front {
		return h[i].front < h[j].front
	}
	if c := bytes.Compare(h[i].entry.e.term, h[j].entry.e.term); c != 0 {
		return c < 0
	}
	return h[i].first < h[j].first
}
func (h *sources) Push(x any) { *h = append(*h, x.(*source)) }
func (h *sources) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func mergeTerms(w *writer, all []*source) error {
	var h sources
	for _, s := range all {
		if s.h.terms > 0 {
			s.entry.seek(&s.dict, 0)
			s.advance()
			h = append(h, s)
		}
	}
	heap.Init(&h)
	var term []byte
	var same []*source // that have the term, in order
	for len(h) > 0 {
		term = append(term[:0], h[0].entry.e.term...)
		same = same[:0]
		for len(h) > 0 && bytes.Equal(h[0].entry.e.term, term) {
			same = append(same, heap.Pop(&h).(*source))
		}
		if err := mergeTerm(w, term, same); err != nil {
			return err
		}
		for _, s := range same {
			if s.advance() {
				heap.Push(&h, s)
			}
		}
	}
	return nil
}

func mergeTerm(w *writer, term []byte, from []*source) error {
	df := 0
	for _, s := range from {
		df += int(s.entry.e.df)
		if s.less != nil {
			df -= int(min(uint64(s.less[s.entry.e.id]), s.entry.e.df))
		}
		s.numbers[s.entry.e.id] = w.h.terms
	}
	if df == 0 {
		return nil // only purged slots have it, so no list will name the number
	}
	if w.h.terms >= maxTerms {
		return fmt.Errorf("keyword segments of more than %d terms: %w", maxTerms, errTooLarge)
	}
	var err error
	w.addTerm(term, df, func(out *listWriter) {
		for _, s := range from {
			s.copyList(out)
		}
		if out.done != df {
			err = corrupt("%q has %d postings instead of %d", term, out.done, df)
		}
	})
	return err
}

// copyList adds the postings of the term where entry is.
func (s *source) copyList(out *listWriter) {
	l := s.list(&s.entry.e)
	var slots, tfs [blockLen]uint32
	for block := range l.blocks {
		n := l.decode(block, &slots, &tfs)
		for i := range n {
			slot := slots[i]
			if slot >= s.h.slots || s.isPurged(slot) || out.done == out.df {
				continue
			}
			out.add(s.first+slot, tfs[i]+1)
		}
	}
}
