package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

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
