package keyword

import "sort"

// A cursor walks through a term's postings in a segment.
type cursor struct {
	l      list
	weight float64
	block  int // that is decoded; -1: none; blocks: behind the last posting
	i, n   int
	slots  [blockLen]uint32
	tfs    [blockLen]uint32 // less one

	all       float64 // bound of a list of one block
	shallow   int     // block whose bound was asked for last
	boundOf   int     // block that bound is of; -1: none
	bound     float64
	inWindow  float64 // bound of the window that is looked at
	essential bool
}

func (c *cursor) open(l list, weight float64) {
	c.l, c.weight = l, weight
	c.block, c.i, c.n = -1, 0, 0
	c.shallow, c.boundOf, c.all = 0, -1, 0
	c.essential = true
}

// slot and tf are of the posting that seek or find has found.
func (c *cursor) slot() uint32 { return c.slots[c.i] }
func (c *cursor) tf() uint32   { return c.tfs[c.i] + 1 }

func (c *cursor) end() { c.block, c.i, c.n = c.l.blocks, 0, 0 }

func (c *cursor) load(block int) {
	c.block, c.i = block, 0
	c.n = c.l.decode(block, &c.slots, &c.tfs)
}

// seek moves to the first posting at slot or after it, never back.
func (c *cursor) seek(slot uint32) bool {
	if c.i < c.n && c.slots[c.i] >= slot {
		return true
	}
	from := max(c.block, 0)
	if c.block >= 0 && c.i == c.n {
		from++ // all of it has been looked at
	}
	if from >= c.l.blocks {
		c.end()
		return false
	}
	if b := c.blockFrom(from, slot); b == c.l.blocks {
		c.end()
		return false
	} else if b != c.block {
		c.load(b)
	}
	for near := min(c.i+4, c.n); c.i < near; c.i++ {
		if c.slots[c.i] >= slot {
			return true
		}
	}
	c.i += sort.Search(c.n-c.i, func(i int) bool { return c.slots[c.i+i] >= slot })
	if c.i == c.n {
		c.end() // the list has only this block, or is none of ours
		return false
	}
	return true
}

// find reports whether the term is in a slot. It moves like seek.
func (c *cursor) find(slot uint32) bool { return c.seek(slot) && c.slots[c.i] == slot }

// blockFrom returns the first block from b on that ends at slot or after it. That of
// a short list is not known: it is block 0.
func (c *cursor) blockFrom(b int, slot uint32) int {
	if c.l.df <= blockLen {
		return b
	}
	for near := min(b+4, c.l.blocks); b < near; b++ {
		if c.l.last(b) >= slot {
			return b
		}
	}
	return b + sort.Search(c.l.blocks-b, func(i int) bool { return c.l.last(b+i) >= slot })
}

// boundAll finds what a list of one block adds to a score at most.
func (c *cursor) boundAll(s *search) {
	if c.l.bounds {
		c.all = s.bound(c.weight, c.l.maxTF, c.l.minLen)
	} else {
		for i := range c.n {
			if c.slots[i] < s.part.segment.h.slots {
				c.all = max(c.all, score(c.weight, c.tfs[i]+1, s.run.norm(s.part.segment.length(c.slots[i]))))
			}
		}
	}
	c.all *= inflate
}

// boundBlock returns what a block of a long list adds to a score at most.
func (c *cursor) boundBlock(s *search, block int) float64 {
	if c.boundOf != block {
		e := c.l.entry(block)
		tf := uint32(e.maxTF)
		if tf == saturated {
			tf = 1<<32 - 1
		}
		c.boundOf, c.bound = block, s.bound(c.weight, tf, uint32(e.minLen))*inflate
	}
	return c.bound
}

// bound returns what a term adds to a score at most.
func (s *search) bound(weight float64, maxTF, minLen uint32) float64 {
	return score(weight, maxTF, s.run.norm(minLen))
}

// boundWindow returns what the term adds at most to slots in [from, to), which ascend
// from call to call.
func (c *cursor) boundWindow(s *search, from, to uint32) float64 {
	if c.l.df <= blockLen {
		if !c.seek(from) || c.slots[c.i] >= to {
			return 0
		}
		return c.all
	}
	if c.i < c.n && c.slots[c.i] >= to {
		return 0
	}
	c.shallow = c.blockFrom(c.shallow, from)
	bound := 0.0
	for b := c.shallow; b < c.l.blocks; b++ {
		bound = max(bound, c.boundBlock(s, b))
		if c.l.last(b) >= to-1 {
			break
		}
	}
	return bound
}

// next returns a slot up to which there is no posting from a slot on: it is at most
// that of the next one.
func (c *cursor) next(from uint32) uint32 {
	if c.block == c.l.blocks {
		return 1<<32 - 1
	}
	if c.i < c.n && c.slots[c.i] >= from {
		return c.slots[c.i]
	}
	return from
}

// blockEnd returns the slot behind the block that has the next posting from a slot on.
func (c *cursor) blockEnd(from uint32, limit uint32) uint32 {
	if c.l.df <= blockLen {
		return limit
	}
	if c.shallow = c.blockFrom(c.shallow, from); c.shallow == c.l.blocks {
		return limit
	}
	return min(limit, c.l.last(c.shallow)+1)
}
