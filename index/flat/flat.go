package flat

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/kernel"
)

// ExtentSlots is how many slots an extent has: what is saved and loaded at once.
const ExtentSlots = 16 * chunkSlots

// MaxDim is the highest dimension. The bounds are proven up to here: a row's rounding
// errors must not exceed its code, and sums of codes must fit an int32.
const MaxDim = 16384

// Options are settings of an index.
type Options struct {
	// Workers is how many goroutines one search uses at most. The default, 0, is one
	// for each processor that Go uses. A search takes more than one only while
	// processors are idle, as far as searches of this package know.
	Workers int
}

// An Index holds the codes of one library's vectors. See [index.Vectors] for what may
// be called when.
type Index struct {
	metric index.Metric
	dim    int
	block  int // rows that are scanned by one call
	opts   Options

	// table has the chunks that have vectors; others are nil. The applier replaces it
	// by a longer one, and a chunk by a larger one, and writes to no place that a
	// search may read: rows below next never change.
	table atomic.Pointer[[]atomic.Pointer[chunk]]
	// next is the slot after the last appended. Invariant: rows and gaps below it are
	// written; only the applier moves it, and only forward.
	next  atomic.Uint32
	bytes atomic.Int64
}

var (
	_ index.Vectors = (*Index)(nil)
	_ index.Extents = (*Index)(nil)
)

// blockBytes is how many codes are scanned by one call, if these are 64 rows or more:
// they stay in the second-level cache for the second look at survivors, and the three
// calls a block are lost in the time that memory takes.
const blockBytes = 256 << 10

// New returns an empty index.
func New(m index.Metric, dim int, opts Options) (*Index, error) {
	if !m.Valid() {
		return nil, fmt.Errorf("flat: unknown %v", m)
	}
	if dim < 1 || dim > MaxDim {
		return nil, fmt.Errorf("flat: dimension %d is not in 1 to %d", dim, MaxDim)
	}
	if opts.Workers < 0 {
		return nil, fmt.Errorf("flat: Workers is %d", opts.Workers)
	}
	x := &Index{metric: m, dim: dim, opts: opts}
	x.block = min(max(blockBytes/dim&^63, 64), chunkSlots)
	for chunkSlots%x.block != 0 {
		x.block -= 64 // so that blocks of a chunk are alike
	}
	x.table.Store(new([]atomic.Pointer[chunk]))
	return x, nil
}

// Metric returns the metric.
func (x *Index) Metric() index.Metric { return x.metric }

// Dim returns the dimension.
func (x *Index) Dim() int { return x.dim }

// Len implements [index.Vectors].
func (x *Index) Len() uint32 { return x.next.Load() }

// MemoryBytes implements [index.Vectors].
func (x *Index) MemoryBytes() int64 { return x.bytes.Load() }

// Kill implements [index.Vectors]: a scan passes dead rows anyway.
func (x *Index) Kill(uint32) {}

// Append implements [index.Vectors].
func (x *Index) Append(slot uint32, v []float32) {
	if len(v) != x.dim {
		panic(fmt.Sprintf("flat: a vector of dimension %d for an index of %d", len(v), x.dim))
	}
	c, i := x.place(slot)
	c.s[i], c.g[i], c.r[i] = encode(x.metric, v, c.row(i, x.dim))
	x.next.Store(slot + 1)
}

// AppendCopy implements [index.Vectors].
func (x *Index) AppendCopy(slot, from uint32) {
	if from >= slot {
		panic(fmt.Sprintf("flat: slot %d copies %d", slot, from))
	}
	c, i := x.place(slot) // after this everything before slot is a row or a gap
	old, j := x.chunk(int(from/chunkSlots)), int(from%chunkSlots)
	if old == nil {
		c.gap(i)
	} else {
		copy(c.row(i, x.dim), old.row(j, x.dim))
		c.s[i], c.g[i], c.r[i] = old.s[j], old.g[j], old.r[j]
	}
	x.next.Store(slot + 1)
}

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
	c := newChunk(size, x.dim)
	if old != nil {
		c.copy(old)
		x.bytes.Add(-old.bytes())
	}
	x.bytes.Add(c.bytes())
	t[n].Store(c)
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
}

func newChunk(rows, dim int) *chunk {
	n := make([]float32, 3*rows)
	return &chunk{make([]int8, rows*dim), n[:rows:rows], n[rows : 2*rows : 2*rows], n[2*rows:]}
}

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

// running counts the goroutines that scan for any search of the process. It is the
// one thing that indexes share, because what they share out are the processors: a
// search takes helpers only as long as there are fewer than these.
var running atomic.Int64

func processors() int64 { return int64(runtime.GOMAXPROCS(0)) }

// up returns the least float32 that is not below v, down the greatest not above. NaN
// stays.
func up(v float64) float32 {
	f := float32(v)
	if float64(f) < v {
		return math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}

func down(v float64) float32 { return -up(-v) }

var _ = [1]int{}[(MaxDim-1)/kernel.MaxDimI8] // MaxDim is at most what the kernels take
