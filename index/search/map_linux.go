package search

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const canMap = true

func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, errors.Join(err, f.Close())
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	return b, errors.Join(err, f.Close())
}

func unmapFile(b []byte) error { return unix.Munmap(b) }
