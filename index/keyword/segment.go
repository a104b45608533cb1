package keyword

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/arrwdb/arrwdb/index"
)

// A Segment is an immutable part: a section, which may be memory mapped and must
// stay as it is. Which of its slots have died is kept in memory, changed by Kill.
type Segment struct {
	h        header
	dict     dictionary
	places   []byte
	lengths  []byte
	postings []byte // and what follows them, at least 8 bytes
	forward  []byte

	live   living
	deadDF []uint32   // by term: of killed slots; nil: none
	reader dictReader // of AddCopy, which runs alone
}

// Open looks at a section and keeps it. It reads all of it once, for the sum, and
// goes through everything that later reads rely on to stay within it.
func Open(b []byte) (*Segment, error) {
	s := &Segment{}
	if err := s.h.parse(b); err != nil {
		return nil, err
	}
	if s.h.slots > index.MaxSlots {
		return nil, corrupt("%d slots", s.h.slots)
	}
	body := b[:len(b)-sumLen]
	if sum, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(b[len(body):]); sum != want {
		return nil, corrupt("sum is %08x instead of %08x", sum, want)
	}
	cut := func(n uint64) []byte {
		part := body[:n:n]
		body = body[n:]
		return part
	}
	cut(headerLen)
	s.dict = dictionary{terms: s.h.terms, index: cut(s.h.blocks() * dictEntryLen), postings: s.h.postings}
	s.places = cut(placeLen * (uint64(s.h.slots) + 1))
	s.lengths = cut(4 * uint64(s.h.slots))
	s.dict.dict = cut(s.h.dict)
	s.postings = body
	cut(s.h.postings)
	s.forward = cut(s.h.forward)
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("keyword section of %d slots: %w", s.h.slots, err)
	}
	s.live.stats = Stats{Docs: uint64(s.h.docs), Terms: s.h.total}
	return s, nil
}

func (s *Segment) check() error {
	before, docs, total := uint64(0), uint32(0), uint64(0)
	for i := range int(s.h.slots) + 1 {
		at := place(s.places, i)
		if at < before || i == 0 && at != 0 {
			return corrupt("the forward list of slot %d begins at %d, after %d", i, at, before)
		}
		before = at
	}
	if before != uint64(len(s.forward)) {
		return corrupt("the last forward list ends at %d of %d", before, len(s.forward))
	}
	for i := range s.h.slots {
		if n := s.length(i); n > 0 {
			docs++
			total += uint64(n)
		}
	}
	if docs != s.h.docs || total != s.h.total {
		return corrupt("%d slots with %d terms; the header says %d and %d", docs, total, s.h.docs, s.h.total)
	}
	return s.dict.check(func(e *dictEntry) error {
		if e.df == 0 || e.df > uint64(docs) {
			return corrupt("term %d is in %d of %d slots", e.id, e.df, docs)
		}
		l := s.list(e)
		return l.check(s.h.slots)
	})
}

// Len returns how many slots the segment has.
func (s *Segment) Len() int { return int(s.h.slots) }

// Stats counts the live slots with terms.
func (s *Segment) Stats() Stats { return s.live.stats }

// Kill takes a slot that has died out of what terms and slots count.
func (s *Segment) Kill(local uint32) {
	if local >= s.h.slots || !s.live.kill(local, s.Len(), s.length(local)) {
		return
	}
	if s.deadDF == nil {
		s.deadDF = make([]uint32, s.h.terms)
	}
	for _, id := range s.live.distinct(s.tokens(local), s.h.terms) {
		s.deadDF[id]++
	}
}

func (s *Segment) length(local uint32) uint32 {
	return binary.LittleEndian.Uint32(s.lengths[4*int(local):])
}

func (s *Segment) list(e *dictEntry) list {
	return newList(s.postings[e.place:], int(e.df), int(e.size))
}

func (s *Segment) tokens(local uint32) tokenReader {
	if local >= s.h.slots {
		return tokenReader{}
	}
	return tokenReader{bytes: s.forward[place(s.places, int(local)):place(s.places, int(local)+1)]}
}

func (s *Segment) term(id uint64) ([]byte, bool) {
	if id >= uint64(s.h.terms) {
		return nil, false
	}
	r := &s.reader
	r.seek(&s.dict, int(id/dictBlock))
	for range id%dictBlock + 1 {
		if !r.advance() {
			return nil, false
		}
	}
	return r.e.term, true
}
