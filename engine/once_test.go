package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A key that is used anew after a day is remembered anew, also where another
// answer in the same frame sweeps away what has expired.
func TestAnswerRenewedBesideASweep(t *testing.T) {
	var now atomic.Int64
	now.Store(1_700_000_000_000_000)
	var hold atomic.Pointer[chan struct{}]
	held := make(chan struct{}, 1)
	o := small(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && isLog(op.Path) {
			if ch := hold.Swap(nil); ch != nil {
				held <- struct{}{}
				<-*ch
			}
		}
		return nil
	})))
	o.Now = func() time.Time { return time.UnixMicro(now.Load()) }
	db := open(t, o)
	makeLibrary(t, db, "lib")
	group := func(key, id string) *engine.Group {
		g := &engine.Group{Atomic: true, Ops: []engine.Op{put(t, id, engine.Upsert)}}
		if key != "" {
			g.Once = &engine.Once{Key: []byte(key), Fingerprint: []byte("f"), Render: func([]engine.Outcome) (int, []byte) { return 200, []byte("answer") }}
		}
		return g
	}
	if _, err := db.Commit(ctx, group("key-k", "a")); err != nil {
		t.Fatal(err)
	}
	now.Add((25 * time.Hour).Microseconds())
	// While one frame is synced two more groups gather for the next one.
	release := make(chan struct{})
	hold.Store(&release)
	pending := []*engine.Pending{db.Submit(group("", "b"))}
	<-held
	pending = append(pending, db.Submit(group("key-k", "c")), db.Submit(group("key-l", "d")))
	close(release)
	for _, p := range pending {
		if rec, err := p.Wait(context.Background()); err != nil || rec.Replayed != nil {
			t.Fatal(rec, err)
		}
	}
	commit(t, db, put(t, "e", engine.Upsert)) // so that nothing is in flight
	for _, key := range []string{"key-k", "key-l"} {
		rec, err := db.Commit(ctx, group(key, "again"))
		if err != nil {
			t.Fatal(err)
		}
		if rec.Replayed == nil {
			t.Errorf("the answer under %s is forgotten: its request took effect twice", key)
		}
	}
}
