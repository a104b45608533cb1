package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashPoints is how many histories TestCrash runs, each cut at one point and
// recovered with 0, 50 and 100 % of the unsynced data kept.
// ARRWDB_CRASH_POINTS sets it for the long form, ARRWDB_SEED repeats one.
func crashPoints(t *testing.T) (points int, seed uint64) {
	points = 120
	if testing.Short() {
		points = 30
	}
	if s := os.Getenv("ARRWDB_CRASH_POINTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		points = n
	}
	seed = rand.Uint64()
	if s := os.Getenv("ARRWDB_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed, points = n, 1
	}
	return points, seed
}

// A crasher takes clones of a file system at the n-th operation that writes.
type crasher struct {
	mem   *vfs.MemFS
	at    int64
	count atomic.Int64
	r     *rand.Rand
	keep  []int

	acked  *atomic.Uint64
	clones []*vfs.MemFS
	floor  uint64 // steps acknowledged before the clones were taken
	taken  atomic.Bool
}

func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.count.Add(1) == c.at {
		c.take()
	}
	return nil
}

func (c *crasher) String() string { return "crasher" }

func (c *crasher) take() {
	if c.taken.Swap(true) {
		return
	}
	c.floor = c.acked.Load()
	for _, keep := range c.keep {
		c.clones = append(c.clones, c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: c.r}))
	}
}

// TestCrash stops a random history at a random write of any part of the
// database, and checks what comes back: every acknowledged group, whole groups
// only, and a state equal to the model's at the recovered head. In the middle of
// the history each view is made durable by itself, so that stamps stand in every
// order.
func TestCrash(t *testing.T) {
	points, seed := crashPoints(t)
	t.Logf("first seed %d; one point again: ARRWDB_SEED=<seed> go test ./engine -run 'TestCrash$'", seed)
	for i := range points {
		if !t.Run(fmt.Sprintf("seed=%d", seed+uint64(i)), func(t *testing.T) { crashOnce(t, seed+uint64(i)) }) {
			return
		}
	}
}

func crashOnce(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	mem := vfs.NewCrashableMem()
	var acked atomic.Uint64
	c := &crasher{mem: mem, at: 1 + r.Int64N(1500), r: rand.New(rand.NewPCG(seed, 4)), keep: []int{0, 50, 100}, acked: &acked}
	o := small(errorfs.Wrap(mem, c))
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{r: rand.New(rand.NewPCG(seed, 5)), m: newModel()}
	steps := run(t, db, g, r, &acked, func() bool { return c.taken.Load() })
	c.take()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for i, clone := range c.clones {
		checkRecovered(t, fmt.Sprintf("%d %% kept", c.keep[i]), clone, steps, c.floor, r)
	}
}

// run submits up to 250 steps, several at a time, until stop.
func run(t *testing.T, db *engine.DB, g *generator, r *rand.Rand, acked *atomic.Uint64, stop func() bool) []*step {
	ctx := context.Background()
	type flight struct {
		p *engine.Pending
		n uint64 // steps up to this one
	}
	trim := func() error {
		_, err := db.Trim(engine.Retention{Age: engine.RetainForever, MaxBytes: 1})
		return err
	}
	var steps []*step
	var flying []flight
	land := func(keep int) {
		for len(flying) > keep {
			if _, err := flying[0].p.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			acked.Store(flying[0].n)
			flying = flying[1:]
		}
	}
	for range 250 {
		if stop() {
			break
		}
		s := g.step()
		steps = append(steps, s)
		if s.lib != nil {
			land(0)
			if err := s.lib(db); err != nil {
				t.Fatal(err)
			}
			acked.Store(uint64(len(steps)))
		} else {
			flying = append(flying, flight{db.Submit(s.group), uint64(len(steps))})
			land(r.IntN(6))
		}
		if n := r.IntN(60); n < 6 {
			flush := []func() error{db.FlushStore, db.FlushRows, db.FlushSearch, db.Checkpoint, db.Checkpoint, trim}[n]
			if err := flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	land(0)
	return steps
}

func checkRecovered(t *testing.T, what string, mem *vfs.MemFS, steps []*step, floor uint64, r *rand.Rand) {
	t.Helper()
	// Half of the time the recovery itself is cut off somewhere, once.
	if r.IntN(2) == 0 {
		var none atomic.Uint64
		again := &crasher{mem: mem, at: 1 + r.Int64N(60), r: rand.New(rand.NewPCG(r.Uint64(), 1)), keep: []int{r.IntN(101)}, acked: &none}
		db, err := engine.Open("db", small(errorfs.Wrap(mem, again)))
		if err != nil {
			t.Fatalf("%s: recovering: %v", what, err)
		}
		again.take()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		mem = again.clones[0]
		what += ", cut off in recovery"
	}
	db, err := engine.Open("db", small(mem))
	if err != nil {
		t.Fatalf("%s: recovering: %v", what, err)
	}
	// Steps at the end that make no change, and only move a source, leave the
	// head where it is: those that were not acknowledged may be there or not.
	head, got, first := db.Head().Seq, dumpDB(t, db), ""
	m := newModel()
	same := false
	for i := 0; i <= len(steps) && !same; i++ {
		if uint64(i) >= floor && m.seq == head {
			want := m.dump()
			if first == "" {
				first = diff(got, want)
			}
			same = got == want
		}
		if i < len(steps) {
			steps[i].effect(m)
		}
	}
	if !same {
		t.Fatalf("%s: %d steps were acknowledged, the recovered head is %d: %s", what, floor, head, first)
	}
	checkLog(t, db)
	checkSearch(t, db, r)
	if _, _, err := db.CreateLibrary(context.Background(), &engine.LibrarySpec{ID: ptr("after"), Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil); err != nil {
		t.Fatalf("%s: writing after recovery: %v", what, err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("%s: closing: %v", what, err)
	}
	rep, err := engine.Verify(mem, "db", engine.VerifyOptions{Full: true})
	if err != nil {
		t.Fatalf("%s: verify: %v", what, err)
	}
	for _, p := range rep.Problems {
		t.Errorf("%s: verify: %s", what, p)
	}
}

func ptr[T any](v T) *T { return &v }

// TestFailedSyncPoisons injects one failed sync of the log: the write is not
// acknowledged, nothing after it is, reads go on, and a restart is sound.
func TestFailedSyncPoisons(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var armed atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind == errorfs.OpFileSyncData && isLog(op.Path) {
			armed.Store(false) // only once: the next sync would succeed and prove nothing
			return errors.New("injected EIO")
		}
		return nil
	})
	o := small(errorfs.Wrap(mem, inj))
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{r: rand.New(rand.NewPCG(1, 1)), m: newModel()}
	var acked atomic.Uint64
	steps := run(t, db, g, g.r, &acked, func() bool { return false })
	s := g.step()
	for ; s.lib != nil || s.last == db.Head().Seq; s = g.step() {
		// Not a write to documents, or one that changes nothing.
		if s.lib != nil {
			err = s.lib(db)
		} else {
			_, err = db.Commit(context.Background(), s.group)
		}
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s)
		acked.Add(1)
	}
	before := dumpDB(t, db)
	armed.Store(true)
	_, err = db.Commit(context.Background(), s.group)
	wantCode(t, err, change.OutcomeUnknown)
	for range 3 {
		_, err = db.Commit(context.Background(), &engine.Group{Ops: []engine.Op{{Kind: engine.OpDelete, Library: "a", ID: "x"}}})
		wantCode(t, err, change.ReadOnly)
	}
	if db.Err() == nil {
		t.Error("Err is nil after a failed sync")
	}
	if got := dumpDB(t, db); got != before {
		t.Errorf("after the failed sync: %s", diff(got, before))
	}
	db.Close()
	steps = append(steps, s)
	checkRecovered(t, "after a failed sync", mem, steps, acked.Load(), rand.New(rand.NewPCG(2, 3)))
}

func isLog(path string) bool {
	// A segment is opened under the name that it is prepared with.
	return strings.Contains(path, "log/next-")
}

func wantCode(t testing.TB, err error, code change.Code) {
	t.Helper()
	var e *change.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}
