package engine_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// TestRetentionByAge lets time pass: what is old goes, but for the newest bytes, and
// once every view holds it.
func TestRetentionByAge(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	o := small(vfs.NewMem())
	o.Now = func() time.Time { return time.UnixMicro(now.Load()) }
	policy := engine.Retention{Age: time.Hour, MinBytes: 20 << 10}
	trim := func(db *engine.DB) *engine.TrimResult {
		t.Helper()
		r, err := db.Trim(policy)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for i := range 300 {
		commit(t, db, put(t, fmt.Sprint(i), engine.Upsert))
	}
	if err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	// A clock that jumps ahead makes nothing old.
	now.Add(30 * 24 * int64(time.Hour/time.Microsecond))
	if r := trim(db); r.Segments != 0 || db.EarliestSeq() != 1 {
		t.Errorf("a clock that jumped has trimmed %d segments", r.Segments)
	}
	now.Add(-30 * 24 * int64(time.Hour/time.Microsecond))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	now.Add(2 * int64(time.Hour/time.Microsecond))
	db = open(t, o)
	before := db.Status().Log.Bytes
	r := trim(db)
	after := db.Status().Log.Bytes
	if r.Segments == 0 || r.Bytes != before-after || r.Earliest != db.EarliestSeq() || r.Earliest < 2 {
		t.Fatalf("%+v: of %d bytes %d are left", r, before, after)
	}
	if after < policy.MinBytes || after > policy.MinBytes+2*o.SegmentSize {
		t.Errorf("%d bytes are left, want the newest %d and no more than that takes", after, policy.MinBytes)
	}
	var expired *change.Error
	if _, err := db.ReadLog(r.Earliest - 1); !errors.As(err, &expired) || expired.Code != change.OffsetExpired {
		t.Errorf("reading what was trimmed: %v", err)
	}
	checkLog(t, db)
	p, err := db.PositionAt(r.Earliest - 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CheckPosition(p); err != nil {
		t.Errorf("the position before the earliest seq: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	if got, err := db.PositionAt(r.Earliest - 1); err != nil || got != p {
		t.Errorf("after a restart the position before the earliest seq is %v, %v; it was %v", got, err, p)
	}
	for i := range 300 {
		get(t, db, fmt.Sprint(i))
	}
}

// TestRetentionIsHeldBack: what a view has not made durable stays, and the status
// says so.
func TestRetentionIsHeldBack(t *testing.T) {
	mem := vfs.NewMem()
	db := open(t, small(mem))
	makeLibrary(t, db, "lib")
	for i := range 200 {
		commit(t, db, put(t, fmt.Sprint(i), engine.Upsert))
	}
	policy := engine.Retention{Age: engine.RetainForever, MaxBytes: 8 << 10}
	views := map[string]func() error{"store": db.FlushStore, "vectors": db.FlushRows, "search indexes": db.FlushSearch}
	for len(views) > 0 {
		r, err := db.Trim(policy)
		if err != nil {
			t.Fatal(err)
		}
		if r.Segments != 0 {
			t.Fatalf("trimmed, and %d views are not durable", len(views))
		}
		named := 0
		for _, h := range r.Holders {
			if flush := views[h.Name]; flush != nil && h.Bytes > 0 && h.Seq < 200 {
				named++
			} else if flush == nil && (h.Bytes != 0 || h.Seq != 201) {
				t.Errorf("%+v", h)
			}
		}
		if named != len(views) {
			t.Errorf("%+v, want %d that hold the log", r.Holders, len(views))
		}
		for name, flush := range views {
			if err := flush(); err != nil {
				t.Fatal(err)
			}
			delete(views, name)
			break
		}
	}
	r, err := db.Trim(policy)
	if err != nil || r.Segments == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if left := db.Status().Log.Bytes; left > policy.MaxBytes+4<<10 {
		t.Errorf("%d bytes are left of at most %d", left, policy.MaxBytes)
	}
	s := db.Status().Retention
	if s.AgeSeconds != (7*24*time.Hour).Seconds() || s.MinBytes != 1<<30 || s.MaxBytes != 0 || len(s.Holders) != 3 || s.Error != nil {
		t.Errorf("%+v", s)
	}
}
