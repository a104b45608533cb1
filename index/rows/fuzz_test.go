package rows_test

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/index/rows"
)

// FuzzManifest feeds the decoders with noise, with and without a header that is
// made valid first: they never panic.
func FuzzManifest(f *testing.F) {
	fs := vfs.NewCrashableMem()
	tell(f, fs, small(fs))
	data := readAll(f, fs, dir+"/MANIFEST-000001")
	f.Add(data)
	f.Add(data[64+32 : 64+32+4])
	f.Add(data[64+80+32:])
	f.Fuzz(func(t *testing.T, b []byte) {
		rows.Payload(b)
		rows.Manifest(b)
		if len(b) >= 64 {
			copy(b, data[:40])
			binary.LittleEndian.PutUint32(b[60:], rows.CRC(b[:60]))
			rows.Manifest(b)
		}
	})
}
