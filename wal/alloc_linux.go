//go:build linux

package wal

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// truncate cuts a sealed segment at its end. It only saves room: a file that
// keeps its zeros is as good.
func truncate(f vfs.File, size int64) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = unix.Ftruncate(int(fd), size)
	}
}

// preallocate makes the file size bytes long, allocated and synced, and writes
// zeros over its first fill bytes: see "Preallocation" in DESIGN.md for what
// each of the two gains. Mode 0 of fallocate moves the file's length too; with
// FALLOC_FL_KEEP_SIZE, which vfs.File.Preallocate uses, each append would still
// have to sync a new length.
func preallocate(f vfs.File, size, fill int64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd || unix.Fallocate(int(fd), 0, 0, size) != nil {
		fill = size
	}
	return zeroFill(f, 0, fill)
}
