package flat

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/index"
)

// Limits of the two ways to search. Up to sortedK hits, upper bounds say soon what can
// be cut, and candidates are collected to be read at the end; beyond, and where there
// are hardly more rows than hits, candidates are read as they come.
const (
	sortedK    = 1 << 16
	collected  = 1 << 15 // candidates of a worker, or four times k if that is more
	streamed   = 1 << 12
	helpfulMin = 2 << 20 // bytes to scan; below, starting a goroutine costs more than it helps
)

// A search is one call of Search.
type search struct {
	ctx    context.Context
	x      *Index
	sc     *index.Scope
	q      *coded
	high   uint32 // slots below it are looked at
	count  int    // how many of them may be hits, at most
	chunks int64
	stream bool
	// limit is the bits of the greatest distance that can still be a hit, so far as
	// the workers know. It only falls.
	limit  atomic.Uint64
	next   atomic.Int64 // the next chunk that no worker has taken
	failed atomic.Pointer[error]
	rank   ranker
}

// Search implements [index.Vectors]. It is exact.
func (x *Index) Search(ctx context.Context, q []float32, query index.Query, sc *index.Scope, rows index.Rows) ([]index.Hit, error) {
	if len(q) != x.dim {
		return nil, fmt.Errorf("flat: a query of dimension %d for an index of %d", len(q), x.dim)
	}
	for i, v := range q {
		if v-v != 0 {
			return nil, fmt.Errorf("flat: component %d of the query is %v", i, v)
		}
	}
	greatest := math.Inf(1)
	if query.MaxDistance != nil {
		greatest = *query.MaxDistance
	}
	if math.IsNaN(greatest) {
		return nil, fmt.Errorf("flat: MaxDistance is %v", greatest)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	high := min(sc.High, x.next.Load())
	count := int(high)
	if sc.Mask != nil {
		count = min(count, sc.Count)
	}
	if query.K <= 0 || count == 0 || greatest < 0 && x.metric != index.Dot {
		return nil, nil
	}
	s := &search{ctx: ctx, x: x, sc: sc, q: newCoded(x.metric, q), high: high, count: count}
	s.chunks = (int64(high) + chunkSlots - 1) / chunkSlots
	s.stream = s.q.blind || query.K > sortedK || query.K > count/4
	s.limit.Store(math.Float64bits(greatest))
	s.rank = ranker{ctx: ctx, k: min(query.K, count), max: greatest, before: sc.Before,
		measure: index.NewMeasure(x.metric, q), rows: rows, dim: x.dim}
	if query.MaxDistance == nil {
		s.rank.hits = make([]index.Hit, 0, s.rank.k) // there are hardly fewer
	}
	err := s.run()
	runtime.KeepAlive(x) // its codes may be outside the heap
	if err != nil {
		return nil, err
	}
	return s.rank.sorted(), nil
}

// run scans with as many workers as are allowed and free, and ranks what they found.
func (s *search) run() error {
	running.Add(1)
	defer running.Add(-1)
	workers := []*worker{s.newWorker()}
	s.rank.buffers = &workers[0].read
	var wg sync.WaitGroup
	for range s.helpers() {
		if running.Add(1) > processors() {
			running.Add(-1)
			break
		}
		w := s.newWorker()
		w.helper = true
		workers = append(workers, w)
		wg.Go(func() {
			defer running.Add(-1)
			w.run()
		})
	}
	workers[0].run()
	wg.Wait()
	if err := s.failed.Load(); err != nil {
		return *err
	}
	all := workers[0]
	for _, w := range workers[1:] {
		for _, v := range w.uppers.heap {
			s.lower(all.uppers.add(v))
		}
		all.cands = append(all.cands, w.cands...)
	}
	all.prune()
	err := s.rank.settle(all.cands, !s.stream)
	s.rank.buffers = nil
	for _, w := range workers {
		w.free()
	}
	return err
}

// helpers returns how many further workers would be of use. Reading rows, which is
// most of what is done without bounds, is one worker's at a time.
func (s *search) helpers() int {
	work := int64(s.high) * int64(s.x.dim)
	if s.sc.Mask != nil {
		work = int64(s.sc.Count) * int64(s.x.dim)
	}
	if work < helpfulMin || s.q.blind || s.rank.k == s.count {
		return 0
	}
	most := processors()
	if n := s.x.opts.Workers; n > 0 {
		most = min(most, int64(n))
	}
	return int(min(most, s.chunks) - 1)
}

func (s *search) currentLimit() float64 { return math.Float64frombits(s.limit.Load()) }

// lower lowers the limit to v, if it is higher.
func (s *search) lower(v float64) {
	for {
		old := s.limit.Load()
		if !(v < math.Float64frombits(old)) || s.limit.CompareAndSwap(old, math.Float64bits(v)) {
			return
		}
	}
}

// fail makes the workers stop. The first error is returned.
func (s *search) fail(err error) { s.failed.CompareAndSwap(nil, &err) }

// running counts the goroutines that scan for any search of the process. It is the
// one thing that indexes share, because what they share out are the processors: a
// search takes helpers only as long as there are fewer than these.
var running atomic.Int64

func processors() int64 { return int64(runtime.GOMAXPROCS(0)) }
