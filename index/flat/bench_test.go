package flat_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/flat"
)

// BenchmarkScan searches 256 MiB of codes (ARRWDB_FLAT_MB for another size) with one
// and with two workers, beside the plain reading of as much memory in the same run.
// Random rows are read from one copy, as the exact rows of a benchmark of the scan need
// not be those of the codes' neighbours, only near; see the note at rows.
//
//	go test ./index/flat -run '^$' -bench Scan -count 5
func BenchmarkScan(b *testing.B) {
	size := 256
	if s := os.Getenv("ARRWDB_FLAT_MB"); s != "" {
		size, _ = strconv.Atoi(s)
	}
	for _, dim := range []int{128, 384, 768} {
		set := newSet(b, index.Cosine, dim, size<<20/dim)
		for _, workers := range []int{1, 2} {
			if workers > runtime.GOMAXPROCS(0) {
				continue
			}
			b.Run(fmt.Sprintf("dim=%d/workers=%d/k=10", dim, workers), func(b *testing.B) { set.bench(b, workers, 10, 1) })
		}
		b.Run(fmt.Sprintf("dim=%d/workers=1/k=100", dim), func(b *testing.B) { set.bench(b, 1, 100, 1) })
		b.Run(fmt.Sprintf("dim=%d/workers=1/k=10/mask=0.01", dim), func(b *testing.B) { set.bench(b, 1, 10, 0.01) })
		runtime.GC()
	}
}

// A set is an index over random vectors that can be made again from their number, so
// that their float32 rows take no memory.
type set struct {
	metric index.Metric
	dim, n int
	x      *flat.Index
}

func vectorOf(seed uint64, v []float32) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < len(v); {
		// Sums of eight bytes are near enough to normal, and quick.
		a, c := rng.Uint64(), rng.Uint64()
		for j := 0; j < 4 && i < len(v); j, i = j+1, i+1 {
			v[i] = float32(int(a&0xff)+int(a>>8&0xff)+int(c&0xff)+int(c>>8&0xff)-510) / 512
			a, c = a>>16, c>>16
		}
	}
}

func newSet(b *testing.B, m index.Metric, dim, n int) *set {
	s := &set{metric: m, dim: dim, n: n}
	s.x, _ = flat.New(m, dim, flat.Options{Workers: 1})
	v := make([]float32, dim)
	for i := range n {
		vectorOf(uint64(i), v)
		s.x.Append(uint32(i), v)
	}
	return s
}

func (s *set) bench(b *testing.B, workers, k int, part float64) {
	x := s.x
	flat.SetWorkers(x, workers)
	sc := &index.Scope{High: uint32(s.n), Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	rng := rand.New(rand.NewPCG(5, 5))
	if part < 1 {
		sc.Mask = make([]uint64, (s.n+63)/64)
		for slot := range s.n {
			if rng.Float64() < part {
				sc.Mask[slot/64] |= 1 << (slot % 64)
				sc.Count++
			}
		}
	}
	read := 0
	var reading time.Duration
	rows := func(slots []uint32, dst []float32) error {
		begin := time.Now()
		for i, slot := range slots {
			vectorOf(uint64(slot), dst[i*s.dim:][:s.dim])
		}
		read += len(slots)
		reading += time.Since(begin)
		return nil
	}
	q := make([]float32, s.dim)
	searches, took := 0, time.Duration(0)
	b.ResetTimer()
	for b.Loop() {
		vectorOf(1<<40+uint64(searches), q)
		begin := time.Now()
		if hits, err := x.Search(context.Background(), q, index.Query{K: k}, sc, rows); err != nil || len(hits) != k {
			b.Fatalf("%d hits, %v", len(hits), err)
		}
		took += time.Since(begin)
		searches++
	}
	b.StopTimer()
	took -= reading // making rows anew takes longer than reading them
	bytes := float64(s.n) * float64(s.dim) * float64(searches)
	b.ReportMetric(bytes/took.Seconds()/1e9, "GB/s")
	b.ReportMetric(plainRead(flat.Codes(x), workers), "GB/s-plain")
	b.ReportMetric(float64(read)/float64(searches), "rows-read")
}

// plainRead returns the GB/s at which the same memory is read and added up, as fast as
// the standard library can (see flat.Touch): the median of nine.
func plainRead(codes [][]int8, workers int) float64 {
	var rates []float64
	for range 9 {
		var wg sync.WaitGroup
		total, begin := 0, time.Now()
		for w := range workers {
			for _, c := range codes[w*len(codes)/workers : (w+1)*len(codes)/workers] {
				total += len(c)
			}
			wg.Go(func() {
				for _, c := range codes[w*len(codes)/workers : (w+1)*len(codes)/workers] {
					flat.Touch(c)
				}
			})
		}
		wg.Wait()
		rates = append(rates, float64(total)/time.Since(begin).Seconds()/1e9)
	}
	slices.Sort(rates)
	return rates[len(rates)/2]
}

func BenchmarkAppend(b *testing.B) {
	for _, dim := range []int{128, 384, 768} {
		b.Run(fmt.Sprintf("dim=%d", dim), func(b *testing.B) {
			v := make([]float32, dim)
			vectorOf(1, v)
			x, _ := flat.New(index.Cosine, dim, flat.Options{})
			for b.Loop() {
				if x.Append(x.Len(), v); x.Len() == 4*flat.ExtentSlots {
					x, _ = flat.New(index.Cosine, dim, flat.Options{})
				}
			}
		})
	}
}

func BenchmarkExtent(b *testing.B) {
	const dim = 384
	v := make([]float32, dim)
	vectorOf(1, v)
	x, _ := flat.New(index.Cosine, dim, flat.Options{})
	for slot := range uint32(flat.ExtentSlots) {
		x.Append(slot, v)
	}
	bytes := x.AppendExtent(nil, 0)
	b.Run("save", func(b *testing.B) {
		b.SetBytes(int64(len(bytes)))
		for b.Loop() {
			bytes = x.AppendExtent(bytes[:0], 0)
		}
	})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(int64(len(bytes)))
		for b.Loop() {
			fresh, _ := flat.New(index.Cosine, dim, flat.Options{})
			if err := fresh.LoadExtent(0, bytes); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMany searches a library that fits a cache from one and from several
// goroutines: what a search costs beyond the scan, and what searches cost each other.
func BenchmarkMany(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		set := newSet(b, index.Cosine, 384, n)
		exact := make([]float32, n*set.dim)
		for i := range n {
			vectorOf(uint64(i), exact[i*set.dim:][:set.dim])
		}
		sc := &index.Scope{High: uint32(n), Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
		rows := func(slots []uint32, dst []float32) error {
			for i, slot := range slots {
				copy(dst[i*set.dim:], exact[int(slot)*set.dim:][:set.dim])
			}
			return nil
		}
		one := func(seed uint64, k int) {
			q := make([]float32, set.dim)
			vectorOf(1<<40+seed, q)
			if hits, err := set.x.Search(context.Background(), q, index.Query{K: k}, sc, rows); err != nil || len(hits) != k {
				b.Errorf("%d hits, %v", len(hits), err)
			}
		}
		for _, k := range []int{10, n} {
			b.Run(fmt.Sprintf("n=%d/k=%d/alone", n, k), func(b *testing.B) {
				b.ReportAllocs()
				for seed := uint64(0); b.Loop(); seed++ {
					one(seed, k)
				}
			})
			b.Run(fmt.Sprintf("n=%d/k=%d/parallel", n, k), func(b *testing.B) {
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for seed := uint64(0); pb.Next(); seed++ {
						one(seed, k)
					}
				})
			})
		}
	}
}
