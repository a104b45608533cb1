package flat

import (
	"math"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/kernel"
)

// eps covers the rounding of the float32 arithmetic in kernel.Within, as a part of the
// largest terms: at most nine roundings of 2^-24, and it is 32. See DESIGN.md.
const eps = 0x1p-19

// tiny covers the rounding of float64 arithmetic, likewise. Sums have up to 16,384
// terms of 2^-53.
const tiny = 1e-10

// Norms that can be coded without loss by overflow or underflow, whose squares are
// numbers in float32, with room on both sides. Other rows are candidates in every
// search.
const (
	minNorm = 0x1p-40
	maxNorm = 0x1p50
)

// encode writes the code of v and returns its three numbers. With y for v, or for
// v/|v| if the metric is cosine, and c for the code:
//
//	s  the scale, max|y|/127: y is about s·c
//	r  the residual |y − s·c| or a little more; -1 if there is no vector
//	g  |s·c|² − r² or a little less; for dot |y| or a little more
//
// A row that cannot be coded gets a g of infinity, with which it passes every bound.
func encode(m index.Metric, v []float32, code []int8) (s, g, r float32) {
	var top, sum float64
	for _, f := range v {
		f := float64(f)
		top = max(top, math.Abs(f))
		sum += f * f
	}
	norm, scale := math.Sqrt(sum), 1.0
	clear(code)
	switch {
	case sum == 0 && m != index.Cosine:
		return 0, 0, 0
	case m == index.Cosine && sum > 0 && sum <= math.MaxFloat64:
		norm, scale = 1, 1/norm
	case !(norm >= minNorm && norm <= maxNorm): // true for NaN
		return 0, anything(m), 0
	}
	s = float32(top * scale / 127)
	s64, inverse := float64(s), 1/float64(s)
	var residual, codes float64
	for i, f := range v {
		y := float64(f) * scale
		c := math.RoundToEven(y * inverse) // at most 127, as 127.00002 still is when rounded
		e := y - s64*c
		residual += e * e
		codes += c * c
		code[i] = int8(c)
	}
	r = up(math.Sqrt(residual)*(1+tiny) + tiny*norm*0x1p-10)
	if m == index.Dot {
		return s, up(norm * (1 + tiny)), r
	}
	h := s64 * s64 * codes
	return s, down(h - float64(r)*float64(r) - eps*h), r
}

// anything returns the g of rows that cannot be coded.
func anything(m index.Metric) float32 {
	if m == index.Dot {
		return float32(math.Inf(1))
	}
	return float32(math.Inf(-1))
}

// A coded query is q, or q/|q| for cosine and dot, as t·hi + t/254·lo + f: the first
// part alone, whose error is f1, sorts out almost all rows; both together, with the
// error f2, judge the others.
type coded struct {
	metric index.Metric
	hi, lo []int8
	t      float64
	norm   float64 // |q|
	c1, c2 float64 // norms of the first part and of both
	f1, f2 float64
	rel    float64 // how far distances are from true ones, see index.Metric.ErrorBound
	abs    float64
	blind  bool // the query cannot be coded: every row is a candidate
}

func newCoded(m index.Metric, q []float32) *coded {
	c := &coded{metric: m}
	c.rel, c.abs = m.ErrorBound(len(q))
	var top, sum float64
	for _, f := range q {
		f := float64(f)
		top = max(top, math.Abs(f))
		sum += f * f
	}
	c.norm = math.Sqrt(sum)
	scale, size := 1.0, c.norm
	switch {
	case sum == 0 && m == index.L2:
		c.hi, c.lo = make([]int8, len(q)), make([]int8, len(q))
		return c
	case sum == 0 || m == index.L2 && !(c.norm >= minNorm && c.norm <= maxNorm):
		c.blind = true
		return c
	case m != index.L2:
		scale, size = 1/c.norm, 1
	}
	codes := make([]int8, 2*len(q))
	c.hi, c.lo = codes[:len(q)], codes[len(q):]
	c.t = top * scale / 127
	t2 := c.t / 254
	inverse, inverse2 := 1/c.t, 1/t2
	var c1, c2, f1, f2 float64
	for i, f := range q {
		y := float64(f) * scale
		a := math.RoundToEven(y * inverse)
		rest := y - c.t*a
		b := math.RoundToEven(rest * inverse2) // |rest| is t/2 at most, or 127 t2
		both := c.t*a + t2*b
		c.hi[i], c.lo[i] = int8(a), int8(b)
		c1 += c.t * a * c.t * a
		c2 += both * both
		f1 += rest * rest
		f2 += (rest - t2*b) * (rest - t2*b)
	}
	c.c1, c.c2 = math.Sqrt(c1), math.Sqrt(c2)
	c.f1 = math.Sqrt(f1)*(1+tiny) + tiny*size
	c.f2 = math.Sqrt(f2)*(1+tiny) + tiny*size
	return c
}

// reach returns the greatest true distance between q and x that a computed distance
// of limit allows; both are unit vectors for cosine.
func (c *coded) reach(limit float64) float64 {
	if c.metric == index.Cosine {
		return math.Sqrt(2 * max(limit+c.abs, 0)) // |q − x|² = 2 − 2 q·x
	}
	return max(limit, 0) * (1 + 1.1*c.rel)
}

// coarse returns what rows pass by the first part of the query whose distance may be
// limit or less. DESIGN.md derives it.
func (c *coded) coarse(limit float64) kernel.Bound {
	if c.metric == index.Dot {
		w := limit / c.norm
		return kernel.Bound{
			G:     -up((c.f1 + c.rel + 2*eps) * (1 + eps)),
			S:     -float32(c.t),
			R:     -up(c.c1*(1+eps) + tiny),
			Limit: up(w + eps*math.Abs(w) + c.abs/c.norm),
		}
	}
	tau := (c.reach(limit) + c.f1) * (1 + tiny)
	qq := c.c1 * c.c1
	return kernel.Bound{
		G:     1,
		S:     -float32(2 * c.t),
		R:     -up(2 * tau * (1 + eps)),
		Limit: up(tau*tau - qq + eps*(tau*tau+qq)),
	}
}

// fine returns bounds on the distance of a row that has the dot product d with both
// parts of the query, which is 254 times that with hi and that with lo.
func (c *coded) fine(d int64, s, g, r float32) (lower, upper float64) {
	if math.IsInf(float64(g), 0) {
		return math.Inf(-1), math.Inf(1)
	}
	p := c.t / 254 * float64(s) * float64(d)
	g64, r64 := float64(g), float64(r)
	if c.metric == index.Dot {
		e := c.c2*r64 + (c.f2+c.rel)*g64
		slack := tiny*(math.Abs(p)+e+g64)*c.norm + c.abs
		return c.norm*(-p-e) - slack, c.norm*(-p+e) + slack
	}
	qq := c.c2 * c.c2
	h := g64 + r64*r64 // the row's square, or up to 1.01 eps and g's rounding less
	slack := tiny * (h + qq + 2*math.Abs(p))
	lower = max(math.Sqrt(max(h+qq-2*p-slack, 0))-r64-c.f2, 0) * (1 - tiny)
	upper = (math.Sqrt(max(h+qq-2*p+slack+1.1*eps*h+0x1p-22*math.Abs(g64), 0)) + r64 + c.f2) * (1 + tiny)
	if c.metric == index.Cosine {
		return max(lower*lower/2-c.abs, 0), upper*upper/2 + c.abs
	}
	return lower * (1 - 1.1*c.rel), upper * (1 + 1.1*c.rel)
}

// up returns the least float32 that is not below v, down the greatest not above. NaN
// stays.
func up(v float64) float32 {
	f := float32(v)
	if float64(f) < v {
		return math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}

func down(v float64) float32 { return -up(-v) }
