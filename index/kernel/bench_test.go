package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// BenchmarkKernels measures a row: ns/row, and GB/s of rows read. Places:
//
//	hot      32 rows by number, again and again: all in the first caches
//	shuffled 2,000 rows by number, in no order, 32 a call
//	far      rows by number among 64 MiB, in no order, 32 a call
//	stream   64 MiB of rows that follow each other
func BenchmarkKernels(b *testing.B) {
	for _, place := range []string{"hot", "shuffled", "far", "stream"} {
		for _, dim := range []int{100, 128, 384, 768} {
			for _, k := range kernels(b) {
				name := func(op string) string { return fmt.Sprintf("%s/dim=%d/%s/%v", place, dim, op, k) }
				if k.String() != "avx512vnni" { // which is avx512 for float32
					b.Run(name("DotF32"), func(b *testing.B) { bench(b, place, dim, 4, randomF32, k.DotF32, k.DotRangeF32) })
					b.Run(name("L2F32"), func(b *testing.B) { bench(b, place, dim, 4, randomF32, k.L2F32, k.L2RangeF32) })
				}
				b.Run(name("DotI8"), func(b *testing.B) { bench(b, place, dim, 1, randomI8, k.DotI8, k.DotRangeI8) })
				b.Run(name("L2I8"), func(b *testing.B) { bench(b, place, dim, 1, randomI8, k.L2I8, k.L2RangeI8) })
			}
		}
	}
}

// bench is for elements T of a size and results R.
func bench[T, R any](b *testing.B, place string, dim, size int, random func(*rand.Rand, int) []T,
	byIDs func(q, rows []T, ids []uint32, out []R), byRange func(q, rows []T, out []R)) {
	const group = 32
	rng := rand.New(rand.NewPCG(11, 12))
	n := map[string]int{"hot": group, "shuffled": 2000}[place]
	if n == 0 {
		n = 64 << 20 / (dim * size)
	}
	q := random(rng, dim)
	rows := random(rng, min(n, 4096)*dim) // random numbers are slow; repeat them
	for len(rows) < n*dim {
		rows = append(rows, rows[:min(len(rows), n*dim-len(rows))]...)
	}
	calls := 1000 // groups of ids prepared
	if place == "hot" {
		calls = 1
	}
	var ids []uint32
	for len(ids) < calls*group {
		for _, p := range rng.Perm(n)[:min(n, calls*group-len(ids))] {
			ids = append(ids, uint32(p))
		}
	}
	runtime.GC() // not meanwhile
	done := 0
	if place == "stream" {
		out := make([]R, n)
		for b.Loop() {
			byRange(q, rows, out)
			done += n
		}
	} else {
		out := make([]R, group)
		for i := 0; b.Loop(); i++ {
			at := i % calls * group
			byIDs(q, rows, ids[at:at+group], out)
			done += group
		}
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(done)
	b.ReportMetric(ns, "ns/row")
	b.ReportMetric(float64(dim*size)/ns, "GB/s")
}

// BenchmarkOneRow is a call for a single row by number.
func BenchmarkOneRow(b *testing.B) {
	rng := rand.New(rand.NewPCG(13, 14))
	const dim = 384
	for _, k := range kernels(b) {
		q, c := randomF32(rng, dim), randomI8(rng, dim)
		ids, out, sums := []uint32{0}, make([]float32, 1), make([]int32, 1)
		b.Run(fmt.Sprintf("DotF32/dim=%d/%v", dim, k), func(b *testing.B) {
			for b.Loop() {
				k.DotF32(q, q, ids, out)
			}
		})
		b.Run(fmt.Sprintf("DotI8/dim=%d/%v", dim, k), func(b *testing.B) {
			for b.Loop() {
				k.DotI8(c, c, ids, sums)
			}
		})
	}
}
