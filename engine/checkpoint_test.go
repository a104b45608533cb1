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
