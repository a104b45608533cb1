package engine

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeFS is the file system as the store sees it. Pebble names its current
// manifest by a marker file, and syncs the directory after both have been made:
// a file system that keeps the marker's entry and loses the manifest's leaves a
// store that cannot be opened. POSIX allows that, and the crashable file system
// of the tests does it, though journalling file systems do not. Syncing the
// directory before a marker is made closes the gap; it happens when a manifest
// begins, which is rare.
type storeFS struct{ vfs.FS }

func (f storeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, category)
}

// Unwrap returns the file system below.
func (f storeFS) Unwrap() vfs.FS { return f.FS }
