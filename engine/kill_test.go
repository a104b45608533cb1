package engine_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A dying file system stops every operation from the nth that would change it on,
// for ever, as for a process that is killed there: what it wrote before and had
// not synced is still in the file system beneath, and its lock is free.
type dying struct {
	vfs.FS
	dead chan struct{}
	what string // it was doing; set before dead is closed
}

func newDying(mem *vfs.MemFS, n int64) *dying {
	d := &dying{dead: make(chan struct{})}
	var count atomic.Int64
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		writes := op.Kind != errorfs.OpFileClose && (op.Kind.ReadOrWrite() == errorfs.OpIsWrite || op.Kind == errorfs.OpOpenDir)
		if writes && count.Add(1) == n {
			d.what = fmt.Sprintf("operation of kind %d on %s", op.Kind, op.Path)
			close(d.dead)
		}
		if count.Load() >= n { // reads too: what is dead does not stumble over what the next one removes
			select {}
		}
		return nil
	}))
	return d
}

// Unwrap implements vfs.FS.
func (d *dying) Unwrap() vfs.FS { return d.FS }

func (d *dying) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// TestKillThenPowerLoss kills a process at a random write, lets the next one find
// what the page cache holds, write and acknowledge, and then takes the power
// away: whatever the second one relied on must have been made durable by it.
func TestKillThenPowerLoss(t *testing.T) {
	points, seed := crashPoints(t)
	t.Logf("first seed %d; one point again: ARRWDB_SEED=<seed> go test ./engine -run 'TestKillThenPowerLoss$'", seed)
	for i := range max(points/2, 1) {
		seed := seed + uint64(i)
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { killThenPowerLoss(t, seed) }) {
			return
		}
	}
}

func killThenPowerLoss(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 8))
	mem := vfs.NewCrashableMem()
	fs := newDying(mem, 1+r.Int64N(900))
	g := &generator{r: rand.New(rand.NewPCG(seed, 9)), m: newModel()}
	var acked atomic.Pointer[model]
	acked.Store(newModel())
	ended := make(chan error, 1)
	go func() { ended <- firstProcess(fs, g, rand.New(rand.NewPCG(seed, 10)), &acked) }()
	select {
	case <-fs.dead:
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	}
	floor := acked.Load().seq

	// The second process: what the first did not hear of may be there or not.
	db, err := engine.Open("db", small(mem))
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	if got := db.Head().Seq; got < floor {
		t.Fatalf("after the kill the head is %d, %d was acknowledged", got, floor)
	}
	for _, id := range []string{"after-1", "after-2"} {
		if _, _, err := db.CreateLibrary(t.Context(), &engine.LibrarySpec{ID: ptr(id), Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil); err != nil {
			t.Fatal(err)
		}
		if n := r.IntN(6); n < 3 {
			if err := []func() error{db.FlushStore, db.FlushRows, db.Checkpoint}[n](); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, head := dumpDB(t, db), db.Head()
	for _, keep := range []int{0, 50, 100} {
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: r})
		again, err := engine.Open("db", small(clone))
		if err != nil {
			t.Errorf("after the power loss, %d %% kept: %v", keep, err)
			continue
		}
		if got := again.Head(); got != head {
			t.Errorf("after the power loss, %d %% kept, the head is %s, it was %s", keep, got, head)
		} else if got := dumpDB(t, again); got != want {
			t.Errorf("after the power loss, %d %% kept: %s", keep, diff(got, want))
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// firstProcess writes until the file system stops it.
func firstProcess(fs vfs.FS, g *generator, r *rand.Rand, acked *atomic.Pointer[model]) error {
	db, err := engine.Open("db", small(fs))
	if err != nil {
		return err
	}
	for range 120 {
		s := g.step()
		if s.lib != nil {
			err = s.lib(db)
		} else {
			_, err = db.Submit(s.group).Wait(context.Background())
		}
		if err != nil {
			return err
		}
		acked.Store(&model{seq: s.last})
		if n := r.IntN(60); n < 3 {
			if err := []func() error{db.FlushStore, db.FlushRows, db.Checkpoint}[n](); err != nil {
				return err
			}
		}
	}
	return db.Close()
}
