package engine

import (
	"sync"

	"github.com/arrwdb/arrwdb/change"
)

// publishedCounts counts the changes that have become visible since start, by
// library and kind, so that a caller who may see some libraries only is told of
// those only.
type publishedCounts struct {
	mu    sync.Mutex
	by    map[uint32]*[0x80]uint64
	last  uint32 // the entry that was used last: most frames are of one library
	entry *[0x80]uint64
}

func (c *publishedCounts) add(recs []change.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range recs {
		r := &recs[i]
		if r.Kind.IsControl() {
			continue
		}
		if c.entry == nil || c.last != r.Library {
			if c.by == nil {
				c.by = map[uint32]*[0x80]uint64{}
			}
			if c.entry = c.by[r.Library]; c.entry == nil {
				c.entry = new([0x80]uint64)
				c.by[r.Library] = c.entry
			}
			c.last = r.Library
		}
		c.entry[r.Kind]++
	}
}

// Published returns how many changes of the libraries that allow passes (nil
// passes all) have become visible since start: in all, and by event type.
func (db *DB) Published(allow func(id string) bool) (total uint64, byType map[string]uint64) {
	byType = map[string]uint64{}
	db.counts.mu.Lock()
	defer db.counts.mu.Unlock()
	for num, entry := range db.counts.by {
		if allow != nil && !allow(db.LibraryName(num)) {
			continue
		}
		for k, n := range entry {
			if n > 0 {
				total += n
				byType[change.Kind(k).EventType()] += n
			}
		}
	}
	return total, byType
}
