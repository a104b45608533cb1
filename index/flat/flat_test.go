package flat_test

import (
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/flat"
	"github.com/arrwdb/arrwdb/index/indextest"
)

func TestConformance(t *testing.T) {
	rows := 100_000
	if testing.Short() {
		rows = 60_000 // just enough for a second worker
	}
	indextest.Run(t, func(m index.Metric, dim int, _ uint64) index.Vectors {
		x, err := flat.New(m, dim, flat.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}, indextest.Options{Exact: true, Large: rows})
}

// TestOneWorker is the suite with searches that may not take a second worker, so that the
// order of what happens is always the same.
func TestOneWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("the same suite again")
	}
	indextest.Run(t, func(m index.Metric, dim int, _ uint64) index.Vectors {
		x, err := flat.New(m, dim, flat.Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}, indextest.Options{Exact: true})
}

func TestNew(t *testing.T) {
	for _, test := range []struct {
		m    index.Metric
		dim  int
		opts flat.Options
		ok   bool
	}{
		{index.Cosine, 1, flat.Options{}, true},
		{index.Dot, flat.MaxDim, flat.Options{Workers: 3}, true},
		{index.Dot, flat.MaxDim + 1, flat.Options{}, false},
		{index.L2, 0, flat.Options{}, false},
		{index.Metric(3), 1, flat.Options{}, false},
		{index.L2, 1, flat.Options{Workers: -1}, false},
	} {
		if _, err := flat.New(test.m, test.dim, test.opts); (err == nil) != test.ok {
			t.Errorf("New(%v, %d, %+v): %v", test.m, test.dim, test.opts, err)
		}
	}
}

// TestHighDim has the longest sums that there are, of the largest codes.
func TestHighDim(t *testing.T) {
	for _, m := range []index.Metric{index.Cosine, index.L2, index.Dot} {
		x, _ := flat.New(m, flat.MaxDim, flat.Options{})
		vectors := make([][]float32, 40)
		rng := rand.New(rand.NewPCG(31, 32))
		for slot := range vectors {
			v := make([]float32, flat.MaxDim)
			for i := range v {
				v[i] = 1 + float32(slot)*rng.Float32()/100
			}
			vectors[slot] = v
			x.Append(uint32(slot), v)
		}
		hits := search(t, x, vectors, vectors[7], 5)
		if hits[0].Score > hits[1].Score || m != index.Dot && (hits[0].Slot != 7 || hits[0].Score != 0) {
			t.Errorf("%v: %v", m, hits)
		}
	}
}

func search(t *testing.T, x *flat.Index, vectors [][]float32, q []float32, k int) []index.Hit {
	t.Helper()
	sc := &index.Scope{High: uint32(len(vectors)), Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	hits, err := x.Search(t.Context(), q, index.Query{K: k}, sc, func(slots []uint32, dst []float32) error {
		for i, slot := range slots {
			copy(dst[i*len(q):], vectors[slot])
		}
		return nil
	})
	if err != nil || len(hits) != k {
		t.Fatalf("%d hits, %v", len(hits), err)
	}
	return hits
}

func TestFormat(t *testing.T) {
	x, _ := flat.New(index.L2, 2, flat.Options{})
	for slot := range uint32(flat.ExtentSlots) {
		x.Append(slot, []float32{float32(slot), 1})
	}
	b := x.AppendExtent(nil, 0)
	if got := crc32.ChecksumIEEE(b); got != wantExtent {
		t.Errorf("the bytes of an extent have changed: %08x, was %08x; that needs a new version", got, uint32(wantExtent))
	}
	b[8]++ // the version
	fresh, _ := flat.New(index.L2, 2, flat.Options{})
	var bad *flat.FormatError
	if err := fresh.LoadExtent(0, b); !errors.As(err, &bad) || !bad.Newer {
		t.Errorf("a newer version: %v", err)
	}
}

const wantExtent = 0x3b882403

// TestMemory loads and drops many slabs, which are outside the heap.
func TestMemory(t *testing.T) {
	v := make([]float32, 64)
	v[3] = 1
	for range 30 {
		x, _ := flat.New(index.Dot, 64, flat.Options{})
		x.Append(0, v)
		small := x.MemoryBytes()
		for slot := uint32(1); slot < 2*flat.ExtentSlots; slot++ {
			x.AppendCopy(slot, slot-1)
		}
		if got, want := x.MemoryBytes(), int64(2*flat.ExtentSlots*(64+12)); got != want || small > 2000 {
			t.Fatalf("MemoryBytes is %d, must be %d; with one row it was %d", got, want, small)
		}
		runtime.GC()
	}
}

// TestStops has searches fail and be cancelled in their middle.
func TestStops(t *testing.T) {
	const n, dim = 100_000, 32
	x, _ := flat.New(index.L2, dim, flat.Options{})
	v := make([]float32, dim)
	for slot := range uint32(n) {
		v[slot%dim] += 0.01
		x.Append(slot, v)
	}
	broken := errors.New("broken disk")
	for _, k := range []int{1, 1000, n} {
		ctx, cancel := context.WithCancel(t.Context())
		sc := &index.Scope{High: n, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
		calls := 0
		rows := func([]uint32, []float32) error {
			if calls++; calls == 2 || k == 1 {
				return broken
			}
			return nil
		}
		if hits, err := x.Search(ctx, v, index.Query{K: k}, sc, rows); err != broken || hits != nil {
			t.Errorf("k %d: rows failed, search returned %d hits and %v", k, len(hits), err)
		}
		sc.Alive = func(slot uint32) bool { cancel(); return true }
		if hits, err := x.Search(ctx, v, index.Query{K: k}, sc, func([]uint32, []float32) error { return nil }); !errors.Is(err, context.Canceled) || hits != nil {
			t.Errorf("k %d: cancelled, search returned %d hits and %v", k, len(hits), err)
		}
	}
}
