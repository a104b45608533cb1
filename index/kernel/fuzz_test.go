package kernel_test

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzKernels takes a dimension, ids and bytes, which are the int8 codes as they are,
// and one float32 for each four.
func FuzzKernels(f *testing.F) {
	f.Add(uint16(4), []byte{0, 2, 1, 1}, []byte("queryrow0row1row2"))
	f.Add(uint16(17), []byte{0}, make([]byte, 200))
	f.Fuzz(func(t *testing.T, dim uint16, places, data []byte) {
		d := int(dim)%1024 + 1
		pick := func(rows int) (ids []uint32) {
			if rows < 1 {
				return nil
			}
			for _, p := range places {
				ids = append(ids, uint32(int(p)%rows))
			}
			return ids
		}
		codes := make([]int8, len(data))
		for i, b := range data {
			codes[i] = int8(b)
		}
		floats := make([]float32, len(data)/4)
		for i := range floats {
			v := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			// The bounds hold for numbers whose squares neither overflow nor vanish.
			if a := math.Abs(float64(v)); !(a < 1e15) || a < 1e-9 {
				v = float32(int32(math.Float32bits(v))) / (1 << 20)
			}
			floats[i] = v
		}
		for _, k := range kernels(t) {
			if len(codes) >= d {
				checkI8(t, k, codes[:d], codes[d:], pick((len(codes)-d)/d))
			}
			if len(floats) >= d {
				checkF32(t, k, floats[:d], floats[d:], pick((len(floats)-d)/d))
			}
		}
	})
}
