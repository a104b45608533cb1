package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Checkpoints on demand and those that are due meet (for the race detector).
func TestCheckpointsMeet(t *testing.T) {
	o := small(vfs.NewMem())
	o.CheckpointInterval = time.Millisecond
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for i := range 30 {
		commit(t, db, put(t, fmt.Sprint(i), engine.Upsert))
		if err := db.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// A checkpoint is made when a restart would replay for too long, whatever else says
// that none is due, and then there is less to replay.
func TestRecoveryTarget(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.CheckpointInterval, o.CheckpointBytes, o.RecoveryTarget = time.Hour, 1<<40, time.Nanosecond
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if s := db.Status().Checkpoint; s.Count > 0 && s.ReplayMS == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no checkpoint: %+v", s)
		}
	}
	o = small(vfs.NewMem())
	o.CheckpointInterval, o.CheckpointBytes, o.RecoveryTarget = time.Hour, 1<<40, time.Hour
	db = open(t, o)
	makeLibrary(t, db, "lib")
	commit(t, db, put(t, "a", engine.Upsert))
	if s := db.Status().Checkpoint; s.Count != 0 || s.ReplayMS == 0 {
		t.Errorf("%+v: one commit takes some time to replay, and much less than the target", s)
	}
	if err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if s := db.Status().Checkpoint; s.Count != 1 || s.ReplayMS != 0 {
		t.Errorf("%+v: nothing is to be replayed", s)
	}
}
