package bench

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A latency is a histogram of nanoseconds with three digits, up to a minute.
type latency struct{ h *hdrhistogram.Histogram }

func newLatency() latency {
	return latency{hdrhistogram.New(1, int64(time.Minute), 3)}
}

func (l latency) record(d time.Duration) {
	_ = l.h.RecordValue(min(max(int64(d), 1), int64(time.Minute)))
}

// merged returns one histogram of what is in many.
func merged(of []latency) latency {
	all := newLatency()
	for _, l := range of {
		all.h.Merge(l.h)
	}
	return all
}

// micros returns the value at a percentile in µs.
func (l latency) micros(percentile float64) float64 {
	return float64(l.h.ValueAtPercentile(percentile)) / 1000
}

func (l latency) count() int64 { return l.h.TotalCount() }

// Median returns the median, of an even number the mean of the middle two. It is
// NaN of nothing.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Percentile returns the smallest value that p percent of the values do not
// exceed. It is NaN of nothing.
func Percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	i := int(math.Ceil(p/100*float64(len(s)))) - 1
	return s[min(max(i, 0), len(s)-1)]
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
