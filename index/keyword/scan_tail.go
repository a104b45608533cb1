package keyword

import "math/bits"

// A tailView is a tail as it was: everything below the lengths of these slices stays.
type tailView struct {
	heads    []uint32 // by the query's terms
	postings []posting
	words    []uint32
	starts   []uint64
	lengths  []uint32
}

func (t *Tail) capture(terms []queryTerm) *captured {
	c := &captured{n: uint32(t.Len()), ids: make([]uint32, len(terms)), df: make([]uint64, len(terms))}
	v := &tailView{heads: make([]uint32, len(terms)), postings: t.postings, words: t.words, starts: t.starts, lengths: t.lengths}
	for i, q := range terms {
		c.ids[i] = missing
		if id, ok := t.ids[q.term]; ok {
			c.ids[i], c.df[i], v.heads[i] = id, uint64(t.df[id]), t.heads[id]
		}
	}
	c.tail = v
	return c
}

// searchTail adds up the scores of all slots, term by term.
func (s *search) searchTail() error {
	v := s.part.tail
	s.grow(int(s.limit))
	required := uint32(0)
	for i, head := range v.heads {
		if err := s.check(); err != nil {
			return err
		}
		one := uint32(0)
		if s.run.q.terms[i].required {
			one = 1
			required++
		}
		weight := s.run.scores[i].weight
		for head > 0 {
			p := v.postings[head-1]
			head = p.before
			if p.slot >= s.limit {
				continue
			}
			s.acc[p.slot] += score(weight, p.tf, s.run.norm(v.lengths[p.slot]))
			s.count[p.slot] += one
			s.touched[p.slot/64] |= 1 << (p.slot % 64)
		}
	}
	for w, word := range s.touched {
		s.touched[w] = 0
		for ; word != 0; word &= word - 1 {
			slot := uint32(w*64 + bits.TrailingZeros64(word))
			value, have := s.acc[slot], s.count[slot]
			s.acc[slot], s.count[slot] = 0, 0
			if value < s.top.least || have < required || !s.scope.Allows(s.part.first+slot) {
				continue
			}
			if s.phrases.match(tokenReader{words: v.words[v.starts[slot]:v.starts[slot+1]]}) {
				s.top.offer(s.part.first+slot, value)
			}
		}
	}
	return nil
}

// grow makes room for the sums of n slots, which are zero.
func (s *search) grow(n int) {
	if len(s.acc) < n {
		s.acc = make([]float64, n)
		s.count = make([]uint32, n)
		s.touched = make([]uint64, (n+63)/64)
	}
}
