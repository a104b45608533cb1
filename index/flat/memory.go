package flat

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/arrwdb/arrwdb/index"
)

// chunk returns a chunk, or nil.
func (x *Index) chunk(n int) *chunk {
	if t := *x.table.Load(); n < len(t) {
		return t[n].Load()
	}
	return nil
}

// place makes room for a slot, marks those between the last one and it as gaps, and
// returns the slot's chunk and place in it.
func (x *Index) place(slot uint32) (*chunk, int) {
	next := x.next.Load()
	if slot < next || slot >= index.MaxSlots {
		panic(fmt.Sprintf("flat: slot %d after %d", slot, next))
	}
	n := int(slot / chunkSlots)
	// The rest of the chunk that is being left, if it has one.
	if last := int(next / chunkSlots); last < n && next%chunkSlots != 0 && x.chunk(last) != nil {
		x.grow(last, chunkSlots).gaps(int(next%chunkSlots), chunkSlots)
	}
	i, from := int(slot%chunkSlots), 0
	if int(next/chunkSlots) == n {
		from = int(next % chunkSlots)
	}
	fresh := x.chunk(n) == nil
	c := x.grow(n, i+1)
	if fresh {
		from = 0
	}
	c.gaps(from, i)
	return c, i
}

// grow returns chunk n with room for a number of rows. Only the first chunk grows
// in steps, so that a small library takes little.
func (x *Index) grow(n, rows int) *chunk {
	t := *x.table.Load()
	if n >= len(t) {
		longer := make([]atomic.Pointer[chunk], max(n+1, 2*len(t), 16))
		for i := range t {
			longer[i].Store(t[i].Load())
		}
		t = longer
		x.table.Store(&t)
	}
	old := t[n].Load()
	if old != nil && len(old.s) >= rows {
		return old
	}
	size := chunkSlots
	if n == 0 {
		for size = firstRows; size < rows; size *= 4 {
		}
	}
	c := x.newChunk(n, size)
	if old != nil {
		c.copy(old)
		x.bytes.Add(-old.bytes())
	}
	x.bytes.Add(c.bytes())
	t[n].Store(c)
	return c
}

// newChunk returns chunk n with room for a number of rows. Those of the first extent
// are in the heap, as most libraries are small; every other extent has a slab.
func (x *Index) newChunk(n, rows int) *chunk {
	size := rows * (x.dim + 12)
	var mem []byte
	c := new(chunk)
	if n >= extentChunks {
		if n/extentChunks != x.slabOf || x.slab == nil {
			x.slab, x.slabOf = newSlab(extentChunks*size), n/extentChunks
		}
		if x.slab != nil {
			c.slab, mem = x.slab, x.slab.mem[n%extentChunks*size:][:size:size]
		}
	}
	var numbers []float32
	if mem == nil {
		numbers, c.codes = make([]float32, 3*rows), make([]int8, rows*x.dim)
	} else {
		numbers = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(mem))), 3*rows)
		c.codes = unsafe.Slice((*int8)(unsafe.Pointer(&mem[12*rows])), rows*x.dim)
	}
	c.s, c.g, c.r = numbers[:rows:rows], numbers[rows:2*rows:2*rows], numbers[2*rows:]
	return c
}

// chunkSlots is the unit of memory and of work. It is a multiple of 64, so that
// chunks begin with a word of a mask.
const chunkSlots = 1024

// firstRows is what the first chunk has room for at first; a power of four below
// chunkSlots, which is one, too.
const firstRows = 16

// A chunk holds the coded rows of consecutive slots. What the numbers of a row mean
// is said at encode.
type chunk struct {
	codes   []int8
	s, g, r []float32
	slab    *slab // the memory of all four, or nil; it goes with its last chunk
}

// A slab is memory outside the heap. It is given back when nothing refers to the
// slab itself: who looks at rows keeps the index alive, and with it the chunks.
type slab struct{ mem []byte }

func (c *chunk) bytes() int64 { return int64(len(c.codes) + 12*len(c.s)) }

func (c *chunk) row(i, dim int) []int8 { return c.codes[i*dim:][:dim:dim] }

func (c *chunk) copy(old *chunk) {
	copy(c.codes, old.codes)
	copy(c.s, old.s)
	copy(c.g, old.g)
	copy(c.r, old.r)
}

// gap marks a place without a vector.
func (c *chunk) gap(i int) { c.s[i], c.g[i], c.r[i] = 0, 0, -1 }

func (c *chunk) gaps(from, to int) {
	for i := from; i < to; i++ {
		c.gap(i)
	}
}

// isGap reports whether a place has no vector; residuals are not negative.
func (c *chunk) isGap(i int) bool { return c.r[i] < 0 }
