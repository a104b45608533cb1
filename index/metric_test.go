package index_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/arrwdb/arrwdb/index"
)

func TestMetricNames(t *testing.T) {
	for _, m := range []index.Metric{index.Cosine, index.L2, index.Dot} {
		if got, err := index.ParseMetric(m.String()); got != m || err != nil || !m.Valid() {
			t.Errorf("%v: parsed as %v, %v", m, got, err)
		}
	}
	if _, err := index.ParseMetric("manhattan"); err == nil {
		t.Error("manhattan is a metric")
	}
	if m := index.Metric(3); m.Valid() || m.String() != "metric(3)" {
		t.Errorf("%v is valid", m)
	}
}

// TestDistance compares with float64 and the bound that is promised, over all of
// float32's range.
func TestDistance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		dim := 1 + rng.IntN(200)
		q, x := make([]float32, dim), make([]float32, dim)
		qs, xs := math.Pow(10, 75*rng.Float64()-38), math.Pow(10, 75*rng.Float64()-38)
		if rng.IntN(2) == 0 {
			xs = qs
		}
		var dot, qq, xx, l2 float64
		for i := range q {
			q[i], x[i] = float32(rng.NormFloat64()*qs), float32(rng.NormFloat64()*xs)
			a, b := float64(q[i]), float64(x[i])
			dot, qq, xx, l2 = dot+a*b, qq+a*a, xx+b*b, l2+(a-b)*(a-b)
		}
		if qq == 0 || xx == 0 {
			continue
		}
		for m, want := range map[index.Metric]float64{index.Cosine: 1 - dot/math.Sqrt(qq*xx), index.L2: math.Sqrt(l2), index.Dot: -dot} {
			got := m.Distance(q, x)
			rel, abs := m.ErrorBound(dim)
			bound := abs
			switch m {
			case index.L2:
				bound += rel * want
			case index.Dot:
				bound += rel * math.Sqrt(qq*xx)
			}
			if !(math.Abs(got-want) <= bound*(1+1e-9)) {
				t.Fatalf("%v, dimension %d, scales %g and %g: %v, in float64 %v", m, dim, qs, xs, got, want)
			}
		}
		if index.Cosine.Distance(q, q) != 0 || index.L2.Distance(q, q) != 0 {
			t.Fatalf("a vector is at distance %v and %v from itself", index.Cosine.Distance(q, q), index.L2.Distance(q, q))
		}
	}
	zero, one := []float32{0, 0}, []float32{0, 1}
	if d := index.Cosine.Distance(zero, one); d != 1 {
		t.Errorf("cosine distance of a zero vector is %v", d)
	}
	if d := index.Dot.Distance(zero, one); d != 0 || math.Signbit(d) {
		t.Errorf("dot distance of a zero vector is %v", d)
	}
}
