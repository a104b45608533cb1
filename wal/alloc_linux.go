//go:build linux

package wal

import (
	"fmt"

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

// uncache lets go of a file's pages in the page cache.
func uncache(f vfs.File) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED)
	}
}

// preallocate makes the file size bytes long, allocated and synced, and writes
// zeros over its first fill bytes: see "Preallocation" in DESIGN.md for what
// each of the two gains. Mode 0 of fallocate moves the file's length too; with
// FALLOC_FL_KEEP_SIZE, which vfs.File.Preallocate uses, each append would still
// have to sync a new length.
func preallocate(f vfs.File, size, fill int64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return zeroFill(f, 0, size)
	}
	switch err := unix.Fallocate(int(fd), 0, 0, size); err {
	case nil:
	case unix.ENOSPC, unix.EDQUOT: // zeros would take what room is left
		return fmt.Errorf("allocating %d bytes: %w", size, err)
	default:
		return zeroFill(f, 0, size)
	}
	done := fillDirect(int(fd), fill)
	return zeroFill(f, done, fill-done)
}

// directStep is how many zeros fillDirect writes at a time; it waits for each.
const directStep = 256 << 10

// fillDirect writes zeros past the page cache and returns how many. The file
// must be synced afterwards. Where the file system takes no direct writes it
// does nothing.
func fillDirect(fd int, n int64) (done int64) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_DIRECT); err != nil {
		return 0
	}
	defer unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	// Mapped memory is aligned, as direct writes ask for.
	buf, err := unix.Mmap(-1, 0, directStep, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0
	}
	defer unix.Munmap(buf)
	for done+directStep <= n {
		k, err := unix.Pwrite(fd, buf, done)
		if err != nil || k != directStep {
			break
		}
		done += directStep
	}
	return done
}
