package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// What is filled past the page cache is as long as asked for, all zeros, and
// takes writes of any length at any place afterwards.
func TestPreallocate(t *testing.T) {
	for _, size := range []int64{4096, 100_000, 256 << 10, 1<<20 + 512, 3<<20 + 17} {
		path := filepath.Join(t.TempDir(), "f")
		f, err := vfs.Default.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := wal.Preallocate(f, size); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("unaligned"), 1001); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		copy(want[1001:], "unaligned")
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d bytes that are not zeros with one write among them", size, len(got))
		}
	}
}

// The first segment is made while somebody waits, and so only its beginning is
// written with zeros: it ends there if the next one, all zeros, is ready.
func TestHurriedSegmentEndsEarly(t *testing.T) {
	o := options(vfs.Default)
	o.Dir, o.SegmentSize, o.FillNow, o.NoCompression = t.TempDir(), 6<<20, 2<<20, true
	l, _ := open(t, o)
	defer l.Close()
	for !l.Prepared() {
		time.Sleep(time.Millisecond)
	}
	seq := uint64(0)
	for range 7 {
		seq++
		if _, err := l.Append([]change.Record{{Kind: change.DocumentAdded, Body: make([]byte, 4<<20/3), Seq: seq}}, 0); err != nil {
			t.Fatal(err)
		}
		for seq == 2 && !l.Prepared() { // the second one is whole, the third may be made in a hurry too
			time.Sleep(time.Millisecond)
		}
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".seg") {
			first = append(first, e.Name()[:20])
		}
	}
	// One record in the first, four in each that is whole.
	want := []string{"00000000000000000001", "00000000000000000002", "00000000000000000006"}
	if !slices.Equal(first, want) {
		t.Errorf("segments begin at %v, want %v", first, want)
	}
}
