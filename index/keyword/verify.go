package keyword

import "context"

// Verify checks what Open does not, as only wrong code makes it wrong: that the forward
// lists, the lengths, the postings and the bounds of blocks say the same.
func (s *Segment) Verify(ctx context.Context) error {
	forward, err := s.verifyForward(ctx)
	if err != nil {
		return err
	}
	var postings uint64
	err = s.dict.check(func(e *dictEntry) error {
		sum, err := s.verifyList(e)
		postings += sum
		if err == nil {
			err = ctx.Err()
		}
		return err
	})
	if err == nil && postings != forward {
		err = corrupt("postings and forward lists differ")
	}
	return err
}

// digest is a number of a posting. Those of all postings are added, in any order.
func digest(term, slot, tf uint32) uint64 {
	x := uint64(term)<<32 | uint64(slot)
	for _, k := range [2]uint64{0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9 ^ uint64(tf)} {
		x = (x ^ x>>31 ^ k) * 0x94d049bb133111eb
	}
	return x ^ x>>29
}

func (s *Segment) verifyForward(ctx context.Context) (sum uint64, err error) {
	tfs := map[uint32]uint32{}
	for slot := range s.h.slots {
		if slot%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		clear(tfs)
		if err := s.countForward(slot, tfs); err != nil {
			return 0, err
		}
		length := uint32(0)
		for id, tf := range tfs {
			length += tf
			sum += digest(id, slot, tf)
		}
		if length != s.length(slot) {
			return 0, corrupt("slot %d has %d terms, its length is %d", slot, length, s.length(slot))
		}
	}
	return sum, nil
}

// countForward counts the terms of a slot, those of its title TitleWeight times.
func (s *Segment) countForward(slot uint32, tfs map[uint32]uint32) error {
	list := s.tokens(slot)
	marked := false
	for len(list.bytes) > 0 {
		tok, ok := list.next()
		switch {
		case !ok:
			return corrupt("the forward list of slot %d ends within a number", slot)
		case tok == tokenMark:
			if marked || len(tfs) == 0 {
				return corrupt("a mark in the forward list of slot %d after %d terms", slot, len(tfs))
			}
			marked = true
			for id := range tfs {
				tfs[id] *= TitleWeight
			}
		case isTerm(tok):
			if tokenTerm(tok) >= uint64(s.h.terms) {
				return corrupt("slot %d has term %d of %d", slot, tokenTerm(tok), s.h.terms)
			}
			tfs[uint32(tokenTerm(tok))]++
		case tok == 1:
			return corrupt("a gap of no words in the forward list of slot %d", slot)
		}
	}
	return nil
}

func (s *Segment) verifyList(e *dictEntry) (sum uint64, err error) {
	l := s.list(e)
	var slots, tfs [blockLen]uint32
	before := int64(-1)
	for block := range l.blocks {
		n := l.decode(block, &slots, &tfs)
		maxTF, minLen := uint32(0), ^uint32(0)
		for i, slot := range slots[:n] {
			if int64(slot) <= before || slot >= s.h.slots || tfs[i]+1 == 0 {
				return 0, corrupt("%q is %d times in slot %d of %d, after %d", e.term, tfs[i]+1, slot, s.h.slots, before)
			}
			before = int64(slot)
			maxTF, minLen = max(maxTF, tfs[i]+1), min(minLen, s.length(slot))
			sum += digest(e.id, slot, tfs[i]+1)
		}
		if err := l.verifyBounds(e, block, maxTF, minLen, uint32(before)); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func (l *list) verifyBounds(e *dictEntry, block int, maxTF, minLen, last uint32) error {
	statedTF, statedLen, statedLast := l.maxTF, l.minLen, last
	switch {
	case l.df > blockLen:
		b := l.entry(block)
		statedTF, statedLen, statedLast = uint32(b.maxTF), uint32(b.minLen), b.last
		maxTF, minLen = min(maxTF, saturated), min(minLen, saturated)
	case !l.bounds:
		return nil
	}
	if statedTF != maxTF || statedLen != minLen || statedLast != last {
		return corrupt("block %d of %q states tf %d, length %d, slot %d; they are %d, %d, %d", block, e.term, statedTF, statedLen, statedLast, maxTF, minLen, last)
	}
	return nil
}
