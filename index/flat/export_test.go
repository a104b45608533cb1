package flat

import (
	"bytes"
)

// SetWorkers changes Options.Workers between searches.
func SetWorkers(x *Index, n int) { x.opts.Workers = n }

// Codes returns the codes of all chunks.
func Codes(x *Index) (out [][]int8) {
	for i := range *x.table.Load() {
		if c := x.chunk(i); c != nil {
			out = append(out, c.codes)
		}
	}
	return out
}

// Touch reads memory as fast as the standard library can: IndexByte looks for a code
// that does not occur, -128.
func Touch(codes []int8) {
	if bytes.IndexByte(asBytes(codes), 0x80) >= 0 {
		panic("-128 is not a code")
	}
}
