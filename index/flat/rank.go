package flat

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/arrwdb/arrwdb/index"
)

// A candidate is a slot whose distance may be among the best, and a lower bound on it.
type candidate struct {
	slot  uint32
	lower float32
}

// A ranker reads rows of candidates and keeps the k best hits. Its methods are called
// by the holder of mu.
type ranker struct {
	mu      sync.Mutex // guards everything below; nothing is locked while it is held
	ctx     context.Context
	k       int
	max     float64 // greatest distance that is a hit
	before  func(a, b uint32) bool
	measure *index.Measure
	rows    index.Rows
	dim     int
	// hits are the best so far, as a heap with the worst first once there are k.
	hits []index.Hit
	*buffers
}

// buffers are for rows that are read, and are used again.
type buffers struct {
	slots []uint32
	exact []float32
	dists []float64
}

// readBytes is how much of exact rows is read at once.
const readBytes = 256 << 10

// limit returns the greatest distance that can still be a hit. One that is equal
// comes down to order.
func (r *ranker) limit() float64 {
	if len(r.hits) == r.k {
		return min(r.max, r.hits[0].Score)
	}
	return r.max
}

// settle reads candidates and takes what is among the best. With byBound it begins
// with the most likely ones, so that the others need not be read if they cannot be
// better; otherwise they come in the order of slots.
func (r *ranker) settle(cands []candidate, byBound bool) error {
	step := max(readBytes/(4*r.dim), 8)
	if byBound {
		slices.SortFunc(cands, func(a, b candidate) int { return cmp.Compare(a.lower, b.lower) })
	}
	for len(cands) > 0 {
		n := min(step, len(cands))
		if byBound {
			// No more than might all be needed, then twice what was needed so far.
			n = min(n, max(r.k-len(r.hits), 16, len(r.hits)/4))
		}
		limit := r.limit()
		r.slots = r.slots[:0]
		for _, c := range cands[:n] {
			if float64(c.lower) <= limit {
				r.slots = append(r.slots, c.slot)
			} else if byBound {
				n = len(cands) // the others are not nearer
				break
			}
		}
		cands = cands[n:]
		if err := r.read(); err != nil {
			return err
		}
	}
	return nil
}

// read reads the rows of r.slots and offers them.
func (r *ranker) read() error {
	n := len(r.slots)
	if n == 0 {
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	slices.Sort(r.slots) // rows in their order on disk; takes little if they are
	if len(r.dists) < n {
		r.dists = make([]float64, n)
	}
	if len(r.exact) < n*r.dim {
		r.exact = make([]float32, n*r.dim)
	}
	exact, dists := r.exact[:n*r.dim], r.dists[:n]
	if err := r.rows(r.slots, exact); err != nil {
		return err
	}
	r.measure.Distances(exact, dists)
	for i, d := range dists {
		r.offer(index.Hit{Slot: r.slots[i], Score: d})
	}
	return nil
}

// worse reports whether a comes after b.
func (r *ranker) worse(a, b index.Hit) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.Slot != b.Slot && r.before(b.Slot, a.Slot)
}

func (r *ranker) offer(h index.Hit) {
	switch {
	case !(h.Score <= r.max):
	case len(r.hits) < r.k:
		r.hits = append(r.hits, h)
		if len(r.hits) == r.k {
			for i := r.k/2 - 1; i >= 0; i-- {
				r.sink(i)
			}
		}
	case r.worse(r.hits[0], h):
		r.hits[0] = h
		r.sink(0)
	}
}

// sink restores the heap below i.
func (r *ranker) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(r.hits) {
			return
		}
		if child+1 < len(r.hits) && r.worse(r.hits[child+1], r.hits[child]) {
			child++
		}
		if !r.worse(r.hits[child], r.hits[i]) {
			return
		}
		r.hits[i], r.hits[child] = r.hits[child], r.hits[i]
		i = child
	}
}

// sorted returns the hits, best first.
func (r *ranker) sorted() []index.Hit {
	slices.SortFunc(r.hits, func(a, b index.Hit) int {
		switch {
		case r.worse(b, a):
			return -1
		case r.worse(a, b):
			return 1
		}
		return 0
	})
	return r.hits
}

// uppers keeps the k least of upper bounds: a heap with the greatest first. With k of
// them, none of the k best hits is farther than the first.
type uppers struct {
	k    int
	heap []float64
}

// add takes a bound and returns the greatest of the k least, or infinity.
func (u *uppers) add(v float64) float64 {
	h := u.heap
	if len(h) < u.k {
		h = append(h, v)
		i := len(h) - 1
		for i > 0 && h[(i-1)/2] < h[i] {
			h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
			i = (i - 1) / 2
		}
		u.heap = h
	} else if v < h[0] {
		i := 0
		for {
			child := 2*i + 1
			if child >= len(h) {
				break
			}
			if child+1 < len(h) && h[child+1] > h[child] {
				child++
			}
			if h[child] <= v {
				break
			}
			h[i] = h[child]
			i = child
		}
		h[i] = v
	}
	if len(h) < u.k {
		return math.Inf(1)
	}
	return h[0]
}
