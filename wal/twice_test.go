package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// dying returns a file system that refuses everything that would change mem
// from the nth such operation on, as a process does that is killed there: what
// it had written before and not synced is still in mem.
func dying(mem *vfs.MemFS, n int64, seen *string) vfs.FS {
	var count atomic.Int64
	return errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite && op.Kind != errorfs.OpOpenDir || op.Kind == errorfs.OpFileClose {
			return nil
		}
		c := count.Add(1)
		if c == n {
			*seen = fmt.Sprintf("operation of kind %d on %s", op.Kind, op.Path)
		}
		if c >= n {
			return errors.New("the process is gone")
		}
		return nil
	}))
}

// The process is killed at some write, the next one finds what the page cache
// holds and acknowledges commits, and then the machine loses its power: what
// the second one relied on must have been synced by it.
func TestKillThenPowerLoss(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := vfs.NewCrashableMem()
		what := ""
		fs := dying(mem, n, &what)
		if l, _, err := wal.Open(options(fs)); err == nil {
			w := newWriter(l, 3)
			for range 60 {
				before := w.seq
				recs := w.frame()
				w.seq = before + changes(recs)
				if _, err := l.Append(recs, 0); err != nil {
					break
				}
			}
			l.Close()
		}
		if what == "" {
			if n < 100 {
				t.Fatalf("only %d points", n)
			}
			return
		}
		// Killed again, while it recovers.
		var clones []*vfs.MemFS
		second := ""
		if n%3 == 0 {
			if l, _, err := wal.Open(options(dying(mem, 1+n/3%12, &second))); err == nil {
				l.Close()
			}
		}
		l, _, err := wal.Open(options(mem))
		if err != nil {
			t.Errorf("killed at %d (%s; %s): %v", n, what, second, err)
			continue
		}
		w := newWriter(l, 4)
		for range 1 + n%5*4 {
			w.append(t)
		}
		end := l.Durable()
		for _, keep := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(n), uint64(keep)))}))
		}
		l.Close()
		for _, clone := range clones {
			o := options(clone)
			l, _, err := wal.Open(o)
			if err != nil {
				t.Errorf("killed at %d (%s; %s), then power loss: %v", n, what, second, err)
				continue
			}
			if got := l.Durable(); got.Commit < end.Commit || got.Commit == end.Commit && got.Chain != end.Chain {
				t.Errorf("killed at %d (%s; %s), then power loss: the log ends at %s, %s was acknowledged", n, what, second, got.Stamp, end.Stamp)
			} else {
				check(t, l)
			}
			l.Close()
		}
	}
}

// A failed sync leaves pages in the cache that no later sync writes: the MARK of
// a Close that failed is read back by the next process and is gone after a power
// loss, unless that process has written it again. What it acknowledged behind
// the MARK must not be taken for torn.
func TestMarkThatWasNeverWritten(t *testing.T) {
	mem := vfs.NewMem()
	var fail atomic.Bool
	var markAt atomic.Int64
	var again atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail.Load() && op.Kind == errorfs.OpFileSyncData {
			return errors.New("injected EIO")
		}
		if at := markAt.Load(); at > 0 && op.Kind == errorfs.OpFileWriteAt && op.Offset == at {
			again.Store(true)
		}
		return nil
	}))
	o := options(fs)
	o.SegmentSize, o.NoCompression = 16<<10, true
	l, _ := open(t, o)
	record := func(seq uint64, size int) []change.Record {
		return []change.Record{{Kind: change.DocumentAdded, Library: 1, Body: make([]byte, size), Seq: seq}}
	}
	if _, err := l.Append(record(1, 4096-96-48-16-48), 0); err != nil { // so that the MARK ends with the page, or nearly
		t.Fatal(err)
	}
	fail.Store(true)
	if err := l.Close(); err == nil {
		t.Fatal("the sync of Close did not fail")
	}
	fail.Store(false)
	r, err := wal.Inspect(mem, "log", nil)
	if err != nil || len(r.Problems) > 0 {
		t.Fatal(err, r)
	}
	var name string
	for n, b := range fileBytes(t, mem) {
		if i := bytes.LastIndex(b, []byte("ARWF")); i > 96 {
			name = n
			markAt.Store(int64(i))
		}
	}
	l, _ = open(t, o)
	for seq := uint64(2); seq < 4; seq++ {
		if _, err := l.Append(record(seq, 10), 0); err != nil {
			t.Fatal(err)
		}
	}
	end := l.Durable().Stamp
	files := fileBytes(t, mem)
	l.Close()
	if !again.Load() {
		clear(files[name][markAt.Load() : markAt.Load()+48])
	}
	o = options(memWith(t, files))
	o.MustReach = end
	if l, _, err = wal.Open(o); err != nil {
		t.Fatalf("the MARK at byte %d was lost: %v", markAt.Load(), err)
	}
	l.Close()
}
