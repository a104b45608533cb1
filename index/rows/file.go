package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const rowSuffix = ".rows"

func fileName(id uint64) string { return fmt.Sprintf("%06d%s", id, rowSuffix) }

func parseFileName(name string) (id uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, rowSuffix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && fileName(id) == name
}

// file is one row file. Rows are written through wr and read and synced through
// rd: a second handle, so that a sync never stands in the way of a write, and
// opened before the first write, so that it sees every error of writing back.
type file struct {
	id     uint64
	path   string
	rd     vfs.File
	wr     vfs.File // nil until the first write; guarded by Store.applyMu
	mapped []byte   // nil where reads go through rd
	dirty  bool     // in Store.dirtyFiles; guarded by Store.applyMu

	// Guarded by Store.mu.
	free  []uint64 // a bit a block
	nfree int
}

func newFile(id uint64, path string, blocks int) *file {
	f := &file{id: id, path: path, free: make([]uint64, (blocks+63)/64), nfree: blocks}
	for i := range blocks {
		f.free[i/64] |= 1 << (i % 64)
	}
	return f
}

// take marks block i as used and reports whether it was free.
func (f *file) take(i uint32) bool {
	if f.free[i/64]&(1<<(i%64)) == 0 {
		return false
	}
	f.free[i/64] &^= 1 << (i % 64)
	f.nfree--
	return true
}

func (f *file) give(i uint32) {
	f.free[i/64] |= 1 << (i % 64)
	f.nfree++
}

// openWriter opens wr and makes the file as long as its mapping needs.
func (f *file) openWriter(fs vfs.FS) (err error) {
	if f.wr == nil {
		f.wr, err = fs.OpenReadWrite(f.path, vfs.WriteCategoryUnspecified)
	}
	return err
}

// tryMap maps the file. Where that is not possible, reads keep to pread.
func (f *file) tryMap(size int64, extend bool) error {
	if !hostLittleEndian || !canMap || f.rd.Fd() == vfs.InvalidFd {
		return nil
	}
	info, err := f.rd.Stat()
	if err != nil {
		return err
	}
	if info.Size() < size {
		if !extend {
			return nil // a mapping past the end would raise SIGBUS
		}
		// The last byte belongs to a block that nothing was written to.
		if _, err := f.wr.WriteAt([]byte{0}, size-1); err != nil {
			return err
		}
	}
	if m, err := mapFile(f.rd.Fd(), int(size)); err == nil {
		f.mapped = m
	}
	return nil
}

func (f *file) close() error {
	var errs []error
	if f.mapped != nil {
		errs = append(errs, unmapFile(f.mapped))
		f.mapped = nil
	}
	if f.wr != nil {
		errs = append(errs, f.wr.Close())
		f.wr = nil
	}
	if f.rd != nil {
		errs = append(errs, f.rd.Close())
		f.rd = nil
	}
	return errors.Join(errs...)
}

// readAt fills dst from offset off.
func (f *file) readAt(dst []byte, off int64) error {
	if f.mapped != nil {
		copy(dst, f.mapped[off:])
		return nil
	}
	if f.rd == nil {
		return &DamageError{File: f.path, Offset: off, Detail: "the file is missing"}
	}
	n, err := f.rd.ReadAt(dst, off)
	if n == len(dst) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return &DamageError{File: f.path, Offset: off + int64(n), Detail: fmt.Sprintf("the file ends %d bytes early", len(dst)-n)}
	}
	return fmt.Errorf("rows: %s: read %d bytes at %d: %w", f.path, len(dst), off, err)
}

// floats returns n floats at offset off: in place where the file is mapped, else
// read into buf, which is grown if it is too short.
func (f *file) floats(buf []float32, n int, off int64) ([]float32, error) {
	if f.mapped != nil {
		return unsafe.Slice((*float32)(unsafe.Pointer(&f.mapped[off])), n), nil
	}
	if cap(buf) < n {
		buf = make([]float32, n)
	}
	buf = buf[:n]
	raw := bytesOf(buf)
	if err := f.readAt(raw, off); err != nil {
		return nil, err
	}
	fixEndian(buf)
	return buf, nil
}

// bytesOf is the memory of v.
func bytesOf(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}

var hostLittleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// fixEndian turns little-endian floats, read as bytes, into those of the host.
func fixEndian(v []float32) {
	if hostLittleEndian {
		return
	}
	raw := bytesOf(v)
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.LittleEndian.Uint32(raw[i:]))
	}
}
