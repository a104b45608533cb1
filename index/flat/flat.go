package flat

import (
	"fmt"
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

	// The slab of the extent that is being filled, and its number. The applier's.
	slab   *slab
	slabOf int
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
	x.next.Store(slot + 1) // also keeps x alive to here, and with it the codes
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

var _ = [1]int{}[(MaxDim-1)/kernel.MaxDimI8] // MaxDim is at most what the kernels take
