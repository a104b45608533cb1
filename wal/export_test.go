package wal

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WithSegmentVersion returns a segment's bytes as another version would have
// written its header.
func WithSegmentVersion(b []byte, version uint16) []byte {
	b = append([]byte(nil), b...)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint32(b[84:], crcOf(b[:84]))
	return b
}

// ZeroFill writes zeros over a file and leaves them in the page cache, for the
// raw probe.
func ZeroFill(f vfs.File, size int64) error { return zeroFill(f, 0, size) }

// Preallocate makes a file as the next segment's is made.
func Preallocate(f vfs.File, size int64) error { return preallocate(f, size, size) }

// Prepared reports whether the next segment is ready.
func (l *Log) Prepared() bool { return len(l.prepared) > 0 }
