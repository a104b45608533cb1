package wal_test

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/wal"
)

// TestTrim trims a log step by step. What is left is read whole, what is gone is
// expired, and positions at the new beginning keep their check.
func TestTrim(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	l, _ := open(t, o)
	w := newWriter(l, 3)
	chains := map[uint64]uint32{0: l.Durable().Chain}
	for range 300 {
		end := w.append(t)
		chains[end.Commit] = end.Chain
	}
	all := l.Segments()
	if len(all) < 5 {
		t.Fatalf("%d segments", len(all))
	}
	for i, s := range all {
		// In the middle of the segment: it stays.
		n, bytes, err := l.Trim(s.LastCommit)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(i, 1); n != want || (bytes > 0) != (want > 0) {
			t.Errorf("segment %d: trimmed %d segments, %d bytes", i, n, bytes)
		}
		if i%2 == 1 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			o.MustReach = check(t, l)
			l, _ = open(t, o)
		}
		if got := l.Earliest(); got != s.FirstSeq {
			t.Fatalf("the log begins at seq %d, want %d", got, s.FirstSeq)
		}
		check(t, l)
		if got, err := l.ChainAt(s.FirstSeq - 1); err != nil || got != chains[s.FirstCommit-1] {
			t.Errorf("the chain before seq %d is %08x, %v; it was %08x", s.FirstSeq, got, err, chains[s.FirstCommit-1])
		}
		if i > 0 {
			var expired *wal.ExpiredError
			if _, err := l.NewReader(wal.ReaderStart{Seq: s.FirstSeq - 1}); s.FirstSeq > 1 && (!errors.As(err, &expired) || expired.Earliest != s.FirstSeq) {
				t.Errorf("a reader from seq %d: %v", s.FirstSeq-1, err)
			}
			if _, err := l.NewReader(wal.ReaderStart{Commit: s.FirstCommit - 1}); !errors.As(err, &expired) {
				t.Errorf("a reader from commit %d: %v", s.FirstCommit-1, err)
			}
		}
		ins, err := wal.Inspect(fs, "log", nil)
		if err != nil || len(ins.Problems) > 0 || ins.Segments[0].Name != s.Name {
			t.Fatalf("inspect: %v, %v", ins, err)
		}
	}
	if n, _, err := l.Trim(1 << 60); n != 0 || err != nil {
		t.Errorf("the last segment was trimmed: %d, %v", n, err)
	}
	names, _ := fs.List("log")
	if len(names) > 3 { // the last one, the one made ahead, the lineage
		t.Errorf("left: %v", names)
	}
	l.Close()
}

// TestTrimUnderReader trims what a reader has not come to yet: it reads the segment
// that it is in to its end, and is then told that it is too late.
func TestTrimUnderReader(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	w := newWriter(l, 3)
	for range 100 {
		w.append(t)
	}
	slow, err := l.NewReader(wal.ReaderStart{Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	end := l.Segments()[0].LastCommit
	for commit := uint64(1); ; commit++ {
		f, err := slow.Next(1 << 62)
		var expired *wal.ExpiredError
		if errors.As(err, &expired) && commit == end+1 && expired.Earliest == l.Earliest() {
			break
		}
		if err != nil || f.Commit != commit {
			t.Fatalf("commit %d of the first %d: %v", commit, end, err)
		}
		if commit == 1 {
			if _, _, err := l.Trim(1 << 60); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTrimWithoutRemoval fails to remove files: they are no part of the log any more,
// and go with the next trimming or start.
func TestTrimWithoutRemoval(t *testing.T) {
	mem := vfs.NewMem()
	var fail atomic.Bool
	fail.Store(true)
	o := options(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail.Load() && op.Kind == errorfs.OpRemove {
			return errors.New("injected")
		}
		return nil
	})))
	l, _ := open(t, o)
	w := newWriter(l, 4)
	for range 200 {
		w.append(t)
	}
	all := l.Segments()
	if _, _, err := l.Trim(all[2].FirstCommit); err == nil {
		t.Error("a file that could not be removed is no fault")
	}
	if l.Earliest() != all[2].FirstSeq {
		t.Errorf("the log begins at %d, want %d", l.Earliest(), all[2].FirstSeq)
	}
	ins, err := wal.Inspect(mem, "log", nil)
	if err != nil || len(ins.Problems) > 0 || ins.Segments[0].Name != all[2].Name {
		t.Fatalf("inspect: %+v, %v", ins, err)
	}
	fail.Store(false)
	if _, _, err := l.Trim(all[2].FirstCommit); err != nil {
		t.Fatal(err)
	}
	for _, s := range all[:2] {
		if _, err := mem.Stat("log/" + s.Name); err == nil {
			t.Errorf("%s is still there", s.Name)
		}
	}
	fail.Store(true)
	if _, _, err := l.Trim(all[4].FirstCommit); err == nil {
		t.Error("a file that could not be removed is no fault")
	}
	fail.Store(false)
	l.Close()
	l, _ = open(t, o)
	defer l.Close()
	check(t, l)
	for _, s := range all[:4] {
		if _, err := mem.Stat("log/" + s.Name); err == nil {
			t.Errorf("%s is still there", s.Name)
		}
	}
}

// TestTrimBesideReaders reads while the log grows and is trimmed: each reader sees
// everything in order, or is told that it is too late.
func TestTrimBesideReaders(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	w := newWriter(l, 5)
	stop, done := make(chan struct{}), make(chan error)
	for range 3 {
		go func() {
			done <- func() error {
				for {
					r, err := l.NewReader(wal.ReaderStart{Seq: l.Earliest()})
					var expired *wal.ExpiredError
					if errors.As(err, &expired) {
						continue
					}
					if err != nil {
						return err
					}
					var at uint64
					for err == nil {
						var f *wal.Frame
						if f, err = r.Next(1 << 62); err == nil {
							if at > 0 && f.Commit != at+1 {
								return errors.Join(errors.New("commits are passed over"), r.Close())
							}
							at = f.Commit
						}
					}
					r.Close()
					if err != io.EOF && !errors.As(err, &expired) {
						return err
					}
					select {
					case <-stop:
						return nil
					default:
					}
				}
			}()
		}()
	}
	go func() {
		done <- func() error {
			for {
				if at := l.Durable().Commit; at > 20 {
					if _, _, err := l.Trim(at - 20); err != nil {
						return err
					}
				}
				select {
				case <-stop:
					return nil
				default:
				}
			}
		}()
	}()
	for range 1500 {
		w.append(t)
	}
	close(stop)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
