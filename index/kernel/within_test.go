package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/arrwdb/arrwdb/index/kernel"
)

// TestWithin compares with float64; rows nearer to the limit than rounding may fall
// on either side.
func TestWithin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, k := range kernels(t) {
		for n := range 300 {
			b := kernel.Bound{G: rng.Float32() - 0.5, S: rng.Float32() - 0.5, R: rng.Float32() - 0.5, Limit: rng.Float32() - 0.5}
			g, s, r := randomF32(rng, n), randomF32(rng, n), randomF32(rng, n)
			dots, mask := make([]int32, n), make([]uint64, (n+63)/64+1)
			for i := range dots {
				dots[i] = int32(rng.IntN(9) - 4)
			}
			if n > 0 {
				g[rng.IntN(n)] = float32(math.NaN())
				s[rng.IntN(n)] = float32(math.Inf(1))
			}
			mask[len(mask)-1] = 12345
			k.Within(&b, dots, g, s, r, mask)
			if mask[len(mask)-1] != 12345 {
				t.Fatalf("%v: n %d: wrote after the last word", k, n)
			}
			for i := range (n + 63) / 64 * 64 {
				got, want := mask[i/64]>>(i%64)&1 == 1, false
				if i < n {
					v := float64(b.G)*float64(g[i]) + float64(b.S)*float64(s[i])*float64(dots[i]) + float64(b.R)*float64(r[i])
					if math.Abs(v-float64(b.Limit)) < 1e-5 {
						continue
					}
					want = !(v > float64(b.Limit))
				}
				if got != want {
					t.Fatalf("%v: n %d, row %d: got %v, want %v", k, n, i, got, want)
				}
			}
		}
	}
}

func TestWithinPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic without room for the bits")
		}
	}()
	kernel.Within(&kernel.Bound{}, make([]int32, 65), make([]float32, 65), make([]float32, 65), make([]float32, 65), make([]uint64, 1))
}

func BenchmarkWithin(b *testing.B) {
	for _, k := range kernels(b) {
		b.Run(k.String(), func(b *testing.B) {
			const n = 1024
			dots, g, mask := make([]int32, n), make([]float32, n), make([]uint64, n/64)
			for b.Loop() {
				k.Within(&kernel.Bound{G: 1, Limit: -1}, dots, g, g, g, mask)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
