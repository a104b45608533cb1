package kernel

import (
	"fmt"
	"math/bits"
)

// MaxDimI8 is the highest dimension of int8 vectors: 32,768 squared differences of
// up to 255 are the most that an int32 holds.
const MaxDimI8 = 1 << 15

// A Kernel is one way to compute, named after the instructions it uses. The zero
// Kernel is the one in plain Go.
type Kernel struct{ v variant }

type variant uint8

const (
	pureGo variant = iota
	avx2
	avx512
	avx512vnni
)

var names = [...]string{pureGo: "go", avx2: "avx2", avx512: "avx512", avx512vnni: "avx512vnni"}

// best serves the package functions. It is set once, before main.
var best = Kernel{supported[len(supported)-1]}

// Best returns the kernel that the package functions use.
func Best() Kernel { return best }

// Variants returns the names of the kernels that run on this processor, the best
// one last.
func Variants() []string {
	var out []string
	for _, v := range supported {
		out = append(out, names[v])
	}
	return out
}

// Named returns a kernel by its name, if this processor can run it.
func Named(name string) (Kernel, error) {
	for _, v := range supported {
		if names[v] == name {
			return Kernel{v}, nil
		}
	}
	return Kernel{}, fmt.Errorf("kernel: %q is not one of the kernels that run here: %v", name, Variants())
}

// String returns the name.
func (k Kernel) String() string { return names[k.v] }

// DotF32 sets out[i] to the dot product of q and row ids[i], which is
// rows[ids[i]*len(q):][:len(q)]. The ids may repeat and come in any order. It panics
// if q is empty, if out and ids differ in length, or if a row is not all in rows;
// then out is unchanged.
func DotF32(q, rows []float32, ids []uint32, out []float32) { best.DotF32(q, rows, ids, out) }

// L2F32 is [DotF32] with the squared Euclidean distance.
func L2F32(q, rows []float32, ids []uint32, out []float32) { best.L2F32(q, rows, ids, out) }

// DotRangeF32 sets out[i] to the dot product of q and row i, for all of out. It
// panics if q is empty or if rows holds fewer than len(out) rows.
func DotRangeF32(q, rows, out []float32) { best.DotRangeF32(q, rows, out) }

// L2RangeF32 is [DotRangeF32] with the squared Euclidean distance.
func L2RangeF32(q, rows, out []float32) { best.L2RangeF32(q, rows, out) }

// DotI8 is [DotF32] for int8 codes, and exact. It also panics if the dimension is
// more than [MaxDimI8].
func DotI8(q, rows []int8, ids []uint32, out []int32) { best.DotI8(q, rows, ids, out) }

// L2I8 is [DotI8] with the squared Euclidean distance.
func L2I8(q, rows []int8, ids []uint32, out []int32) { best.L2I8(q, rows, ids, out) }

// DotRangeI8 is [DotRangeF32] for int8 codes, and exact. It also panics if the
// dimension is more than [MaxDimI8].
func DotRangeI8(q, rows []int8, out []int32) { best.DotRangeI8(q, rows, out) }

// L2RangeI8 is [DotRangeI8] with the squared Euclidean distance.
func L2RangeI8(q, rows []int8, out []int32) { best.L2RangeI8(q, rows, out) }

// DotF32 is the function of that name with this kernel; so are the others.
func (k Kernel) DotF32(q, rows []float32, ids []uint32, out []float32) {
	checkIDs(len(q), len(rows), ids, len(out))
	for step := blockRows(4*len(q), len(ids)); len(ids) > 0; {
		n := min(step, len(ids))
		k.dotF32(q, rows, ids[:n], out[:n])
		ids, out = ids[n:], out[n:]
	}
}

func (k Kernel) L2F32(q, rows []float32, ids []uint32, out []float32) {
	checkIDs(len(q), len(rows), ids, len(out))
	for step := blockRows(4*len(q), len(ids)); len(ids) > 0; {
		n := min(step, len(ids))
		k.l2F32(q, rows, ids[:n], out[:n])
		ids, out = ids[n:], out[n:]
	}
}

func (k Kernel) DotRangeF32(q, rows, out []float32) {
	checkRange(len(q), len(rows), len(out))
	for step := blockRows(4*len(q), len(out)); len(out) > 0; {
		n := min(step, len(out))
		k.dotF32(q, rows, nil, out[:n])
		rows, out = rows[n*len(q):], out[n:]
	}
}

func (k Kernel) L2RangeF32(q, rows, out []float32) {
	checkRange(len(q), len(rows), len(out))
	for step := blockRows(4*len(q), len(out)); len(out) > 0; {
		n := min(step, len(out))
		k.l2F32(q, rows, nil, out[:n])
		rows, out = rows[n*len(q):], out[n:]
	}
}

func (k Kernel) DotI8(q, rows []int8, ids []uint32, out []int32) {
	checkI8(len(q))
	checkIDs(len(q), len(rows), ids, len(out))
	for step := blockRows(len(q), len(ids)); len(ids) > 0; {
		n := min(step, len(ids))
		k.dotI8(q, rows, ids[:n], out[:n])
		ids, out = ids[n:], out[n:]
	}
}

func (k Kernel) L2I8(q, rows []int8, ids []uint32, out []int32) {
	checkI8(len(q))
	checkIDs(len(q), len(rows), ids, len(out))
	for step := blockRows(len(q), len(ids)); len(ids) > 0; {
		n := min(step, len(ids))
		k.l2I8(q, rows, ids[:n], out[:n])
		ids, out = ids[n:], out[n:]
	}
}

func (k Kernel) DotRangeI8(q, rows []int8, out []int32) {
	checkI8(len(q))
	checkRange(len(q), len(rows), len(out))
	for step := blockRows(len(q), len(out)); len(out) > 0; {
		n := min(step, len(out))
		k.dotI8(q, rows, nil, out[:n])
		rows, out = rows[n*len(q):], out[n:]
	}
}

func (k Kernel) L2RangeI8(q, rows []int8, out []int32) {
	checkI8(len(q))
	checkRange(len(q), len(rows), len(out))
	for step := blockRows(len(q), len(out)); len(out) > 0; {
		n := min(step, len(out))
		k.l2I8(q, rows, nil, out[:n])
		rows, out = rows[n*len(q):], out[n:]
	}
}

// blockBytes is what one call of assembly reads at most (but four rows at least).
// The scheduler cannot interrupt assembly, and a collection of garbage waits for it:
// 256 KiB take 10 to 30 µs.
const blockBytes = 256 << 10

// blockRows returns how many of n rows of a size one call of assembly takes: all, or
// a multiple of four.
func blockRows(rowBytes, n int) int {
	if n <= blockBytes>>12 && rowBytes <= 1<<12 {
		return n // the usual case, without a division
	}
	return max(4, blockBytes/rowBytes&^3)
}

// checkIDs panics unless all ids name rows and there is a place for each result.
func checkIDs(dim, elems int, ids []uint32, out int) {
	if dim == 0 {
		panic("kernel: the query has dimension 0")
	}
	if len(ids) != out {
		panic(fmt.Sprintf("kernel: %d ids, but room for %d results", len(ids), out))
	}
	if out == 0 {
		return
	}
	var top uint32
	for _, id := range ids {
		top = max(top, id)
	}
	if !fits(uint64(top)+1, dim, elems) {
		panic(fmt.Sprintf("kernel: id %d of %d rows of dimension %d", top, elems/dim, dim))
	}
}

// checkRange panics unless there are as many rows as results.
func checkRange(dim, elems, out int) {
	if dim == 0 {
		panic("kernel: the query has dimension 0")
	}
	if !fits(uint64(out), dim, elems) {
		panic(fmt.Sprintf("kernel: %d results of %d rows of dimension %d", out, elems/dim, dim))
	}
}

// fits reports whether n rows are in elems elements. It multiplies because a division
// takes as long as a row of int8 on older processors.
func fits(n uint64, dim, elems int) bool {
	hi, lo := bits.Mul64(n, uint64(dim))
	return hi == 0 && lo <= uint64(elems)
}

func checkI8(dim int) {
	if dim > MaxDimI8 {
		panic(fmt.Sprintf("kernel: int8 vectors of dimension %d; the limit is %d", dim, MaxDimI8))
	}
}
