package engine

import (
	"errors"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A spaceFS tells its guard when a write meets a full disk, and writes the rest once
// more when the guard has made room. A sync that fails is never repeated: the next
// one would succeed, and prove nothing.
type spaceFS struct {
	vfs.FS
	guard *diskGuard
}

func (s spaceFS) Unwrap() vfs.FS { return s.FS }

// again reports whether it is worth while to try again after err.
func (s spaceFS) again(err error) bool { return errors.Is(err, syscall.ENOSPC) && s.guard.met() }

func (s spaceFS) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &spaceFile{f, s}, nil
}

func (s spaceFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, category)
	if s.again(err) {
		f, err = s.FS.Create(name, category)
	}
	return s.file(f, err)
}

func (s spaceFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return s.file(s.FS.OpenReadWrite(name, category, o...))
}

func (s spaceFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.file(s.FS.ReuseForWrite(from, to, category))
}

func (s spaceFS) MkdirAll(dir string, perm os.FileMode) error {
	err := s.FS.MkdirAll(dir, perm)
	if s.again(err) {
		err = s.FS.MkdirAll(dir, perm)
	}
	return err
}

func (s spaceFS) Rename(from, to string) error {
	err := s.FS.Rename(from, to)
	if s.again(err) {
		err = s.FS.Rename(from, to)
	}
	return err
}

type spaceFile struct {
	vfs.File
	fs spaceFS
}

func (f *spaceFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if f.fs.again(err) {
		var more int
		more, err = f.File.Write(p[n:])
		n += more
	}
	return n, err
}

func (f *spaceFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if f.fs.again(err) {
		var more int
		more, err = f.File.WriteAt(p[n:], off+int64(n))
		n += more
	}
	return n, err
}

func (f *spaceFile) Sync() error { return f.synced(f.File.Sync()) }

func (f *spaceFile) SyncData() error { return f.synced(f.File.SyncData()) }

func (f *spaceFile) synced(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		f.fs.guard.met()
	}
	return err
}
