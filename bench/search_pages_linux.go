package bench

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// pages returns memory on huge pages, if there are any to be had.
func pages(size int) ([]byte, func()) {
	m, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, size), func() {}
	}
	start := int(-uintptr(unsafe.Pointer(unsafe.SliceData(m))) & (hugePage - 1))
	part := m[start : start+size : start+size]
	_ = unix.Madvise(part, unix.MADV_HUGEPAGE) // only speed is lost
	return part, func() { _ = unix.Munmap(m) }
}
