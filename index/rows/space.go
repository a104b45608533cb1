package rows

import (
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"
)

// A Key names a space: one kind of vector of one library in one generation of
// its embedding. Keys that differ in any part, the dimension too, are different
// spaces.
type Key struct {
	Library    uint32
	Space      uint8
	Generation uint32
	Dim        uint32 // components of a row, 1 to MaxDim
}

func (k Key) String() string {
	return fmt.Sprintf("library %d, space %d, generation %d, dimension %d", k.Library, k.Space, k.Generation, k.Dim)
}

func (k Key) compare(o Key) int {
	for _, d := range [...]int{int(k.Library) - int(o.Library), int(k.Space) - int(o.Space),
		int(k.Generation) - int(o.Generation), int(k.Dim) - int(o.Dim)} {
		if d != 0 {
			return d
		}
	}
	return 0
}

// space is the block table of one key. Readers load table and the blocks in it
// without a lock; only the holder of Store.applyMu changes them.
type space struct {
	key      Key
	rowBytes int
	perBlock uint64 // rows in a block
	table    atomic.Pointer[table]
	rows     atomic.Int64
	blocks   atomic.Int64
	gone     bool // dropped; guarded by Store.applyMu
}

func newSpace(key Key, blockSize int) *space {
	sp := &space{key: key, rowBytes: 4 * int(key.Dim)}
	sp.perBlock = uint64(blockSize / sp.rowBytes)
	sp.table.Store(&table{})
	return sp
}

// pageBlocks is the fan-out of a table: a page takes 512 bytes, so that 10,000
// small libraries cost 5 MB, and a page of default blocks spans 4 MiB.
const pageBlocks = 64

type page [pageBlocks]atomic.Pointer[block]

// table maps block numbers to blocks: the pages that are not empty, in order.
// It is replaced, not changed, but for appending behind what readers look at.
type table struct {
	nums  []uint64 // page numbers, ascending
	pages []*page
}

func (t *table) find(num uint64) *page {
	// Most tables have no holes: the page is where its distance to the first says.
	if len(t.nums) > 0 && num >= t.nums[0] {
		if i := num - t.nums[0]; i < uint64(len(t.nums)) && t.nums[i] == num {
			return t.pages[i]
		}
	}
	if i, ok := slices.BinarySearch(t.nums, num); ok {
		return t.pages[i]
	}
	return nil
}

func (sp *space) block(k uint64) *block {
	if p := sp.table.Load().find(k / pageBlocks); p != nil {
		return p[k%pageBlocks].Load()
	}
	return nil
}

// put adds a block; the caller holds Store.applyMu, or nobody else knows sp.
func (sp *space) put(b *block) {
	t := sp.table.Load()
	num := b.k / pageBlocks
	p := t.find(num)
	if p == nil {
		p = new(page)
		i, _ := slices.BinarySearch(t.nums, num)
		if i == len(t.nums) {
			t = &table{append(t.nums, num), append(t.pages, p)}
		} else {
			t = &table{slices.Insert(slices.Clone(t.nums), i, num), slices.Insert(slices.Clone(t.pages), i, p)}
		}
		p[b.k%pageBlocks].Store(b)
		sp.table.Store(t)
	} else {
		p[b.k%pageBlocks].Store(b)
	}
	sp.blocks.Add(1)
}

// each calls f for the blocks from number k on, in order, until f returns false.
func (sp *space) each(k uint64, f func(*block) bool) {
	t := sp.table.Load()
	i, _ := slices.BinarySearch(t.nums, k/pageBlocks)
	for ; i < len(t.nums); i++ {
		for j := range t.pages[i] {
			if b := t.pages[i][j].Load(); b != nil && b.k >= k && !f(b) {
				return
			}
		}
	}
}

// block is one block of a space and its place in the arena.
//
// Invariant: a row whose bit is set has been written whole and is never written
// again while the block belongs to the space.
type block struct {
	sp    *space
	k     uint64 // number within the space: rows k*perBlock and on
	file  *file
	index uint32 // number within the file

	present []atomic.Uint64 // a bit a row; set after the row is written

	// Guarded by Store.applyMu.
	sum   uint64 // of the rows present, see rowSum
	count int    // of the rows present
	dirty bool   // in Store.dirty
}

func newBlock(sp *space, k uint64, f *file, index uint32) *block {
	return &block{sp: sp, k: k, file: f, index: index, present: make([]atomic.Uint64, (sp.perBlock+63)/64)}
}

func (b *block) has(slot uint64) bool { return b.present[slot/64].Load()&(1<<(slot%64)) != 0 }

// mark notes n rows from slot on as present.
func (b *block) mark(slot uint64, n int) {
	for end := slot + uint64(n); slot < end; {
		w, from := slot/64, slot%64
		take := min(64-from, end-slot)
		mask := ^uint64(0) >> (64 - take) << from
		b.present[w].Store(b.present[w].Load() | mask) // one writer
		slot += take
	}
}

// high returns the slot after the last row present.
func high(words []uint64) uint64 {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] != 0 {
			return uint64(i)*64 + uint64(bits.Len64(words[i]))
		}
	}
	return 0
}

// words copies the bitmap into dst.
func (b *block) words(dst []uint64) []uint64 {
	dst = dst[:0]
	for i := range b.present {
		dst = append(dst, b.present[i].Load())
	}
	return dst
}
