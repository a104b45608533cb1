package flat

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/kernel"
)

func bounds(m index.Metric, q, v []float32, limit float64) (passes bool, lower, upper float64) {
	code := make([]int8, len(v))
	s, g, r := encode(m, v, code)
	c := newCoded(m, q)
	if c.blind {
		return true, math.Inf(-1), math.Inf(1)
	}
	var hi, lo [1]int32
	kernel.DotRangeI8(c.hi, code, hi[:])
	kernel.DotRangeI8(c.lo, code, lo[:])
	b := c.coarse(limit)
	passes = true
	for _, name := range kernel.Variants() {
		k, _ := kernel.Named(name)
		// 64 equal rows, so that the assembly is used.
		var dots [64]int32
		var ss, gs, rs [64]float32
		for i := range dots {
			dots[i], ss[i], gs[i], rs[i] = hi[0], s, g, r
		}
		var words [1]uint64
		k.Within(&b, dots[:], gs[:], ss[:], rs[:], words[:])
		passes = passes && words[0] == math.MaxUint64
	}
	lower, upper = c.fine(254*int64(hi[0])+int64(lo[0]), s, g, r)
	return passes, lower, upper
}

// TestBounds looks for a pair of vectors whose distance is outside what their codes
// say. Half of the pairs are the worst there is: the residual of one lies in the
// direction that matters.
func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	rounds := 60_000
	if testing.Short() {
		rounds = 6000
	}
	for round := range rounds {
		dim := 1 + rng.IntN(1<<(1+rng.IntN(9)))
		m := index.Metric(rng.IntN(3))
		q, v := make([]float32, dim), make([]float32, dim)
		qs, vs := scale(rng), scale(rng)
		if rng.IntN(2) == 0 {
			vs = qs
		}
		kind := rng.IntN(6)
		for i := range q {
			q[i] = float32(rng.NormFloat64() * qs)
			v[i] = float32(rng.NormFloat64() * vs)
			switch kind {
			case 0: // near
				v[i] = q[i] * (1 + float32(rng.NormFloat64()*1e-4))
			case 1: // all between two codes, all roundings to one side
				v[i] = float32(vs * (0.5 + 0.499*float64(rng.IntN(2)*2-1)*float64(rng.IntN(3))))
				q[i] = float32(qs)
			case 2: // one large component makes bad codes
				if i == 0 {
					v[0] *= 300
				}
			case 3: // equal, or a multiple
				v[i] = q[i] * float32(vs/qs)
			}
		}
		if norm(q) == 0 || norm(v) == 0 || norm(v)-norm(v) != 0 {
			continue
		}
		d := m.Distance(q, v)
		passes, lower, upper := bounds(m, q, v, d)
		if !passes || !(lower <= d) || !(d <= upper) {
			t.Fatalf("round %d: %v, dimension %d, kind %d, scales %g and %g: distance %v, bounds %v and %v, passes %v",
				round, m, dim, kind, qs, vs, d, lower, upper, passes)
		}
	}
}

func scale(rng *rand.Rand) float64 {
	if rng.IntN(4) > 0 {
		return math.Pow(10, 4*rng.Float64()-2)
	}
	return math.Pow(10, 76*rng.Float64()-40)
}

func norm(v []float32) (sum float64) {
	for _, f := range v {
		sum += float64(f) * float64(f)
	}
	return sum
}

// TestBoundsAreNear guards what makes searches quick: bounds that hold and say little
// would pass every other test.
func TestBoundsAreNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for _, m := range []index.Metric{index.Cosine, index.L2, index.Dot} {
		for range 100 {
			q, v := make([]float32, 384), make([]float32, 384)
			for i := range q {
				q[i], v[i] = float32(rng.NormFloat64()/20), float32(rng.NormFloat64()/20)
			}
			_, lower, upper := bounds(m, q, v, 0)
			if upper-lower > 0.04 {
				t.Fatalf("%v: bounds %v and %v", m, lower, upper)
			}
			passes, _, _ := bounds(m, q, v, m.Distance(q, v)-0.03)
			if passes {
				t.Fatalf("%v: the first bound lets a row pass that is 0.03 too far", m)
			}
		}
	}
}
