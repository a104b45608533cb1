package index

import (
	"fmt"
	"math"

	"github.com/arrwdb/arrwdb/index/kernel"
)

// A Metric says what near means. The numbers are written to snapshots and frozen.
type Metric uint8

const (
	// Cosine is 1 − q·x/(|q||x|), from 0 to 2.
	Cosine Metric = 0
	// L2 is the Euclidean distance |q − x|.
	L2 Metric = 1
	// Dot is −q·x, so that lower is better as everywhere.
	Dot Metric = 2
)

var metricNames = [...]string{Cosine: "cosine", L2: "l2", Dot: "dot"}

// ParseMetric returns the metric of a name.
func ParseMetric(name string) (Metric, error) {
	for m, s := range metricNames {
		if s == name {
			return Metric(m), nil
		}
	}
	return 0, fmt.Errorf("index: metric %q is not one of %v", name, metricNames)
}

// Valid reports whether m is one of the metrics.
func (m Metric) Valid() bool { return int(m) < len(metricNames) }

// String returns the name.
func (m Metric) String() string {
	if !m.Valid() {
		return fmt.Sprintf("metric(%d)", uint8(m))
	}
	return metricNames[m]
}

// Distance is the exact distance: the one that hits are ordered by and that users
// see. Every search structure and every brute-force scan of a process gives these
// very bits; processors with another kernel may round differently.
//
// Dot products and squared distances come from the float32 kernels, which are some
// twenty times faster than float64, and everything after that is float64:
//
//	cosine  1 − q·x/√((q·q)(x·x)), cut to 0...2; exactly 0 if x equals q
//	l2      √|q−x|²;                             exactly 0 if x equals q
//	dot     −q·x
//
// Where float32 would overflow or lose bits to underflow, the same is computed in
// float64, which can do neither with float32 values: for cosine, if q·q or x·x is not
// in 2^-60...2^120; for the others, if the result is not finite or its magnitude is
// below 2^-100. So finite vectors never give NaN. A zero vector has cosine distance 1.
func (m Metric) Distance(q, x []float32) float64 {
	var out [1]float64
	NewMeasure(m, q).Distances(x, out[:])
	return out[0]
}

// ErrorBound bounds how far [Metric.Distance] is from the true distance, for searches
// that prune by bounds on the true one. With the bound of package kernel, for a sum of
// n products and u = 2^-24: l2 has at most the relative error rel; dot at most
// rel·|q||x| + abs; cosine at most abs.
func (m Metric) ErrorBound(dim int) (rel, abs float64) {
	e := 1.01 * float64(dim+3) * 0x1p-24
	switch m {
	case Cosine:
		// The product has e, and each of the two norms under the root e, halved by it.
		return 0, 2.1*e + 1e-12
	case L2:
		return e, 0 // the root halves it, which pays for all higher terms
	default:
		return e, 0x1p-130 // products below 2^-126 lose up to 2^-149 each
	}
}

const (
	minSquare = 0x1p-60
	maxSquare = 0x1p120
	minResult = 0x1p-100
)

// A Measure computes distances from one query. It is safe for concurrent use.
type Measure struct {
	metric Metric
	q      []float32
	qq     float32
}

// NewMeasure returns the measure for a query, which it keeps.
func NewMeasure(m Metric, q []float32) *Measure {
	d := &Measure{metric: m, q: q}
	if m == Cosine {
		d.qq = square(q)
	}
	return d
}

func square(x []float32) float32 {
	var out [1]float32
	kernel.DotRangeF32(x, x, out[:])
	return out[0]
}

// Distances sets out[i] to the distance of row i of rows.
func (d *Measure) Distances(rows []float32, out []float64) {
	var sums [32]float32
	for dim := len(d.q); len(out) > 0; {
		n := min(len(sums), len(out))
		if d.metric == L2 {
			kernel.L2RangeF32(d.q, rows, sums[:n])
		} else {
			kernel.DotRangeF32(d.q, rows, sums[:n])
		}
		for i, sum := range sums[:n] {
			out[i] = d.finish(sum, rows[i*dim:][:dim])
		}
		rows, out = rows[n*dim:], out[n:]
	}
}

// finish turns the sum that a kernel computed for a row into the distance.
func (d *Measure) finish(sum float32, x []float32) float64 {
	if d.metric == Cosine {
		xx := square(x)
		if d.qq >= minSquare && d.qq <= maxSquare && xx >= minSquare && xx <= maxSquare {
			// The product of two float32 is exact in float64, and so is the root of a
			// square: equal vectors are at distance 0.
			return cosine(float64(sum), float64(d.qq)*float64(xx))
		}
		return cosine(dot64(d.q, x), dot64(d.q, d.q)*dot64(x, x))
	}
	exact := math.Abs(float64(sum)) >= minResult && !math.IsInf(float64(sum), 0) // false for NaN
	switch {
	case d.metric == L2 && exact:
		return math.Sqrt(float64(sum))
	case d.metric == L2:
		return math.Sqrt(square64(d.q, x))
	case exact:
		return -float64(sum)
	default:
		return 0 - dot64(d.q, x) // never −0
	}
}

func cosine(dot, squares float64) float64 {
	if squares == 0 {
		return 1
	}
	return min(max(1-dot/math.Sqrt(squares), 0), 2)
}

func dot64(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func square64(a, b []float32) (sum float64) {
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += float64(d * d)
	}
	return sum
}
