package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A frame without changes moves no position: after its replay the store's check
// is the one that clients hold.
func TestReplayedControlRecordsKeepTheCheck(t *testing.T) {
	for _, flush := range []string{"never", "before", "between"} {
		for _, docs := range []int{0, 1} {
			mem := vfs.NewCrashableMem()
			db, err := engine.Open("db", small(mem))
			if err != nil {
				t.Fatal(err)
			}
			if docs > 0 {
				makeLibrary(t, db, "lib")
				commit(t, db, put(t, "a", engine.Upsert))
			}
			if flush == "before" {
				if err := db.FlushStore(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 2 {
				if _, _, err := db.CreateKey(ctx, engine.KeySpec{Name: "k", Role: "read"}); err != nil {
					t.Fatal(err)
				}
				if i == 0 && flush == "between" {
					if err := db.FlushStore(); err != nil {
						t.Fatal(err)
					}
				}
			}
			snap := db.Snapshot()
			want, err := snap.Position()
			if err != nil {
				t.Fatal(err)
			}
			snap.Close()
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 1))})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, small(clone))
			snap = db.Snapshot()
			got, err := snap.Position()
			if err != nil {
				t.Fatal(err)
			}
			snap.Close()
			if got != want {
				t.Errorf("flushed %s, %d documents: the position is %s after the replay, it was %s", flush, docs, got, want)
			}
			if err := db.CheckPosition(got); err != nil {
				t.Errorf("flushed %s, %d documents: %v", flush, docs, err)
			}
		}
	}
}
