package kernel

import "golang.org/x/sys/cpu"

// supported is what this processor and system can run, in order of speed.
var supported = detect()

func detect() []variant {
	x, out := &cpu.X86, []variant{pureGo}
	if !x.HasAVX2 || !x.HasFMA {
		return out
	}
	out = append(out, avx2)
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL {
		return out
	}
	out = append(out, avx512)
	if x.HasAVX512VNNI {
		out = append(out, avx512vnni)
	}
	return out
}

// The assembly. rows is the first row; ids is nil for rows that follow each other;
// n counts the rows; while a row is read, the one that comes ahead rows later is
// prefetched. n and dim are 1 or more, and dim is 16 or more for int8 with AVX2. What
// they share, registers and all, is in loop_amd64.h.

//go:noescape
func dotF32AVX2(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)

//go:noescape
func l2F32AVX2(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)

//go:noescape
func dotI8AVX2(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

//go:noescape
func l2I8AVX2(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

//go:noescape
func dotF32AVX512(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)

//go:noescape
func l2F32AVX512(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)

//go:noescape
func dotI8AVX512(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

//go:noescape
func l2I8AVX512(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

//go:noescape
func dotI8VNNI(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

//go:noescape
func l2I8VNNI(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)

// Here n is a multiple of 64, and not 0.

//go:noescape
func withinAVX2(b *Bound, dots *int32, gs, ss, rs *float32, n int, mask *uint64)

//go:noescape
func withinAVX512(b *Bound, dots *int32, gs, ss, rs *float32, n int, mask *uint64)

// aheadBytes is how far prefetching runs ahead of reading, but it is four rows at
// least. Rows of 100 bytes that follow each other take 4.2 ns with 1 KiB and 5.0 ns
// with four rows; rows anywhere in 64 MiB take 10 ns with 1 KiB, 13 with 2 KiB and 16
// with 8 KiB: prefetches beyond what a core can have under way hold up the reads.
const aheadBytes = 1 << 10

// ahead returns the rows for that, a multiple of four.
func ahead(rowBytes int) int {
	if rowBytes > aheadBytes/8 {
		return 4
	}
	return int(aheadBytes / uint32(rowBytes) &^ 3)
}

// first returns the address of the first id, or nil.
func first(ids []uint32) *uint32 {
	if len(ids) == 0 {
		return nil
	}
	return &ids[0]
}

// The methods below are called with at least one row, and bounds checked. Calls are
// direct, not through function values, so that arguments need not escape.

func (k Kernel) dotF32(q, rows []float32, ids []uint32, out []float32) {
	switch k.v {
	case avx512, avx512vnni:
		dotF32AVX512(&q[0], &rows[0], len(q), first(ids), len(out), ahead(4*len(q)), &out[0])
	case avx2:
		dotF32AVX2(&q[0], &rows[0], len(q), first(ids), len(out), ahead(4*len(q)), &out[0])
	default:
		dotF32Go(q, rows, ids, out)
	}
}

func (k Kernel) l2F32(q, rows []float32, ids []uint32, out []float32) {
	switch k.v {
	case avx512, avx512vnni:
		l2F32AVX512(&q[0], &rows[0], len(q), first(ids), len(out), ahead(4*len(q)), &out[0])
	case avx2:
		l2F32AVX2(&q[0], &rows[0], len(q), first(ids), len(out), ahead(4*len(q)), &out[0])
	default:
		l2F32Go(q, rows, ids, out)
	}
}

func (k Kernel) dotI8(q, rows []int8, ids []uint32, out []int32) {
	switch {
	case k.v == avx512vnni:
		dotI8VNNI(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	case k.v == avx512:
		dotI8AVX512(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	case k.v == avx2 && len(q) >= 16:
		dotI8AVX2(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	default:
		dotI8Go(q, rows, ids, out)
	}
}

func (k Kernel) l2I8(q, rows []int8, ids []uint32, out []int32) {
	switch {
	case k.v == avx512vnni:
		l2I8VNNI(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	case k.v == avx512:
		l2I8AVX512(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	case k.v == avx2 && len(q) >= 16:
		l2I8AVX2(&q[0], &rows[0], len(q), first(ids), len(out), ahead(len(q)), &out[0])
	default:
		l2I8Go(q, rows, ids, out)
	}
}

func (k Kernel) within(b *Bound, dots []int32, g, s, r []float32, mask []uint64) {
	switch k.v {
	case avx512, avx512vnni:
		withinAVX512(b, &dots[0], &g[0], &s[0], &r[0], len(dots), &mask[0])
	case avx2:
		withinAVX2(b, &dots[0], &g[0], &s[0], &r[0], len(dots), &mask[0])
	default:
		withinWordsGo(b, dots, g, s, r, mask)
	}
}
