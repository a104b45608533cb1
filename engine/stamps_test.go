package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestStampOrders forces every order in which the views' durable stamps and the
// end of the log can stand to each other, loses all that was not synced, and
// checks that the next start finds that order and makes the model's state of it.
func TestStampOrders(t *testing.T) {
	const nothing, rows, store = "nothing", "rows", "store"
	for _, c := range []struct {
		flush []string // after each part of the history but the last
		order func(inRows, inStore, end change.Stamp) bool
	}{
		{[]string{nothing}, func(r, s, e change.Stamp) bool { return r == s && s.Less(e) }},
		{[]string{rows}, func(r, s, e change.Stamp) bool { return s.Less(r) && r.Less(e) }},
		{[]string{store}, func(r, s, e change.Stamp) bool { return r.Less(s) && s.Less(e) }},
		{[]string{rows, store}, func(r, s, e change.Stamp) bool { return r.Less(s) && s.Less(e) }},
		{[]string{store, rows}, func(r, s, e change.Stamp) bool { return s.Less(r) && r.Less(e) }},
		{[]string{rows + store}, func(r, s, e change.Stamp) bool { return r == s && s.Less(e) }},
		{[]string{nothing, rows, ""}, func(r, s, e change.Stamp) bool { return s.Less(r) && r == e }},
		{[]string{nothing, store, ""}, func(r, s, e change.Stamp) bool { return r.Less(s) && s == e }},
		{[]string{rows, store, ""}, func(r, s, e change.Stamp) bool { return r.Less(s) && s == e }},
		{[]string{store, rows, ""}, func(r, s, e change.Stamp) bool { return s.Less(r) && r == e }},
		{[]string{store, rows + store, ""}, func(r, s, e change.Stamp) bool { return r == s && s == e }},
	} {
		t.Run(fmt.Sprint(c.flush), func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			o := small(mem)
			// Large, so that no memtable is flushed but by the test.
			o.MemTableBytes = 16 << 20
			db, err := engine.Open("db", o)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			g := &generator{r: rand.New(rand.NewPCG(1, 1)), m: newModel()}
			var acked atomic.Uint64
			var steps []*step
			part := func() {
				for n := 0; n < 40 || acked.Load() == 0; n++ {
					s := g.step()
					steps = append(steps, s)
					take(t, db, s)
					acked.Store(uint64(len(steps)))
				}
			}
			for i, flush := range c.flush {
				if flush == "" {
					break
				}
				part()
				if flush == rows || flush == rows+store {
					if err := db.FlushRows(); err != nil {
						t.Fatal(err)
					}
				}
				if flush == store || flush == rows+store {
					if err := db.FlushStore(); err != nil {
						t.Fatal(err)
					}
				}
				if i == len(c.flush)-1 {
					part()
				}
			}
			end := db.DurableStamp()
			lost := mem.CrashClone(vfs.CrashCloneCfg{})
			inRows, inStore, err := engine.DurableStamps(lost.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))}), "db")
			if err != nil {
				t.Fatal(err)
			}
			if !c.order(inRows, inStore, end) {
				t.Fatalf("the rows are durable to %s, the store to %s, the log to %s: not the order that was forced", inRows, inStore, end)
			}
			checkRecovered(t, "all unsynced lost", lost, steps, acked.Load(), rand.New(rand.NewPCG(3, 4)))
		})
	}
}

// take does one step of a history.
func take(t *testing.T, db *engine.DB, s *step) {
	t.Helper()
	var err error
	if s.lib != nil {
		err = s.lib(db)
	} else {
		_, err = db.Submit(s.group).Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}
