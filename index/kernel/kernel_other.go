//go:build !amd64

package kernel

var supported = []variant{pureGo}

func (Kernel) dotF32(q, rows []float32, ids []uint32, out []float32) { dotF32Go(q, rows, ids, out) }
func (Kernel) l2F32(q, rows []float32, ids []uint32, out []float32)  { l2F32Go(q, rows, ids, out) }
func (Kernel) dotI8(q, rows []int8, ids []uint32, out []int32)       { dotI8Go(q, rows, ids, out) }
func (Kernel) l2I8(q, rows []int8, ids []uint32, out []int32)        { l2I8Go(q, rows, ids, out) }

func (Kernel) within(b *Bound, dots []int32, g, s, r []float32, mask []uint64) {
	withinWordsGo(b, dots, g, s, r, mask)
}
