package flat

import (
	"math"
	"math/bits"
	"sync"

	"github.com/arrwdb/arrwdb/index/kernel"
)

// A worker scans chunks for a search.
type worker struct {
	*search
	helper bool // it goes when processors run short
	uppers uppers
	cands  []candidate
	most   int // candidates that are collected
	read   buffers

	// What follows is for the block at work. Row numbers are those in the chunk.
	ids     [chunkSlots]uint32
	dots    [chunkSlots]int32
	lows    [chunkSlots]int32
	g, s, r [chunkSlots]float32
	words   [chunkSlots / 64]uint64
}

// workers keeps the large arrays and buffers, and cands and heaps that are not very
// large.
var workers = sync.Pool{New: func() any { return new(worker) }}

func (s *search) newWorker() *worker {
	w := workers.Get().(*worker)
	w.search, w.helper, w.cands = s, false, w.cands[:0]
	w.uppers = uppers{0, w.uppers.heap[:0]}
	w.most = streamed
	if !s.stream {
		w.uppers.k, w.most = s.rank.k, max(collected, 4*s.rank.k)
	}
	return w
}

func (w *worker) free() {
	w.search = nil
	if cap(w.cands) > 2*collected {
		w.cands = nil
	}
	if cap(w.uppers.heap) > collected {
		w.uppers.heap = nil
	}
	workers.Put(w)
}

// run takes chunks until there are no more.
func (w *worker) run() {
	for w.failed.Load() == nil {
		if w.helper && running.Load() > processors() {
			return
		}
		n := w.next.Add(1) - 1
		if n >= w.chunks {
			return
		}
		if err := w.ctx.Err(); err != nil {
			w.fail(err)
			return
		}
		c := w.x.chunk(int(n))
		if c == nil {
			continue
		}
		base := uint32(n) * chunkSlots
		for from, end := 0, min(int(w.high-base), chunkSlots); from < end; from += w.x.block {
			if err := w.block(c, base, from, min(from+w.x.block, end)); err != nil {
				w.fail(err)
				return
			}
		}
	}
}

// block looks at the rows from...to of a chunk.
func (w *worker) block(c *chunk, base uint32, from, to int) error {
	n := to - from
	words := w.words[:(n+63)/64]
	limit := w.currentLimit()
	count := w.allowed(words, base+uint32(from), n)
	switch {
	case count == 0:
		return nil
	case w.q.blind || w.stream && math.IsInf(limit, 1):
		return w.takeAll(c, base, w.idsOf(words, from))
	case count < n/4:
		return w.take(c, base, w.sparse(c, w.idsOf(words, from), limit))
	}
	dots := w.dots[:n]
	kernel.DotRangeI8(w.q.hi, c.codes[from*w.x.dim:to*w.x.dim], dots)
	bound := w.q.coarse(limit)
	var passed [chunkSlots / 64]uint64
	kernel.Within(&bound, dots, c.g[from:to], c.s[from:to], c.r[from:to], passed[:])
	some := uint64(0)
	for i := range words {
		words[i] &= passed[i]
		some |= words[i]
	}
	if some == 0 {
		return nil
	}
	ids := w.idsOf(words, from)
	for i, id := range ids {
		dots[i] = dots[int(id)-from] // ids ascend, so what is read has not been written
	}
	return w.take(c, base, ids)
}

// allowed sets the bits of n rows from slot on that the mask allows, and returns how
// many. Without a mask these are all.
func (w *worker) allowed(words []uint64, slot uint32, n int) int {
	if w.sc.Mask == nil {
		for i := range words {
			words[i] = math.MaxUint64
		}
		if n%64 != 0 {
			words[n/64] = 1<<(n%64) - 1
		}
		return n
	}
	count := 0
	for i := range words {
		words[i] = w.sc.Mask[int(slot/64)+i]
		if i == n/64 { // the index may end below the scope
			words[i] &= 1<<(n%64) - 1
		}
		count += bits.OnesCount64(words[i])
	}
	return count
}

// idsOf returns the rows whose bits are set, bit 0 being row from.
func (w *worker) idsOf(words []uint64, from int) []uint32 {
	n := 0
	for i, word := range words {
		for ; word != 0; word &= word - 1 {
			w.ids[n] = uint32(from + 64*i + bits.TrailingZeros64(word))
			n++
		}
	}
	return w.ids[:n]
}

// sparse returns the ids that pass the first part of the query, with their dot
// products in dots.
func (w *worker) sparse(c *chunk, ids []uint32, limit float64) []uint32 {
	dots := w.dots[:len(ids)]
	kernel.DotI8(w.q.hi, c.codes, ids, dots)
	for i, id := range ids {
		w.g[i], w.s[i], w.r[i] = c.g[id], c.s[id], c.r[id]
	}
	bound := w.q.coarse(limit)
	kernel.Within(&bound, dots, w.g[:], w.s[:], w.r[:], w.words[:])
	n := 0
	for i, id := range ids {
		if w.words[i/64]>>(i%64)&1 != 0 {
			ids[n], dots[n] = id, dots[i]
			n++
		}
	}
	return ids[:n]
}

// take judges rows by both parts of the query, asks whether they live, and collects
// those that may be hits. dots has what the first part gave.
func (w *worker) take(c *chunk, base uint32, ids []uint32) error {
	lows := w.lows[:len(ids)]
	kernel.DotI8(w.q.lo, c.codes, ids, lows)
	limit := w.currentLimit()
	for i, id := range ids {
		if c.isGap(int(id)) {
			continue
		}
		d := 254*int64(w.dots[i]) + int64(lows[i])
		lower, upper := w.q.fine(d, c.s[id], c.g[id], c.r[id])
		if lower > limit || w.sc.Mask == nil && !w.sc.Alive(base+id) {
			continue
		}
		if !w.stream {
			if v := w.uppers.add(upper); v < limit {
				w.lower(v)
				limit = w.currentLimit()
			}
		}
		w.cands = append(w.cands, candidate{base + id, down(lower)})
	}
	return w.relieve()
}

// takeAll collects rows without a look at their codes.
func (w *worker) takeAll(c *chunk, base uint32, ids []uint32) error {
	for _, id := range ids {
		if !c.isGap(int(id)) && (w.sc.Mask != nil || w.sc.Alive(base+id)) {
			w.cands = append(w.cands, candidate{base + id, float32(math.Inf(-1))})
		}
	}
	return w.relieve()
}

// prune drops candidates that cannot be hits any more.
func (w *worker) prune() {
	limit, kept := w.currentLimit(), w.cands[:0]
	for _, c := range w.cands {
		if float64(c.lower) <= limit {
			kept = append(kept, c)
		}
	}
	w.cands = kept
}

// relieve has the candidates ranked if there are too many: bounds that tell nothing
// apart, as with equal vectors, must not cost memory.
func (w *worker) relieve() error {
	if len(w.cands) < w.most {
		return nil
	}
	w.prune()
	if len(w.cands) < w.most/2 {
		return nil
	}
	w.rank.mu.Lock()
	defer w.rank.mu.Unlock()
	err := w.rank.settle(w.cands, !w.stream)
	w.cands = w.cands[:0]
	w.search.lower(w.rank.limit())
	return err
}
