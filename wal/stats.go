package wal

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"time"
)

// Stats says how the log does. Totals are since Open.
type Stats struct {
	Bytes         int64   `json:"bytes"` // of all segments, up to their ends
	Segments      int     `json:"segments"`
	Commits       uint64  `json:"commits"`
	Records       uint64  `json:"records"`
	BytesWritten  int64   `json:"bytes_written"`
	Syncs         uint64  `json:"syncs"`
	SyncMeanMS    float64 `json:"sync_mean_ms"`
	SyncMaxMS     float64 `json:"sync_max_ms"`
	SyncSeconds   float64 `json:"sync_seconds"`
	RecordsPerOne float64 `json:"records_per_commit"`
}

type counters struct {
	commits, records, syncs, syncNanos, syncMax atomic.Uint64
	bytes                                       atomic.Int64
}

func (c *counters) synced(d time.Duration) {
	n := uint64(max(d, 0))
	c.syncs.Add(1)
	c.syncNanos.Add(n)
	for {
		m := c.syncMax.Load()
		if n <= m || c.syncMax.CompareAndSwap(m, n) {
			return
		}
	}
}

func (c *counters) committed(records int, h *frameHeader) {
	c.commits.Add(1)
	c.records.Add(uint64(records))
	c.bytes.Add(h.size())
}

// Stats returns a picture of the log.
func (l *Log) Stats() Stats {
	c := &l.stats
	s := Stats{Commits: c.commits.Load(), Records: c.records.Load(), BytesWritten: c.bytes.Load(), Syncs: c.syncs.Load(),
		SyncMaxMS: float64(c.syncMax.Load()) / 1e6, SyncSeconds: float64(c.syncNanos.Load()) / 1e9}
	if s.Syncs > 0 {
		s.SyncMeanMS = float64(c.syncNanos.Load()) / 1e6 / float64(s.Syncs)
	}
	if s.Commits > 0 {
		s.RecordsPerOne = float64(s.Records) / float64(s.Commits)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	s.Segments = len(l.segments)
	for _, seg := range l.segments {
		s.Bytes += seg.end
	}
	return s
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
