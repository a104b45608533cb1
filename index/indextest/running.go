package indextest

import (
	"context"
	stderrors "errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/arrwdb/arrwdb/index"
)

func errors(t *testing.T, s suite, metric index.Metric) {
	m := newModel(t, s, metric, 8, 3000, 9)
	m.fill(3000, gaussian)
	q, scope := gaussian(m.rng, m.dim), m.scope()
	search := func(ctx context.Context, q []float32, k int, rows index.Rows) error {
		hits, err := m.x.Search(ctx, q, index.Query{K: k}, scope, rows)
		if err != nil && hits != nil {
			t.Errorf("hits beside error %v", err)
		}
		return err
	}
	broken := stderrors.New("broken disk")
	for _, k := range []int{1, 100, 3000, 100_000} {
		err := search(context.Background(), q, k, func([]uint32, []float32) error { return broken })
		if !stderrors.Is(err, broken) {
			t.Errorf("k %d: rows failed, search returned %v", k, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := search(ctx, q, k, m.reader(scope)); !stderrors.Is(err, context.Canceled) {
			t.Errorf("k %d: cancelled, search returned %v", k, err)
		}
	}
	if err := search(context.Background(), q[:7], 1, m.reader(scope)); err == nil {
		t.Error("no error for a query of the wrong dimension")
	}
	m.check(q, index.Query{K: 10, Exact: true}, scope)
}

// concurrent searches while the applier appends, copies and kills.
func concurrent(t *testing.T, s suite, metric index.Metric) {
	const slots = 6000
	m := newModel(t, s, metric, 16, slots, 10)
	m.fill(10, clustered)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(i)))
			for round := 0; ; round++ {
				scope := m.scope()
				if round%2 == 1 {
					scope = masked(scope, rng.Float64(), rng)
				}
				m.check(clustered(rng, m.dim), index.Query{K: 1 + rng.IntN(30)}, scope)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for m.high.Load() < slots {
		old := uint32(m.rng.IntN(int(m.high.Load())))
		switch m.rng.IntN(6) {
		case 0:
			m.copy(old)
		case 1:
			m.kill(old)
		case 2:
			m.append(nil)
		default:
			m.append(clustered(m.rng, m.dim))
		}
	}
	close(done)
	wg.Wait()
	m.recall()
}

// extents saves and loads at moments of a story, goes on from there, and compares. It
// also loads bytes that are damaged, or another's.
func extents(t *testing.T, s suite, metric index.Metric) {
	const dim, slots = 3, 70_000
	m := newModel(t, s, metric, dim, slots, 12)
	first, ok := m.x.(index.Extents)
	if !ok {
		t.Skip("has no extents")
	}
	var saved [][]byte
	for m.high.Load() < slots {
		switch old := uint32(m.rng.IntN(int(m.high.Load()) + 1)); {
		case m.rng.IntN(30_000) == 0:
			for range min(m.rng.IntN(20_000), slots-int(m.high.Load())) {
				m.append(nil)
			}
		case m.rng.IntN(8) == 0:
			m.append(nil)
		case m.rng.IntN(3) == 0 && old < m.high.Load():
			m.copy(old)
			m.kill(old)
		default:
			m.append(clustered(m.rng, dim))
		}
		if first.FullExtents() > len(saved) && m.rng.IntN(3000) == 0 {
			saved = append(saved, first.AppendExtent([]byte("before"), len(saved))[len("before"):])
			m.reload(s, saved)
		}
	}
	for i := range first.FullExtents() {
		again := first.AppendExtent(nil, i)
		if i < len(saved) && string(again) != string(saved[i]) {
			t.Errorf("extent %d has changed", i)
		}
		saved = append(saved[:i], again)
		m.reload(s, saved)
	}
	if len(saved) == 0 {
		t.Fatalf("%d slots fill no extent", slots)
	}
	m.damaged(s, saved[0])
	m.recall()
}

// reload makes a new index from saved extents and what came after, and asks it.
func (m *model) reload(s suite, saved [][]byte) {
	m.t.Helper()
	fresh := s.make(m.metric, m.dim, 13)
	for i, b := range saved {
		if err := fresh.(index.Extents).LoadExtent(i, b); err != nil {
			m.t.Fatalf("load extent %d: %v", i, err)
		}
	}
	for slot := fresh.Len(); slot < m.high.Load(); slot++ {
		if v := m.vectors[slot]; v != nil {
			fresh.Append(slot, v)
		}
	}
	was := m.x
	m.x = fresh
	for range 3 {
		m.check(m.query(clustered), index.Query{K: 1 + m.rng.IntN(50)}, m.scope())
	}
	m.x = was
}

func (m *model) damaged(s suite, b []byte) {
	m.t.Helper()
	load := func(what string, x index.Vectors, i int, b []byte) {
		m.t.Helper()
		if err := x.(index.Extents).LoadExtent(i, b); err == nil {
			m.t.Errorf("%s was loaded", what)
		} else if x.Len() != 0 {
			m.t.Errorf("%s left %d slots", what, x.Len())
		}
	}
	for range 300 {
		bad := append([]byte(nil), b...)
		bad[m.rng.IntN(len(bad))] ^= 1 << m.rng.IntN(8)
		load("a damaged extent", s.make(m.metric, m.dim, 1), 0, bad)
	}
	for i := range 40 {
		bad := append([]byte(nil), b...)
		bad[i] ^= 1 << m.rng.IntN(8)
		load("a damaged header", s.make(m.metric, m.dim, 1), 0, bad)
	}
	load("a part of an extent", s.make(m.metric, m.dim, 1), 0, b[:m.rng.IntN(len(b))])
	load("an extent and more", s.make(m.metric, m.dim, 1), 0, append(b[:len(b):len(b)], 0))
	load("nothing", s.make(m.metric, m.dim, 1), 0, nil)
	load("an extent out of order", s.make(m.metric, m.dim, 1), 1, b)
	load("another dimension's extent", s.make(m.metric, m.dim+1, 1), 0, b)
	load("another metric's extent", s.make((m.metric+1)%3, m.dim, 1), 0, b)
}
