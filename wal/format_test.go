package wal_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

var update = flag.Bool("update", false, "write testdata/v1 anew: only before a format is released")

// golden is a log of format 1, whose bytes are frozen: what wrote them may be
// out of use for years when a backup of them is put back.
const golden = "testdata/v1"

// goldenEnd is where it ends.
const (
	goldenSeq   = 131
	goldenChain = 0x80b568fc
)

func goldenOptions(dir string) wal.Options {
	o := options(vfs.Default)
	o.Dir = dir
	o.Rand = rand.NewChaCha8([32]byte{1})
	o.Now = func() time.Time { return time.UnixMicro(1_700_000_000_000_000) }
	return o
}

// writeGolden writes what testdata/v1 holds.
func writeGolden(t *testing.T, dir string) {
	l, _ := open(t, goldenOptions(dir))
	w := newWriter(l, 1)
	for i := range 30 {
		w.append(t)
		if i == 20 { // a frame that is compressed
			recs := make([]change.Record, 60)
			for i := range recs {
				w.seq++
				body, raw := content(w.seq)
				recs[i] = change.Record{Kind: change.DocumentUpdated, Library: uint32(w.seq % 7), Body: body, Raw: raw, Seq: w.seq}
			}
			if _, err := l.Append(recs, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Today's program reads the bytes of format 1, every record and every chain, and
// writes behind them.
func TestFormatIsFrozen(t *testing.T) {
	if *update {
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		writeGolden(t, golden)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, goldenOptions(dir))
	defer l.Close()
	check(t, l)
	if end := l.Durable(); end.Seq != goldenSeq || end.Chain != goldenChain {
		t.Errorf("the log of format 1 ends at seq %d with chain %08x, want %d with %08x", end.Seq, end.Chain, goldenSeq, goldenChain)
	}
	r, err := l.NewReader(wal.ReaderStart{Seq: goldenSeq / 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for ; ; n++ {
		if _, err := r.Next(1 << 62); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Error("a reader in the middle of the log of format 1 saw nothing")
	}
	w := newWriter(l, 2)
	for range 10 {
		w.append(t)
	}
	check(t, l)
}
