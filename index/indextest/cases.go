package indextest

import (
	"fmt"
	"math"
	"testing"

	"github.com/arrwdb/arrwdb/index"
)

// ks are the numbers of hits that are asked for, of n rows.
func ks(n int) []int { return []int{1, 10, 100, n, 2 * n, 1_000_000} }

// fill appends n vectors.
func (m *model) fill(n int, from source) {
	for range n {
		m.append(from(m.rng, m.dim))
	}
}

// query returns a new vector, or one that is there.
func (m *model) query(from source) []float32 {
	if v := m.vectors[m.rng.IntN(int(m.high.Load()))]; v != nil && m.rng.IntN(3) == 0 {
		return v
	}
	return from(m.rng, m.dim)
}

func dimensions(t *testing.T, s suite, metric index.Metric) {
	for _, dim := range []int{1, 2, 3, 7, 16, 100, 128, 384, 1000, 4096} {
		t.Run(fmt.Sprint(dim), func(t *testing.T) {
			n := 2500
			if dim > 200 {
				n = 300
			}
			m := newModel(t, s, metric, dim, n, 1)
			m.fill(n, gaussian)
			for _, k := range ks(n) {
				m.check(m.query(gaussian), index.Query{K: k}, m.scope())
				m.check(m.query(gaussian), index.Query{K: k, Exact: true}, masked(m.scope(), 0.3, m.rng))
			}
			m.recall()
		})
	}
}

func kinds(t *testing.T, s suite, metric index.Metric) {
	for name, from := range map[string]source{"grid": grid, "clustered": clustered, "lopsided": lopsided} {
		for _, dim := range []int{4, 32, 200} {
			t.Run(fmt.Sprintf("%s/%d", name, dim), func(t *testing.T) {
				m := newModel(t, s, metric, dim, 3000, 2)
				m.fill(3000, from)
				for range 5 {
					for _, k := range ks(3000)[:4] {
						m.check(m.query(from), index.Query{K: k, Exact: m.rng.IntN(2) == 0}, m.scope())
					}
				}
				m.recall()
			})
		}
	}
}

func masks(t *testing.T, s suite, metric index.Metric) {
	const n = 6000
	m := newModel(t, s, metric, 48, n+100, 3)
	m.fill(n, clustered)
	for range 500 {
		m.kill(uint32(m.rng.IntN(n)))
	}
	for _, part := range []float64{0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 1} {
		scope := masked(m.scope(), part, m.rng)
		for _, k := range []int{1, 10, 100, 1000, n} {
			m.check(m.query(clustered), index.Query{K: k}, scope)
		}
	}
	// One that lets a single run pass, and blocks beside it none.
	run := masked(m.scope(), 0, m.rng)
	for slot := uint32(1000); slot < 1100; slot++ {
		run.Mask[slot/64] |= 1 << (slot % 64)
		run.Count++
	}
	m.check(m.query(clustered), index.Query{K: 10}, run)
	m.append(nil) // the scope reaches beyond the last vector
	m.check(m.query(clustered), index.Query{K: 10}, masked(m.scope(), 0.9, m.rng))
	m.recall()
}

// story goes through random operations, and searches as of earlier moments.
func story(t *testing.T, s suite, metric index.Metric) {
	const slots = 9000
	m := newModel(t, s, metric, 24, slots, 4)
	m.fill(1, clustered)
	scopes := []*index.Scope{m.scope()}
	for m.high.Load() < slots {
		old := uint32(m.rng.IntN(int(m.high.Load())))
		switch op := m.rng.IntN(100); {
		case op < 50:
			m.append(clustered(m.rng, m.dim))
		case op < 65: // replaced
			m.kill(old)
			m.append(clustered(m.rng, m.dim))
		case op < 80: // patched
			m.copy(old)
			m.kill(old)
		case op < 90:
			m.kill(old)
		case op < 95:
			m.append(nil)
		case op == 99 && m.rng.IntN(20) == 0: // many gaps, more than a block of any kind
			for range min(m.rng.IntN(3000), slots-int(m.high.Load())) {
				m.append(nil)
			}
		}
		switch m.rng.IntN(60) {
		case 0:
			scopes = append(scopes, m.scope())
		case 1:
			scope := scopes[m.rng.IntN(len(scopes))]
			if m.rng.IntN(2) == 0 {
				scope = masked(scope, m.rng.Float64(), m.rng)
			}
			m.check(m.query(clustered), index.Query{K: 1 + m.rng.IntN(40)}, scope)
		}
	}
	for _, k := range ks(slots) {
		m.check(m.query(clustered), index.Query{K: k}, m.scope())
	}
	if got, high := m.x.Len(), m.high.Load(); got > high {
		t.Errorf("Len is %d after %d slots", got, high)
	}
	m.recall()
}

// duplicates has few different vectors, so that order decides among equal ones.
func duplicates(t *testing.T, s suite, metric index.Metric) {
	for _, different := range []int{1, 3, 50} {
		m := newModel(t, s, metric, 20, 4000, 5)
		kept := make([][]float32, different)
		for i := range kept {
			kept[i] = gaussian(m.rng, m.dim)
		}
		for range 4000 {
			m.append(kept[m.rng.IntN(different)])
		}
		for _, k := range []int{1, 10, 100, 1500, 4000} {
			m.check(kept[0], index.Query{K: k, Exact: true}, m.scope())
			m.check(gaussian(m.rng, m.dim), index.Query{K: k, Exact: true}, m.scope())
			m.check(kept[0], index.Query{K: k, Exact: true}, masked(m.scope(), 0.2, m.rng))
		}
		m.tied.Store(false)
		m.check(kept[0], index.Query{K: 10, Exact: true}, m.scope())
	}
}

func maxDistance(t *testing.T, s suite, metric index.Metric) {
	m := newModel(t, s, metric, 12, 3000, 6)
	m.fill(3000, clustered)
	for range 20 {
		q := m.query(clustered)
		all := m.want(q, index.Query{K: 3000}, m.scope())
		for _, at := range []int{0, 1, 30, 500, 2999} {
			exactly := all[at].Score
			less := math.Nextafter(exactly, math.Inf(-1))
			for _, limit := range []float64{exactly, less, math.Inf(1), -1, 0} {
				m.check(q, index.Query{K: 1 + m.rng.IntN(2*at+2), MaxDistance: &limit, Exact: true}, m.scope())
			}
		}
	}
	nan := math.NaN()
	scope := m.scope()
	if got, err := m.x.Search(t.Context(), m.query(clustered), index.Query{K: 5, MaxDistance: &nan}, scope, m.reader(scope)); err == nil && len(got) > 0 {
		t.Errorf("a MaxDistance of NaN found %v", got)
	}
}

func extremes(t *testing.T, s suite, metric index.Metric) {
	for _, dim := range []int{1, 5, 40, 300} {
		m := newModel(t, s, metric, dim, 2500, 7)
		from := extreme(metric)
		m.fill(2500, from)
		for range 15 {
			q := m.query(from)
			m.check(q, index.Query{K: 1 + m.rng.IntN(200), Exact: true}, m.scope())
			m.check(q, index.Query{K: 1 + m.rng.IntN(20), Exact: true}, masked(m.scope(), 0.1, m.rng))
			limit := m.metric.Distance(q, m.query(from))
			m.check(q, index.Query{K: 100, MaxDistance: &limit, Exact: true}, m.scope())
		}
	}
}

func empty(t *testing.T, s suite, metric index.Metric) {
	m := newModel(t, s, metric, 8, 10, 8)
	q := gaussian(m.rng, m.dim)
	m.check(q, index.Query{K: 10}, m.scope())
	m.append(nil)
	m.check(q, index.Query{K: 10}, m.scope())
	m.append(q)
	m.check(q, index.Query{K: 0}, m.scope())
	m.check(q, index.Query{K: 10}, m.scope())
	m.check(q, index.Query{K: 10}, masked(m.scope(), 0, m.rng))
	m.kill(1)
	m.check(q, index.Query{K: 10}, m.scope())
	if m.x.MemoryBytes() <= 0 {
		t.Errorf("MemoryBytes is %d", m.x.MemoryBytes())
	}
}

func large(t *testing.T, s suite, metric index.Metric) {
	n := s.opts.Large
	if n == 0 {
		t.Skip("Options.Large is 0")
	}
	m := newModel(t, s, metric, 40, n, 14)
	equal := clustered(m.rng, m.dim)
	for slot := range n {
		switch m.rng.IntN(4) {
		case 0:
			m.append(equal)
		case 1:
			m.kill(m.append(clustered(m.rng, m.dim)))
		default:
			m.append(clustered(m.rng, m.dim))
		}
		if slot == n/2 { // chunks of gaps and of equal rows
			for range min(n/5, n-int(m.high.Load())) {
				m.append(nil)
			}
		}
		if int(m.high.Load()) == n {
			break
		}
	}
	for _, k := range []int{1, 10, 1000, n / 6, 2 * n} {
		m.check(equal, index.Query{K: k, Exact: true}, m.scope())
		m.check(clustered(m.rng, m.dim), index.Query{K: k}, m.scope())
		m.check(clustered(m.rng, m.dim), index.Query{K: k}, masked(m.scope(), 0.5, m.rng))
		m.check(clustered(m.rng, m.dim), index.Query{K: k}, masked(m.scope(), 0.01, m.rng))
	}
	m.recall()
}
