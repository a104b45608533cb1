package indextest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/arrwdb/arrwdb/index"
)

// A model is an index beside all that was put into it.
type model struct {
	t      testing.TB
	rng    *rand.Rand
	metric index.Metric
	dim    int
	x      index.Vectors
	opts   Options

	// Slots below high are written; those that have no vector are nil. The slices do
	// not grow, so that searches may look at them while the applier appends.
	vectors [][]float32
	died    []atomic.Uint64 // the version at which a slot died, or 0
	high    atomic.Uint32
	version atomic.Uint64 // the version that is current; each death makes a new one
	tied    atomic.Bool   // order slots at random, not by number

	found, wanted atomic.Int64 // for recall
}

func newModel(t testing.TB, s suite, metric index.Metric, dim, slots int, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, uint64(dim))), metric: metric, dim: dim, opts: s.opts}
	m.x = s.make(metric, dim, seed)
	m.vectors, m.died = make([][]float32, slots), make([]atomic.Uint64, slots)
	m.tied.Store(true)
	return m
}

// append adds a slot with v, or a gap if v is nil. Gaps are not told to the index.
func (m *model) append(v []float32) uint32 {
	slot := m.high.Load()
	m.vectors[slot] = v
	if v != nil {
		m.x.Append(slot, v)
	}
	m.high.Store(slot + 1)
	return slot
}

// copy adds a slot with the vector of another.
func (m *model) copy(from uint32) {
	slot := m.high.Load()
	m.vectors[slot] = m.vectors[from]
	m.x.AppendCopy(slot, from)
	m.high.Store(slot + 1)
}

func (m *model) kill(slot uint32) {
	if m.died[slot].Load() == 0 {
		m.died[slot].Store(m.version.Load() + 1)
		m.version.Add(1)
		m.x.Kill(slot)
	}
}

// scope is what a search sees that begins now.
func (m *model) scope() *index.Scope {
	version := m.version.Load()
	s := &index.Scope{High: m.high.Load()}
	s.Alive = func(slot uint32) bool {
		if slot >= s.High {
			m.t.Errorf("Alive was asked about slot %d of %d", slot, s.High)
			return false
		}
		died := m.died[slot].Load()
		return died == 0 || died > version
	}
	s.Before = func(a, b uint32) bool {
		if m.tied.Load() {
			if x, y := scramble(a), scramble(b); x != y {
				return x < y
			}
		}
		return a < b
	}
	return s
}

// scramble gives slots an order that has nothing to do with their numbers.
func scramble(slot uint32) uint32 { return slot * 2654435761 }

// masked adds a mask to a scope that lets a part of the living pass.
func masked(s *index.Scope, part float64, rng *rand.Rand) *index.Scope {
	out := *s
	out.Mask = make([]uint64, (s.High+63)/64)
	for slot := range s.High {
		if rng.Float64() < part && s.Alive(slot) {
			out.Mask[slot/64] |= 1 << (slot % 64)
			out.Count++
		}
	}
	out.Alive = func(uint32) bool { panic("Alive was asked despite a mask") }
	return &out
}

// reader returns a function that reads rows, and checks what is asked of it.
func (m *model) reader(s *index.Scope) index.Rows {
	var busy atomic.Bool
	return func(slots []uint32, dst []float32) error {
		if !busy.CompareAndSwap(false, true) {
			m.t.Error("rows was called twice at once")
		}
		defer busy.Store(false)
		if len(dst) != len(slots)*m.dim {
			m.t.Errorf("rows was called with %d slots and %d values", len(slots), len(dst))
		}
		for i, slot := range slots {
			if slot >= s.High || m.vectors[slot] == nil {
				return fmt.Errorf("rows was asked for slot %d of %d, which has no vector", slot, s.High)
			}
			copy(dst[i*m.dim:][:m.dim], m.vectors[slot])
		}
		return nil
	}
}

// want scans all rows.
func (m *model) want(q []float32, query index.Query, s *index.Scope) (out []index.Hit) {
	for slot := range s.High {
		if m.vectors[slot] == nil || !s.Allows(slot) {
			continue
		}
		d := m.metric.Distance(q, m.vectors[slot])
		if math.IsNaN(d) {
			m.t.Fatalf("%v distance of %v and %v is NaN", m.metric, q, m.vectors[slot])
		}
		if query.MaxDistance == nil || d <= *query.MaxDistance {
			out = append(out, index.Hit{Slot: slot, Score: d})
		}
	}
	slices.SortFunc(out, func(a, b index.Hit) int {
		if a == b {
			return 0
		}
		if a.Score < b.Score || a.Score == b.Score && s.Before(a.Slot, b.Slot) {
			return -1
		}
		return 1
	})
	return out[:min(len(out), query.K)]
}

// check searches and compares. It may be called from any goroutine.
func (m *model) check(q []float32, query index.Query, s *index.Scope) {
	m.t.Helper()
	got, err := m.x.Search(context.Background(), q, query, s, m.reader(s))
	if err != nil {
		m.t.Errorf("search: %v", err)
		return
	}
	want := m.want(q, query, s)
	if m.opts.Exact || query.Exact {
		if !slices.Equal(got, want) {
			m.t.Errorf("%v, dimension %d, k %d, of %d slots: %s", m.metric, m.dim, query.K, s.High, difference(got, want))
		}
		return
	}
	m.checkHits(q, query, s, got)
	m.wanted.Add(int64(len(want)))
	for _, h := range got {
		if h.Score <= want[len(want)-1].Score {
			m.found.Add(1)
		}
	}
}

// checkHits checks what hits must be even if some are missing.
func (m *model) checkHits(q []float32, query index.Query, s *index.Scope, got []index.Hit) {
	m.t.Helper()
	if len(got) > query.K {
		m.t.Errorf("%d hits for k %d", len(got), query.K)
	}
	for i, h := range got {
		switch {
		case !s.Allows(h.Slot) || m.vectors[h.Slot] == nil:
			m.t.Errorf("slot %d must not be found", h.Slot)
		case h.Score != m.metric.Distance(q, m.vectors[h.Slot]):
			m.t.Errorf("slot %d has score %v, its distance is %v", h.Slot, h.Score, m.metric.Distance(q, m.vectors[h.Slot]))
		case query.MaxDistance != nil && h.Score > *query.MaxDistance:
			m.t.Errorf("score %v is over %v", h.Score, *query.MaxDistance)
		case i > 0 && (got[i-1].Score > h.Score || got[i-1].Score == h.Score && !s.Before(got[i-1].Slot, h.Slot)):
			m.t.Errorf("hits %v and %v are in the wrong order", got[i-1], h)
		}
	}
}

// recall fails the test if too little was found.
func (m *model) recall() {
	m.t.Helper()
	if found, wanted := m.found.Load(), m.wanted.Load(); float64(found) < m.opts.MinRecall*float64(wanted) {
		m.t.Errorf("%d of %d neighbours found, recall must be %v", found, wanted, m.opts.MinRecall)
	}
}

func difference(got, want []index.Hit) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("hit %d is %v, must be %v (%d hits, must be %d)", i, got[i], want[i], len(got), len(want))
		}
	}
	return fmt.Sprintf("%d hits, must be %d", len(got), len(want))
}

// A source makes vectors of one kind.
type source func(rng *rand.Rand, dim int) []float32

func gaussian(rng *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	if v[0] == 0 {
		v[0] = 1
	}
	return v
}

// grid makes vectors with many equal distances between them, and equal ones.
func grid(rng *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(rng.IntN(3) - 1)
	}
	v[rng.IntN(dim)] = 1 // never zero
	return v
}

// clustered makes vectors near a few centres, some very near.
func clustered(rng *rand.Rand, dim int) []float32 {
	centre := rand.New(rand.NewPCG(rng.Uint64N(5), 77))
	v := gaussian(centre, dim)
	spread := math.Pow(10, -4*rng.Float64())
	for i := range v {
		v[i] += float32(spread * rng.NormFloat64())
	}
	return v
}

// lopsided makes vectors whose components differ by orders of magnitude, so that
// codes hold most of them badly.
func lopsided(rng *rand.Rand, dim int) []float32 {
	v := gaussian(rng, dim)
	v[rng.IntN(dim)] *= 1000
	return v
}

// extreme makes vectors near the limits of float32, and zero ones for metrics that
// have them.
func extreme(m index.Metric) source {
	return func(rng *rand.Rand, dim int) []float32 {
		v := gaussian(rng, dim)
		var scale float64
		switch rng.IntN(8) {
		case 0:
			scale = 1e38 / 5
		case 1:
			scale = 1e-45
		case 2:
			scale = 1e-38
		case 3:
			scale = math.Pow(10, 70*rng.Float64()-38)
		case 4:
			scale = 1e19
		case 5:
			scale = 1e-20
		default:
			scale = 1
		}
		if m != index.Cosine && rng.IntN(20) == 0 {
			return make([]float32, dim)
		}
		zero := true
		for i := range v {
			v[i] = float32(min(max(float64(v[i])*scale, -math.MaxFloat32), math.MaxFloat32))
			zero = zero && v[i] == 0
		}
		if zero {
			v[0] = 1e-45
		}
		return v
	}
}
