package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

const gib = 1 << 30

func refusedFull(t *testing.T, db *engine.DB, ops ...engine.Op) bool {
	t.Helper()
	_, err := db.Commit(ctx, &engine.Group{Ops: ops, Atomic: true})
	var e *change.Error
	if err != nil && (!errors.As(err, &e) || e.Code != change.DiskFull) {
		t.Fatalf("refused for another reason: %v", err)
	}
	return err != nil
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// TestDiskWithoutRoom lets a disk become full and have room again: writes that add
// something are refused meanwhile, deletes and reads go on, and nothing has to be
// restarted.
func TestDiskWithoutRoom(t *testing.T) {
	mem := vfs.NewMem()
	room := func(bytes uint64) {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: bytes, TotalBytes: 100 * gib, UsedBytes: 100*gib - bytes})
	}
	room(50 * gib)
	db := open(t, small(mem))
	makeLibrary(t, db, "lib")
	for i := range 20 {
		commit(t, db, put(t, fmt.Sprint(i), engine.Upsert))
	}
	s := db.Status().Disk
	if s.State != "ok" || s.ReserveBytes != 256<<20 || s.BallastBytes == 0 || s.AvailableBytes != 50*gib || s.TotalBytes != 100*gib {
		t.Errorf("%+v", s)
	}
	for i := range 3 {
		room(400 << 20)
		until(t, "low", func() bool { return db.Status().Disk.State == "low" })
		commit(t, db, put(t, "low", engine.Upsert))
		room(200 << 20)
		until(t, "full", func() bool { return refusedFull(t, db, put(t, "before", engine.Upsert)) })
		if !refusedFull(t, db, put(t, "refused", engine.Upsert)) {
			t.Error("a put is taken")
		}
		if !refusedFull(t, db, engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "low", Patch: &engine.Patch{Title: ptr("x")}}) {
			t.Error("a patch is taken")
		}
		if _, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: ptr("more")}, nil); !strings.Contains(fmt.Sprint(err), "disk") {
			t.Errorf("a library is made: %v", err)
		}
		if s := db.Status().Disk; s.State != "full" || s.BallastBytes == 0 {
			t.Errorf("%+v", s)
		}
		room(1 << 20)
		until(t, "the ballast goes", func() bool { return db.Status().Disk.BallastBytes == 0 })
		if refusedFull(t, db, engine.Op{Kind: engine.OpDelete, Library: "lib", ID: fmt.Sprint(i)}) {
			t.Error("a delete is refused")
		}
		get(t, db, "19")
		if err := db.Checkpoint(); err != nil {
			t.Error(err)
		}
		room(260 << 20) // more than the reserve, but not by so much that it would not be full at once
		time.Sleep(3 * time.Millisecond)
		if !refusedFull(t, db, put(t, "refused", engine.Upsert)) {
			t.Error("taken where there is hardly room")
		}
		room(50 * gib)
		until(t, "room", func() bool { return !refusedFull(t, db, put(t, "taken", engine.Upsert)) })
		until(t, "the ballast is back", func() bool { return db.Status().Disk.BallastBytes > 0 })
	}
	snap := db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library("lib")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snap.Document(lib, "refused", false); err == nil {
		t.Error("what was refused is there")
	}
}

// TestWritesMeetAFullDisk injects ENOSPC into writes of the store and of the log's next
// segment: nothing is poisoned, and what was refused is not there.
func TestWritesMeetAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 50 * gib, TotalBytes: 100 * gib})
	var full atomic.Bool
	o := small(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite) {
			return syscall.ENOSPC
		}
		return nil
	})))
	db := open(t, o)
	makeLibrary(t, db, "lib")
	var kept []string
	for round := range 3 {
		full.Store(true)
		until(t, "full", func() bool {
			id := fmt.Sprintf("%d-%d", round, len(kept))
			if refusedFull(t, db, put(t, id, engine.Upsert)) {
				return true
			}
			kept = append(kept, id)
			return false
		})
		if err := db.Err(); err != nil {
			t.Fatalf("the log is poisoned: %v", err)
		}
		full.Store(false)
		until(t, "room", func() bool { return !refusedFull(t, db, put(t, "again", engine.Upsert)) })
	}
	if len(kept) < 3 {
		t.Errorf("only %d were taken: each round should come to the end of a segment", len(kept))
	}
	for _, id := range kept {
		get(t, db, id)
	}
	checkLog(t, db)
}
