package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The process is killed somewhere, the next one finds what the page cache holds
// and acknowledges writes, and then the machine loses its power.
func TestKillThenPowerLossEverywhere(t *testing.T) {
	for n := range int64(12) { // the beginning, where every one counts
		killAt(t, n+1)
	}
	step := int64(7)
	if testing.Short() {
		step = 41
	}
	first := 13 + rand.Int64N(step)
	n := first
	for ; killAt(t, n); n += step {
	}
	t.Logf("killed at %d, %d, … of %d operations", first, first+step, n)
}

// killAt reports false where the process ended before it was killed.
func killAt(t *testing.T, n int64) bool {
	mem := vfs.NewCrashableMem()
	fs := newDying(mem, n)
	var mu sync.Mutex
	acked := map[string]bool{}
	write := func(db *engine.DB, id string) error {
		_, err := db.Commit(context.Background(), &engine.Group{Atomic: true, Ops: []engine.Op{put(t, id, engine.Upsert)}})
		if err == nil {
			mu.Lock()
			acked[id] = true
			mu.Unlock()
		}
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		db, err := engine.Open("made/for/db", small(fs))
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := db.CreateLibrary(ctx, spec("lib"), nil); err != nil {
			t.Error(err)
			return
		}
		for i := range 60 {
			if err := write(db, fmt.Sprint("first-", i)); err != nil {
				t.Error(err)
				return
			}
			if i%13 == 12 {
				if err := db.Checkpoint(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ended := false
	select {
	case <-fs.dead:
	case <-done:
		ended = true
	}
	if ended {
		return false
	}
	time.Sleep(time.Millisecond) // what goes on without writing
	where := fmt.Sprintf("killed at %d (%s)", n, fs.what)
	db, err := engine.Open("made/for/db", small(mem))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if _, _, err := db.CreateLibrary(ctx, spec("lib"), nil); err != nil {
		wantCode(t, err, "already_exists")
	}
	for i := range 3 {
		if err := write(db, fmt.Sprint("second-", i)); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	switch n % 4 {
	case 1:
		err = db.FlushStore()
	case 2:
		err = db.FlushRows()
	case 3:
		err = db.Checkpoint()
	}
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	var clones []*vfs.MemFS
	for _, keep := range []int{0, 50, 100} {
		clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(n), uint64(keep)))}))
	}
	if err := db.Close(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	for i, clone := range clones {
		o := small(clone)
		o.Create = false
		db, err := engine.Open("made/for/db", o)
		if err != nil {
			t.Errorf("%s, then power loss %d: %v", where, i, err)
			continue
		}
		mu.Lock()
		for id := range acked {
			snap := db.Snapshot()
			lib, err := snap.Library("lib")
			if err == nil {
				_, err = snap.Document(lib, id, true)
			}
			if snap.Close(); err != nil {
				t.Errorf("%s, then power loss %d: document %q: %v", where, i, id, err)
			}
		}
		mu.Unlock()
		if err := db.Close(); err != nil {
			t.Errorf("%s, then power loss %d: %v", where, i, err)
		}
		rep, err := engine.Verify(clone, "made/for/db", engine.VerifyOptions{Full: true})
		if err != nil {
			t.Errorf("%s, then power loss %d: %v", where, i, err)
			continue
		}
		for _, p := range rep.Problems {
			t.Errorf("%s, then power loss %d: verify: %s", where, i, p)
		}
	}
	return true
}

func spec(id string) *engine.LibrarySpec {
	return &engine.LibrarySpec{ID: &id, Embedding: &engine.EmbeddingSettings{Provider: "none"}}
}
