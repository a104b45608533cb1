package kernel_test

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fenced returns n bytes that end where a page begins that cannot be touched, or,
// with front, that begin where such a page ends.
func fenced(t *testing.T, n int, front bool) []byte {
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	for _, fence := range [][]byte{mem[:page], mem[page+size:]} {
		if err := unix.Mprotect(fence, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if front {
		return mem[page:][:n:n]
	}
	return mem[page+size-n:][:n:n]
}

// slice views bytes as elements.
func slice[T any](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(*new(T))))
}

// TestFence runs with all arguments at the very end, and then at the very beginning,
// of what may be touched. A read or write outside ends the test by a fault.
func TestFence(t *testing.T) {
	const maxDim, maxRows, maxIDs = 300, 9, 23
	rng := rand.New(rand.NewPCG(9, 10))
	type buffers struct {
		q, rows, ids, out []byte
		front             bool
	}
	var fences []buffers
	for _, front := range []bool{false, true} {
		fences = append(fences, buffers{fenced(t, 4*maxDim, front), fenced(t, 4*maxDim*maxRows, front),
			fenced(t, 4*maxIDs, front), fenced(t, 4*maxIDs, front), front})
	}
	for _, k := range kernels(t) {
		for dim := 1; dim <= maxDim; dim++ {
			for _, b := range fences {
				n, m := 1+rng.IntN(maxRows), 1+rng.IntN(maxIDs)
				cut := func(buf []byte, n int) []byte {
					if b.front {
						return buf[:n:n]
					}
					return buf[len(buf)-n:]
				}
				ids := slice[uint32](cut(b.ids, 4*m))
				copy(ids, randomIDs(rng, n, m))

				q, rows := slice[float32](cut(b.q, 4*dim)), slice[float32](cut(b.rows, 4*dim*n))
				copy(q, randomF32(rng, len(q)))
				copy(rows, randomF32(rng, len(rows)))
				out := slice[float32](cut(b.out, 4*m))
				k.DotF32(q, rows, ids, out)
				k.L2F32(q, rows, ids, out)
				out = slice[float32](cut(b.out, 4*n))
				k.DotRangeF32(q, rows, out)
				k.L2RangeF32(q, rows, out)
				checkF32(t, k, q, rows, ids)

				qb, rowsb := slice[int8](cut(b.q, dim)), slice[int8](cut(b.rows, dim*n))
				copy(qb, randomI8(rng, len(qb)))
				copy(rowsb, randomI8(rng, len(rowsb)))
				sums := slice[int32](cut(b.out, 4*m))
				k.DotI8(qb, rowsb, ids, sums)
				k.L2I8(qb, rowsb, ids, sums)
				sums = slice[int32](cut(b.out, 4*n))
				k.DotRangeI8(qb, rowsb, sums)
				k.L2RangeI8(qb, rowsb, sums)
				checkI8(t, k, qb, rowsb, ids)
			}
		}
	}
}
