package search

import (
	"context"
	"math/bits"
	"runtime"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// A Capture is a library's structures as of one commit, to be searched without a
// lock. It holds what it needs: there is nothing to release.
type Capture struct {
	Stamp change.Stamp
	// Live is how many chunks there are.
	Live int

	parts   []*part
	died    []*diedExtent
	vectors index.Vectors
	dim     int
	words   *keyword.Run
	scope   index.Scope
}

// Capture takes what a search with these words (nil: none) and this filter (nil:
// none) needs. The caller holds RLock or Lock.
func (l *Library) Capture(q *keyword.Query, f *filter.Filter) *Capture {
	c := &Capture{Stamp: l.stamp, Live: int(l.live), died: l.died, vectors: l.vectors, dim: l.dim}
	c.parts = append(make([]*part, 0, len(l.parts)), l.parts...)
	last := len(c.parts) - 1
	c.parts[last] = c.parts[last].freeze()
	c.scope = index.Scope{High: l.high, Alive: c.alive, Before: c.before}
	if f.Root() != nil {
		c.scope.Mask = append(make([]uint64, 0, len(l.dead)), l.dead...) // the filter makes a mask of it
	}
	if q != nil {
		at := make([]keyword.At, len(c.parts))
		for i, p := range c.parts {
			at[i] = keyword.At{Part: p.words, First: p.first}
		}
		c.words = q.Capture(at)
	}
	return c
}

func (c *Capture) alive(slot uint32) bool {
	d := c.died[slot/diedExtentSlots][slot%diedExtentSlots].Load()
	return d == 0 || d > c.Stamp.Commit
}

func (c *Capture) before(a, b uint32) bool {
	x, y := c.id(a), c.id(b)
	if d := strings.Compare(x.doc, y.doc); d != 0 {
		return d < 0
	}
	return x.chunk < y.chunk
}

func (c *Capture) id(slot uint32) slotID {
	p := partOf(c.parts, slot)
	return p.id(slot - p.first)
}

// ID returns the ids of a slot's document and chunk.
func (c *Capture) ID(slot uint32) (doc, chunk string) {
	id := c.id(slot)
	return id.doc, id.chunk
}

// Num returns the number of a slot's chunk.
func (c *Capture) Num(slot uint32) uint64 {
	p := partOf(c.parts, slot)
	return p.num(slot - p.first)
}

// Filter applies the filter that the capture was made for. It is to be called once,
// before a search.
func (c *Capture) Filter(f *filter.Filter) {
	if c.scope.Mask == nil {
		return
	}
	dead, pass := c.scope.Mask, make([]uint64, len(c.scope.Mask)+1)
	var local []uint64
	for _, p := range c.parts {
		n := p.len()
		words := int(n+63) / 64
		if cap(local) < words {
			local = make([]uint64, words)
		}
		p.pass(f, local[:words], n)
		shift := p.first % 64
		for i, w := range local[:words] {
			at := int(p.first)/64 + i
			pass[at] |= w << shift
			if shift > 0 {
				pass[at+1] |= w >> (64 - shift)
			}
		}
	}
	for i := range dead {
		w := pass[i] &^ dead[i]
		dead[i] = w
		c.scope.Count += bits.OnesCount64(w)
	}
}

// Dim returns how many numbers the library's vectors have, 0 before the first one.
func (c *Capture) Dim() int { return c.dim }

// Matches returns how many chunks the filter passes; of all, without one.
func (c *Capture) Matches() int {
	if c.scope.Mask != nil {
		return c.scope.Count
	}
	return c.Live
}

// Rows reads the vectors of chunks, one after the other.
type Rows func(nums []uint64, dst []float32) error

// Nearest returns the nearest chunks to a vector, nearest first. The Score of a hit
// is the metric's distance.
func (c *Capture) Nearest(ctx context.Context, q []float32, query index.Query, rows Rows) ([]index.Hit, error) {
	if c.vectors == nil {
		return nil, nil
	}
	read := func(slots []uint32, dst []float32) error {
		nums := make([]uint64, len(slots))
		for i, s := range slots {
			nums[i] = c.Num(s)
		}
		return rows(nums, dst)
	}
	defer runtime.KeepAlive(c) // and so the mappings that its parts are in
	return c.vectors.Search(ctx, q, query, &c.scope, read)
}

// Best returns the chunks that match the words best, best first.
func (c *Capture) Best(ctx context.Context, k int) ([]index.Hit, error) {
	defer runtime.KeepAlive(c)
	return c.words.Search(ctx, k, &c.scope)
}

// Before orders two slots as equal scores are ordered: by document id, then by
// chunk id.
func (c *Capture) Before(a, b uint32) bool { return c.before(a, b) }
