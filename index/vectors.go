package index

import "context"

// Rows reads exact rows: row slots[i] goes to dst[i*dim:][:dim]. A search calls it
// from several goroutines, but never two at once, with slots below its Scope's High
// that have a vector.
type Rows func(slots []uint32, dst []float32) error

// A Query says what a search over vectors returns.
type Query struct {
	// K is how many hits are wanted at most.
	K int
	// MaxDistance, where it is not nil, keeps hits whose distance is not greater.
	MaxDistance *float64
	// Ef is how many candidates a graph keeps at once; 0 is its own default. Exact
	// structures ignore it.
	Ef int
	// Exact asks a structure that may miss neighbours to miss none.
	Exact bool
}

// Vectors finds the nearest of the vectors of one library and metric.
//
// Append, AppendCopy and Kill are for one goroutine, the applier. Any number of
// goroutines may search meanwhile and take no lock: a search looks only at slots
// below its Scope's High, and whoever made the Scope read High after the applier had
// appended them, under a lock or from an atomic.
type Vectors interface {
	// Append adds the vector of a slot, higher than any before. Slots that are left
	// out have no vector and are never found. It panics on a wrong dimension or order.
	Append(slot uint32, v []float32)
	// AppendCopy adds a slot with the vector of an earlier one, which may be dead: a
	// document's title or metadata have changed. If that one has no vector, the new
	// one has none.
	AppendCopy(slot, from uint32)
	// Kill says that a slot is dead. Searches ask their Scope anyway; a structure may
	// use it to save work.
	Kill(slot uint32)
	// Len is the slot after the last one appended, or loaded.
	Len() uint32
	// Search returns the nearest slots that sc allows, best first, those at the same
	// distance in the order of sc.Before. Scores are distances as [Metric.Distance]
	// computes them from the exact rows. An error of rows or ctx is returned as it is.
	Search(ctx context.Context, q []float32, query Query, sc *Scope, rows Rows) ([]Hit, error)
	// MemoryBytes is what the structure holds in memory.
	MemoryBytes() int64
}

// Extents is what a Vectors has whose slots can be saved in extents: runs of slots
// that never change once they are full. At a restart full extents are loaded into an
// empty structure, in order from 0, and slots from Len on are appended again.
type Extents interface {
	// FullExtents is how many extents are full. It may be called at any time.
	FullExtents() int
	// AppendExtent appends the bytes of a full extent to dst. It may be called at any
	// time, and panics if the extent is not full.
	AppendExtent(dst []byte, i int) []byte
	// LoadExtent takes the bytes back. It is the applier's. After an error the
	// structure is as before, and the rest must be appended from rows.
	LoadExtent(i int, b []byte) error
}
