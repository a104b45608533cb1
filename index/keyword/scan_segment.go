package keyword

import (
	"cmp"
	"math/bits"
	"slices"
)

// Slots are looked at in windows. Those where several terms add up are at most
// maxWindow slots, the sums of which stay in the first cache, and at least minWindow
// a term, as every window costs something.
const (
	maxWindow = 4096
	minWindow = 256
)

func (s *Segment) capture(terms []queryTerm) *captured {
	c := &captured{n: s.h.slots, segment: s, ids: make([]uint32, len(terms)), df: make([]uint64, len(terms)), lists: make([]list, len(terms))}
	var r dictReader
	for i, q := range terms {
		c.ids[i] = missing
		if !s.dict.find(&r, []byte(q.term)) {
			continue
		}
		c.ids[i], c.df[i], c.lists[i] = r.e.id, r.e.df, s.list(&r.e)
		if s.deadDF != nil {
			c.df[i] -= min(r.e.df, uint64(s.deadDF[r.e.id]))
		}
	}
	return c
}

// open makes cursors of the terms that the part has.
func (s *search) open() {
	s.recycle()
	for i, id := range s.part.ids {
		if id == missing {
			continue
		}
		c := s.cursor()
		c.open(s.part.lists[i], s.run.scores[i].weight)
		if c.l.df <= blockLen {
			c.load(0)
			c.boundAll(s)
		}
		s.cursors = append(s.cursors, c)
	}
}

func (s *search) cursor() *cursor {
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c
	}
	return new(cursor)
}

// recycle takes the cursors back.
func (s *search) recycle() {
	for _, all := range []*[]*cursor{&s.cursors, &s.extra} {
		for _, c := range *all {
			c.l = list{}
			s.free = append(s.free, c)
		}
		*all = (*all)[:0]
	}
}

// searchAny scores the slots that have any of the terms. Terms whose bounds in a window
// do not reach the worst of the best together are looked up only where the others, the
// essential ones, come near it (MaxScore: Turtle and Flood 1995; with the bounds of
// blocks: Ding and Suel 2011).
func (s *search) searchAny() error {
	for pos := uint32(0); pos < s.limit; {
		if err := s.check(); err != nil {
			return err
		}
		from, next := pos, uint32(1<<32-1)
		for _, c := range s.cursors {
			next = min(next, c.next(from))
		}
		if pos = s.allowed(max(pos, next)); pos >= s.limit {
			return nil
		}
		end := s.window(pos)
		sum := 0.0
		for _, c := range s.cursors {
			c.inWindow = c.boundWindow(s, pos, end)
			sum += c.inWindow
		}
		if sum > 0 && sum*inflate >= s.top.least {
			rest := s.split()
			if last := s.order[len(s.order)-1]; rest == len(s.order)-1 {
				s.scoreOne(s.cursors[last], pos, end, rest)
			} else {
				s.scoreSome(pos, end, rest)
			}
		}
		pos = end
	}
	return nil
}

// allowed returns the first slot from pos on that the mask has, or a slot behind the
// limit. Without a mask it is pos.
func (s *search) allowed(pos uint32) uint32 {
	mask := s.scope.Mask
	if mask == nil || pos >= s.limit {
		return pos
	}
	g := uint64(s.part.first) + uint64(pos)
	w := g / 64
	word := mask[w] >> (g % 64) << (g % 64)
	for end := (uint64(s.part.first) + uint64(s.limit) + 63) / 64; word == 0; word = mask[w] {
		if w++; w == end {
			return s.limit
		}
	}
	return uint32(w*64 + uint64(bits.TrailingZeros64(word)) - uint64(s.part.first))
}

// window returns where the window from pos on ends: with a block of a term that was
// essential in the last one.
func (s *search) window(pos uint32) uint32 {
	end, essential := s.limit, 0
	for _, c := range s.cursors {
		if c.essential {
			essential++
			end = min(end, c.blockEnd(pos, s.limit))
		}
	}
	if essential > 1 {
		least := min(uint64(maxWindow), uint64(essential)*minWindow)
		end = uint32(max(uint64(end), min(uint64(pos)+least, uint64(s.limit))))
	}
	if len(s.cursors) > 1 {
		end = uint32(min(uint64(end), uint64(pos)+maxWindow))
	}
	return end
}

// split orders the cursors by their bounds in the window, and returns how many of them
// together do not reach the worst of the best. prefix[i] bounds the first i.
func (s *search) split() (rest int) {
	s.order, s.prefix = s.order[:0], append(s.prefix[:0], 0)
	for i := range s.cursors {
		s.order = append(s.order, i)
	}
	slices.SortFunc(s.order, func(a, b int) int { return cmp.Compare(s.cursors[a].inWindow, s.cursors[b].inWindow) })
	sum := 0.0
	for i, at := range s.order {
		c := s.cursors[at]
		sum += c.inWindow
		s.prefix = append(s.prefix, sum*inflate)
		if c.inWindow == 0 || sum*inflate < s.top.least && i < len(s.order)-1 {
			rest = i + 1
			c.essential = false
		} else {
			c.essential = true
		}
	}
	return rest
}

// scoreOne scores the slots of one essential term.
func (s *search) scoreOne(c *cursor, pos, end uint32, rest int) {
	mask, first, norms := s.scope.Mask, s.part.first, s.part.segment
	more := s.prefix[rest]
	for c.seek(pos) {
		if c.l.df > blockLen && (c.boundBlock(s, c.block)+more)*inflate < s.top.least {
			pos = c.l.last(c.block) + 1
			if pos >= end || pos == 0 {
				return
			}
			continue
		}
		for ; c.i < c.n; c.i++ {
			slot := c.slots[c.i]
			if slot-pos >= end-pos {
				return
			}
			if g := first + slot; mask != nil && mask[g/64]&(1<<(g%64)) == 0 {
				continue
			}
			value := score(c.weight, c.tfs[c.i]+1, s.run.norm(norms.length(slot)))
			if (value+more)*inflate < s.top.least {
				continue
			}
			if more == 0 {
				s.offer(slot, value)
			} else {
				s.scoreRest(slot, value, rest)
			}
		}
	}
}

// scoreSome adds up the scores of several essential terms, in the order of the query's
// terms.
func (s *search) scoreSome(pos, end uint32, rest int) {
	span := end - pos
	s.grow(int(span))
	for _, c := range s.cursors {
		if c.essential {
			s.addUp(c, pos, span)
		}
	}
	more := s.prefix[rest]
	touched := s.touched[:(span+63)/64]
	for w, word := range touched {
		touched[w] = 0
		for ; word != 0; word &= word - 1 {
			d := uint32(w*64 + bits.TrailingZeros64(word))
			value := s.acc[d]
			s.acc[d] = 0
			switch {
			case (value+more)*inflate < s.top.least:
			case more == 0:
				s.offer(pos+d, value)
			default:
				s.scoreRest(pos+d, value, rest)
			}
		}
	}
}

func (s *search) addUp(c *cursor, pos, span uint32) {
	mask, first, norms := s.scope.Mask, s.part.first, s.part.segment
	base, slope := s.run.base, s.run.slope
	acc, touched := s.acc[:span], s.touched
	for c.seek(pos) {
		for ; c.i < c.n; c.i++ {
			slot := c.slots[c.i]
			d := slot - pos
			if d >= uint32(len(acc)) {
				return
			}
			if g := first + slot; mask != nil && mask[g/64]&(1<<(g%64)) == 0 {
				continue
			}
			norm := base + float64(slope*float64(norms.length(slot)))
			acc[d] += score(c.weight, c.tfs[c.i]+1, norm)
			touched[d/64] |= 1 << (d % 64)
		}
	}
}

// scoreRest looks the terms that are not essential up in a slot where the others add
// up to value, the best first, for as long as it may be one of the best. What it offers
// is summed anew in the query's order.
func (s *search) scoreRest(slot uint32, value float64, rest int) {
	if !s.scope.Allows(s.part.first + slot) {
		return
	}
	norm := s.run.norm(s.part.segment.length(slot))
	s.scores = append(s.scores[:0], make([]float64, len(s.cursors))...)
	one := rest == len(s.order)-1
	if one {
		s.scores[s.order[rest]] = value
	}
	for i := rest - 1; i >= 0; i-- {
		if (value+s.prefix[i+1])*inflate < s.top.least {
			return
		}
		at := s.order[i]
		if c := s.cursors[at]; c.inWindow > 0 && c.find(slot) {
			s.scores[at] = score(c.weight, c.tf(), norm)
			value += s.scores[at]
		}
	}
	if value*inflate < s.top.least {
		return
	}
	for i := rest; i < len(s.order) && !one; i++ {
		// Its own cursor is ahead, at the end of the window.
		at := s.order[i]
		if c := s.second(at); c.find(slot) {
			s.scores[at] = score(c.weight, c.tf(), norm)
		}
	}
	total := 0.0
	for _, v := range s.scores {
		total += v
	}
	if total >= s.top.least {
		s.top.offer(s.part.first+slot, total)
	}
}

// second returns another cursor of a term, for slots that ascend more slowly.
func (s *search) second(at int) *cursor {
	if len(s.extra) == 0 {
		for _, c := range s.cursors {
			x := s.cursor()
			x.open(c.l, c.weight)
			s.extra = append(s.extra, x)
		}
	}
	return s.extra[at]
}

func (s *search) offer(slot uint32, value float64) {
	if value >= s.top.least && s.scope.Allows(s.part.first+slot) {
		s.top.offer(s.part.first+slot, value)
	}
}

// searchAll scores the slots that have all phrases: the rarest term of a phrase leads.
func (s *search) searchAll() error {
	var required []*cursor
	i := 0
	for t, id := range s.part.ids {
		if id == missing {
			continue
		}
		if s.run.q.terms[t].required {
			required = append(required, s.cursors[i])
		}
		i++
	}
	slices.SortStableFunc(required, func(a, b *cursor) int { return cmp.Compare(a.l.df, b.l.df) })
	lead := required[0]
	for pos := s.allowed(0); lead.seek(pos); pos = s.allowed(pos) {
		if err := s.check(); err != nil {
			return err
		}
		slot := lead.slot()
		if slot >= s.limit {
			return nil
		}
		all := true
		pos = slot + 1
		for _, c := range required[1:] {
			if !c.seek(slot) {
				return nil
			}
			if c.slot() != slot {
				pos, all = max(pos, c.slot()), false
				break
			}
		}
		if all {
			s.scoreAll(slot)
		}
	}
	return nil
}

// scoreAll scores a slot that has the terms of all phrases.
func (s *search) scoreAll(slot uint32) {
	if m := s.scope.Mask; m != nil && !s.scope.Allows(s.part.first+slot) {
		return
	}
	norm := s.run.norm(s.part.segment.length(slot))
	value := 0.0
	for _, c := range s.cursors {
		if c.find(slot) {
			value += score(c.weight, c.tf(), norm)
		}
	}
	if value < s.top.least || !s.scope.Allows(s.part.first+slot) || !s.phrases.match(s.part.segment.tokens(slot)) {
		return
	}
	s.top.offer(s.part.first+slot, value)
}
