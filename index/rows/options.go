package rows

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Limits and defaults.
const (
	MaxDim = 16_384 // components of a vector; the largest row is one default block

	DefaultBlockSize     = 64 << 10 // bytes; one row of MaxDim
	DefaultBlocksPerFile = 1024     // 64 MiB a file

	// DefaultManifestRewrite is the length of the manifest, in bytes, below
	// which it is only appended to.
	DefaultManifestRewrite = 1 << 20
	// manifestGrowth is how many times its first record a manifest may reach
	// before it is written anew: so rewriting costs at most a third on top of
	// appending, and a manifest never holds more than 75 % history.
	manifestGrowth = 4

	minBlockSize     = 64
	maxBlockSize     = 1 << 20
	maxBlocksPerFile = 1 << 16
	maxManifestBytes = 1 << 30 // 30 million blocks, 2 TiB of vectors
)

// Options of Open. FS and Dir must be set, the rest may be zero.
type Options struct {
	// FS carries everything. Its files must take WriteAt and ReadAt at the same
	// time as SyncData on another handle, as vfs.Default and MemFS do.
	FS vfs.FS
	// Dir is the directory of the store. Open makes it, and the caller sees to it
	// that one process at a time writes there: the store takes no lock.
	Dir string

	// BlockSize in bytes, a power of two from 64 to 1 MiB, and BlocksPerFile, at
	// most 65,536, are the geometry of a new store; defaults DefaultBlockSize and
	// DefaultBlocksPerFile. A store that exists keeps its own. A row must fit
	// into a block.
	BlockSize     int
	BlocksPerFile int

	// Map lets reads go through mapped memory where the file system has real
	// files and the machine is little-endian; elsewhere, and without Map, rows
	// are read with pread. It never changes what is read, but an I/O error under
	// a mapping is a signal, where pread returns an error.
	Map bool

	// ReadOnly opens without writing anything, not even a directory. Nothing can
	// be changed then. A torn tail is passed over, as always, and missing files
	// are left for Verify to report.
	ReadOnly bool

	// ManifestRewrite overrides DefaultManifestRewrite.
	ManifestRewrite int64
}

func (o *Options) validate() error {
	if o.FS == nil || o.Dir == "" {
		return fmt.Errorf("rows: FS and Dir must be set")
	}
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	if o.BlocksPerFile == 0 {
		o.BlocksPerFile = DefaultBlocksPerFile
	}
	if o.ManifestRewrite == 0 {
		o.ManifestRewrite = DefaultManifestRewrite
	}
	return checkGeometry(o.BlockSize, o.BlocksPerFile)
}

func checkGeometry(blockSize, blocksPerFile int) error {
	if blockSize < minBlockSize || blockSize > maxBlockSize || blockSize&(blockSize-1) != 0 {
		return fmt.Errorf("rows: block size %d is not a power of two from %d to %d", blockSize, minBlockSize, maxBlockSize)
	}
	if blocksPerFile < 1 || blocksPerFile > maxBlocksPerFile {
		return fmt.Errorf("rows: %d blocks a file, want 1 to %d", blocksPerFile, maxBlocksPerFile)
	}
	return nil
}
