package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/flat"
)

const (
	searchK = 10
	// boundBytes are the three float32 that an index keeps with each code, and reads
	// with it (see index/flat).
	boundBytes = 12
)

// flat scans an index of random vectors.
func (w searchWorkload) flat(ctx context.Context, e *Env, r *Report) error {
	for _, dim := range []int{128, 384, 768} {
		for _, workers := range []int{1, 2} {
			name := fmt.Sprintf("flat/dim=%d/workers=%d/k=%d/codes=%dMiB", dim, workers, searchK, e.codeBytes>>20)
			if !e.Match(name) || workers > runtime.GOMAXPROCS(0) {
				continue
			}
			c, err := w.scan(ctx, e, name, dim, workers)
			r.addMeasured(c)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (searchWorkload) scan(ctx context.Context, e *Env, name string, dim, workers int) (Case, error) {
	s, err := newScanned(ctx, e.Seed, dim, (e.codeBytes+dim-1)/dim, workers)
	if err != nil {
		return Case{}, err
	}
	defer s.free()
	metrics := []Metric{
		{Name: "rate", Unit: "GB/s"},
		{Name: "memory beside", Unit: "GB/s"},
		{Name: "of memory", Unit: "%", Goal: atLeast(80)},
		{Name: "p50", Unit: "µs"},
		{Name: "rows read", Unit: "rows/search"},
	}
	return e.alternate(ctx, name, 0, e.Reps, metrics,
		func() error {
			_, err := s.measure(ctx, e.Warmup)
			return err
		},
		func(Sync) (rep, error) { return s.measure(ctx, e.Duration) })
}

// A scanned is an index that is searched, and as much memory that is only read.
// The vectors can be made again from their slots, so that their rows take no memory.
type scanned struct {
	x       *flat.Index
	mem     *memory
	seed    uint64
	dim, n  int
	workers int
	queries int // so far
	rows    int // that searches have read so far
}

func newScanned(ctx context.Context, seed uint64, dim, n, workers int) (*scanned, error) {
	x, err := flat.New(index.Cosine, dim, flat.Options{Workers: workers})
	if err != nil {
		return nil, err
	}
	s := &scanned{x: x, seed: seed, dim: dim, n: n, workers: workers}
	v := make([]float32, dim)
	for slot := range n {
		if slot%(1<<16) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		randomVector(v, seed, uint64(slot))
		x.Append(uint32(slot), v)
	}
	s.mem = newMemory(int(s.bytes()))
	runtime.GC() // not in the middle of a search
	return s, nil
}

// bytes is what a search reads of the index.
func (s *scanned) bytes() int64 { return int64(s.n) * int64(s.dim+boundBytes) }

// free lets the memory go before the next case makes its own.
func (s *scanned) free() {
	s.mem.free()
	s.x = nil
	runtime.GC()
}

// randomVector makes up the vector of a number: sums of four, which are near
// enough to a normal distribution, and quick.
func randomVector(v []float32, seed, number uint64) {
	r := rand.NewPCG(seed, number)
	for i := range v {
		a := r.Uint64()
		v[i] = float32(int(a&0xffff)+int(a>>16&0xffff)+int(a>>32&0xffff)+int(a>>48)-2*0xffff) / 0x10000
	}
}

// readRows gives a search the exact vectors of the few slots that it asks for.
func (s *scanned) readRows(slots []uint32, dst []float32) error {
	for i, slot := range slots {
		randomVector(dst[i*s.dim:][:s.dim], s.seed, uint64(slot))
	}
	s.rows += len(slots)
	return nil
}

// measure searches and reads memory in turn for that long, and thrice at least: both
// have the same neighbours on the machine, and each finds the cache full of what the
// other has read. The median of each says what it takes.
func (s *scanned) measure(ctx context.Context, d time.Duration) (rep, error) {
	scope := &index.Scope{High: uint32(s.n), Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	q := make([]float32, s.dim)
	bytes := s.bytes()
	var searches, reads []float64
	rows := s.rows
	for start := time.Now(); len(searches) < 3 || time.Since(start) < d; {
		s.queries++
		randomVector(q, s.seed, 1<<40+uint64(s.queries))
		at := time.Now()
		hits, err := s.x.Search(ctx, q, index.Query{K: searchK}, scope, s.readRows)
		searches = append(searches, us(time.Since(at)))
		if err != nil {
			return nil, err
		}
		if len(hits) != min(searchK, s.n) {
			return nil, fmt.Errorf("a search of %d vectors has %d hits", s.n, len(hits))
		}
		at = time.Now()
		read := s.mem.read(s.workers)
		reads = append(reads, us(time.Since(at)))
		if read != bytes {
			return nil, errors.New("the memory that is read beside the scan has changed")
		}
	}
	search, read := Median(searches), Median(reads)
	return rep{
		"rate":          float64(bytes) / search / 1e3,
		"memory beside": float64(bytes) / read / 1e3,
		"of memory":     100 * read / search,
		"p50":           search,
		"rows read":     float64(s.rows-rows) / float64(len(searches)),
	}, nil
}
