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

// preallocate makes the file size bytes long, allocated, zero and synced.
// Mode 0 moves the file's length too: with FALLOC_FL_KEEP_SIZE, which
// vfs.File.Preallocate uses, each append would still have to sync a new length.
func preallocate(f vfs.File, size int64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd || unix.Fallocate(int(fd), 0, 0, size) != nil {
		return zeroFill(f, 0, size)
	}
	return f.Sync()
}
