package engine

import (
	"log/slog"

	"fmt"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// Status says how the database does, for operators.
type Status struct {
	Epoch       change.Epoch    `json:"epoch"`
	Lineage     change.Lineage  `json:"lineage"`
	HeadSeq     uint64          `json:"head_seq"`
	DurableSeq  uint64          `json:"durable_seq"`
	EarliestSeq uint64          `json:"earliest_seq"`
	Error       *string         `json:"error"` // why writes are refused, or null
	Log         wal.Stats       `json:"log"`
	Store       StoreStatus     `json:"store"`
	Vectors     VectorStatus    `json:"vectors"`
	Search      SearchStatus    `json:"search"`
	Checkpoint  CheckStatus     `json:"checkpoint"`
	Recovery    Recovery        `json:"recovery"`
	Retention   RetentionStatus `json:"retention"`
	Libraries   int             `json:"libraries"`
	Disk        DiskStatus      `json:"disk"`
}

// StoreStatus says how the store does.
type StoreStatus struct {
	DiskBytes     uint64  `json:"disk_bytes"`
	MemTableBytes uint64  `json:"memtable_bytes"`
	CacheBytes    int64   `json:"cache_bytes"`
	CacheHitRate  float64 `json:"cache_hit_rate"`
	Compactions   int64   `json:"compactions"`
	Flushes       int64   `json:"flushes"`
	BytesWritten  uint64  `json:"bytes_written"`
}

// VectorStatus says how the row files do.
type VectorStatus struct {
	Rows       int64 `json:"rows"`
	DiskBytes  int64 `json:"disk_bytes"` // of blocks in use
	Files      int   `json:"files"`
	Blocks     int   `json:"blocks"`
	FreeBlocks int   `json:"free_blocks"`
	Dirty      int   `json:"dirty_blocks"` // changed since the last checkpoint
	Pins       int   `json:"pins"`         // readers that hold blocks back
}

// SearchStatus says how the search indexes do, all together.
type SearchStatus struct {
	Slots       uint64 `json:"slots"` // versions of chunks, dead ones too
	Live        uint64 `json:"live"`
	Parts       int    `json:"parts"`
	Unbuilt     int    `json:"unbuilt"`  // parts that searches scan
	Building    int    `json:"building"` // libraries whose index is being built anew
	MemoryBytes int64  `json:"memory_bytes"`
}

func (db *DB) searchStatus() (s SearchStatus) {
	db.searched.Range(func(_, v any) bool {
		lib := v.(*searched).lib.Load()
		if lib == nil {
			s.Building++
			return true
		}
		x := lib.Stats()
		s.Slots += x.Slots
		s.Live += x.Live
		s.Parts += x.Parts
		s.Unbuilt += x.Unbuilt
		s.MemoryBytes += x.MemoryBytes
		return true
	})
	return s
}

// CheckStatus says how far a restart would have to replay.
type CheckStatus struct {
	Count         uint64  `json:"count"`
	Seq           uint64  `json:"seq"`
	TookMS        float64 `json:"took_ms"`
	LogBytesSince int64   `json:"log_bytes_since"`
	// ReplayMS estimates how long a restart would replay now.
	ReplayMS float64 `json:"replay_estimate_ms"`
}

// Status returns a picture of the database.
func (db *DB) Status() Status {
	head := db.Head()
	s := Status{Epoch: db.lineage.Current(), Lineage: db.lineage, HeadSeq: head.Seq, DurableSeq: db.DurableSeq(), EarliestSeq: db.EarliestSeq(),
		Log: db.log.Stats(), Recovery: db.recovery}
	r := db.rows.Stats()
	s.Vectors = VectorStatus{Rows: r.Rows, DiskBytes: r.Bytes, Files: r.Files, Blocks: r.Blocks, FreeBlocks: r.FreeBlocks, Dirty: r.Dirty, Pins: r.Pins}
	if err := db.Err(); err != nil {
		text := err.Error()
		s.Error = &text
	}
	m := db.store.Metrics()
	s.Store = StoreStatus{DiskBytes: m.DiskSpaceUsage(), MemTableBytes: m.MemTable.Size, CacheBytes: m.BlockCache.Size,
		Compactions: m.Compact.Count, Flushes: m.Flush.Count}
	if n := m.BlockCache.Hits + m.BlockCache.Misses; n > 0 {
		s.Store.CacheHitRate = float64(m.BlockCache.Hits) / float64(n)
	}
	for i := range m.Levels {
		s.Store.BytesWritten += m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted
	}
	s.Search = db.searchStatus()
	db.check.mu.Lock()
	s.Checkpoint = CheckStatus{Count: db.check.count, Seq: db.check.at.Seq, TookMS: float64(db.check.took.Microseconds()) / 1000,
		LogBytesSince: s.Log.BytesWritten - db.check.bytes, ReplayMS: float64(db.check.cost.estimate().Microseconds()) / 1000}
	db.check.mu.Unlock()
	s.Retention, s.Disk = db.retentionStatus(), db.disk.status()
	db.libs.Range(func(any, any) bool { s.Libraries++; return true })
	return s
}

// LogStats returns a picture of the log.
func (db *DB) LogStats() wal.Stats { return db.log.Stats() }

// storeLogger passes on what the store logs: its chatter at debug level.
type storeLogger struct{ log *slog.Logger }

func (l storeLogger) Infof(format string, args ...any) {
	l.log.Debug("store: " + fmt.Sprintf(format, args...))
}

func (l storeLogger) Errorf(format string, args ...any) {
	l.log.Error("store: " + fmt.Sprintf(format, args...))
}

// Fatalf is called where the store cannot go on, as when its disk failed under
// a flush it cannot undo. The log holds everything: the process ends, and a
// restart recovers.
func (l storeLogger) Fatalf(format string, args ...any) {
	panic("store: " + fmt.Sprintf(format, args...))
}
