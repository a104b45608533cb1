package keyword_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// Random histories find what the oracle finds, in the same order.
func TestAgainstOracle(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := newWorld(t, seed, []int{5, 40, 400}[seed%3])
			most := []int{3, 30}[seed%2]
			for step := range 1500 {
				w.step(most)
				if step%50 == 49 && len(w.o.slots) > 0 {
					w.compare()
				}
			}
		})
	}
}

func (w *world) compare() {
	w.t.Helper()
	docs, total := uint64(0), uint64(0)
	for i := range w.o.slots {
		if s := &w.o.slots[i]; !s.dead && s.length() > 0 {
			docs++
			total += uint64(s.length())
		}
	}
	for range 4 {
		query, sc := w.query(), w.scope()
		run := w.capture(query)
		if got, want := run.Stats(), (keyword.Stats{Docs: docs, Terms: total}); got != want && len(run.Terms()) > 0 {
			w.t.Fatalf("stats are %v instead of %v", got, want)
		}
		want := w.o.search(query, sc)
		for _, k := range []int{1, 2, 3, 10, len(want), len(want) + 1, 1_000_000} {
			what := fmt.Sprintf("%q, k=%d, high=%d, mask=%v", query, k, sc.High, sc.Mask != nil)
			same(w.t, what, search(w.t, run, k, sc), want[:min(k, len(want))])
		}
	}
}

// Long lists, whose blocks are skipped.
func TestManySlots(t *testing.T) {
	const seed = 7
	w := newWorld(t, seed, 300)
	for i := range 12_000 {
		if i%1500 == 1499 {
			w.seal()
			w.build()
		}
		if i%5000 == 4999 {
			w.merge()
		}
		if i%7 == 6 {
			w.kill(w.r.IntN(len(w.o.slots)))
		}
		w.add(20)
	}
	for i := range 60 {
		query, sc := w.query(), w.scope()
		if i%6 == 0 {
			query = w.text(80)
		}
		run, want := w.capture(query), w.o.search(query, sc)
		for _, k := range []int{1, 10, 100, 3000} {
			same(t, fmt.Sprintf("%q, k=%d", query, k), search(t, run, k, sc), want[:min(k, len(want))])
		}
	}
}

// Few slots are far better than those around them, so that a bound that misses a block
// misses a hit.
func TestUnevenBlocks(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed, 50)
		for range 3000 {
			text := ""
			for i, term := range []string{"aa ", "bb ", "cc ", "dd "} {
				if w.r.IntN(4) >= i {
					text += term
				}
				if w.r.IntN(300) == 0 {
					text += strings.Repeat(term, w.r.IntN(20))
				}
			}
			if w.r.IntN(200) > 0 {
				text += strings.Repeat("filler ", 10+w.r.IntN(30))
			}
			w.tail().Add("", text)
			w.added(oracleSlot{text: analyze(w.o.a, text)})
		}
		w.seal()
		w.build()
		for _, query := range []string{"aa", "aa bb", "bb cc dd", "aa bb cc dd", "aa dd dd", "cc dd filler"} {
			for range 3 {
				sc := w.scope()
				run, want := w.capture(query), w.o.search(query, sc)
				for _, k := range []int{1, 3, 10, 40} {
					same(t, fmt.Sprintf("%q, k=%d", query, k), search(t, run, k, sc), want[:min(k, len(want))])
				}
			}
		}
	}
}

// The formula as it is written.
func TestFormula(t *testing.T) {
	a, _ := analysis.New("simple")
	tail := keyword.NewTail(a)
	tail.Add("red fox", "red red dog")
	tail.Add("", "dog cat")
	tail.Add("", "")
	run := keyword.Parse(a, "red red cat").Capture([]keyword.At{{Part: tail, First: 5}})
	sc := &index.Scope{High: 8, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	got := search(t, run, 10, sc)
	const n, average = 2.0, (2*2 + 3 + 2) / 2.0
	bm25 := func(qtf, df, tf, length float64) float64 {
		idf := math.Log(1 + (n-df+0.5)/(df+0.5))
		return qtf * idf * tf * (1.2 + 1) / (tf + 1.2*(1-0.75+0.75*length/average))
	}
	same(t, "formula", got, []index.Hit{{Slot: 5, Score: bm25(2, 1, 4, 7)}, {Slot: 6, Score: bm25(1, 1, 1, 2)}})
	if terms := run.Terms(); len(terms) != 2 || terms[1].Term != "red" || terms[1].Count != 2 || terms[1].DF != 1 {
		t.Errorf("terms %+v", terms)
	}
}

func TestPhrases(t *testing.T) {
	a, _ := analysis.New("en")
	tail := keyword.NewTail(a)
	for _, s := range []struct{ title, text string }{
		0: {"", "the king of France is bald"},
		1: {"", "a king and queen; France"},
		2: {"King", "of France"}, // never across the two
		3: {"king of France", "nothing"},
		4: {"", "France king"},
		5: {"", "king king of the France"},
		6: {"", "bald king of France, king of Spain"},
	} {
		tail.Add(s.title, s.text)
	}
	segment, err := keyword.Open(tail.Build())
	if err != nil {
		t.Fatal(err)
	}
	sc := &index.Scope{High: 7, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	for _, c := range []struct {
		query string
		want  []uint32
	}{
		{`"king of France"`, []uint32{0, 3, 6}},
		{`"king the France`, []uint32{0, 3, 6}}, // any stop word is as good; no closing quote
		{`“king of france”`, []uint32{0, 3, 6}},
		{`"king of the France"`, []uint32{1, 5}}, // any two words between
		{`"king France"`, nil},
		{`"king of France" "king of Spain"`, []uint32{6}},
		{`"king of France" bald nowhere`, []uint32{0, 3, 6}},
		{`"king nowhere" bald`, nil},
		{`"of the" bald`, []uint32{0, 6}}, // asks for nothing
		{`"spain"`, []uint32{6}},
		{`""`, nil},
		{`of the`, nil},
	} {
		for _, part := range []keyword.Part{tail, segment} {
			q := keyword.Parse(a, c.query)
			var got []uint32
			for _, h := range search(t, q.Capture([]keyword.At{{Part: part}}), 10, sc) {
				got = append(got, h.Slot)
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%T %s: %v instead of %v", part, c.query, got, c.want)
			}
		}
	}
}

// What was captured stays while slots come and die; searches run beside that.
func TestCaptured(t *testing.T) {
	const seed = 3
	w := newWorld(t, seed, 60)
	var group sync.WaitGroup
	for range 40 {
		for range 50 {
			w.step(20)
		}
		if len(w.o.slots) == 0 {
			continue
		}
		query, sc := w.query(), w.scope()
		run, want := w.capture(query), w.o.search(query, sc)
		var segs []*keyword.Segment
		for _, p := range w.parts {
			if s, ok := p.Part.(*keyword.Segment); ok {
				segs = append(segs, s)
			}
		}
		var frozen *keyword.Tail
		if n := len(w.parts); n > 1 {
			frozen, _ = w.parts[n-2].Part.(*keyword.Tail)
		}
		group.Go(func() {
			for _, k := range []int{1, 5, 1000, 1, 5, 1000} {
				got, err := run.Search(context.Background(), k, sc)
				if err != nil {
					t.Error(err)
				}
				if want := want[:min(k, len(want))]; !slices.Equal(got, want) {
					t.Errorf("%q, k=%d:\n got %v\nwant %v", query, k, got, want)
				}
			}
			if frozen != nil {
				if _, err := keyword.Open(frozen.Build()); err != nil {
					t.Error(err)
				}
			}
			if _, err := keyword.Merge(segs, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestLongSlots(t *testing.T) {
	a, _ := analysis.New("simple")
	tail := keyword.NewTail(a)
	tail.Add("", strings.Repeat("same ", 100_000))
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, "t%d ", i)
	}
	tail.Add(b.String(), b.String())
	for range 500 {
		tail.Add("", "same t7")
	}
	segment, err := keyword.Open(tail.Build())
	if err != nil {
		t.Fatal(err)
	}
	sc := &index.Scope{High: 502, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a > b }}
	for _, query := range []string{"same", "t99999", "same t7", `"t500 t501"`, `"same same" t7`} {
		q := keyword.Parse(a, query)
		for _, k := range []int{1, 3, 1000} {
			same(t, query, search(t, q.Capture([]keyword.At{{Part: segment}}), k, sc), search(t, q.Capture([]keyword.At{{Part: tail}}), k, sc))
		}
	}
	if hits := search(t, keyword.Parse(a, `"same same same"`).Capture([]keyword.At{{Part: segment}}), 10, sc); len(hits) != 1 || hits[0].Slot != 0 {
		t.Errorf("%v", hits)
	}
}

func TestEmpty(t *testing.T) {
	a, _ := analysis.New("en")
	tail := keyword.NewTail(a)
	sc := &index.Scope{High: 10, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	for range 3 {
		segment, err := keyword.Open(tail.Build())
		if err != nil {
			t.Fatal(err)
		}
		if segment.Len() != tail.Len() || segment.Stats() != (keyword.Stats{}) {
			t.Fatalf("%d slots, %v", segment.Len(), segment.Stats())
		}
		segment.Kill(0)
		tail.Kill(0)
		tail.Kill(99)
		merged, err := keyword.Merge([]*keyword.Segment{segment, segment}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keyword.Open(merged); err != nil {
			t.Fatal(err)
		}
		run := keyword.Parse(a, "word").Capture([]keyword.At{{Part: segment}, {Part: tail, First: 5}})
		if hits := search(t, run, 3, sc); len(hits) > 0 {
			t.Fatal(hits)
		}
		tail.Add("the", "of …")
	}
	if b, err := keyword.Merge(nil, nil); err != nil {
		t.Fatal(err)
	} else if s, err := keyword.Open(b); err != nil || s.Len() != 0 {
		t.Fatal(s, err)
	}
	if !keyword.Parse(a, ` "the of" `).Empty() || keyword.Parse(a, "fox").Empty() {
		t.Error("Empty")
	}
}

func TestContext(t *testing.T) {
	a, _ := analysis.New("simple")
	tail := keyword.NewTail(a)
	var query strings.Builder
	for i := range 200 {
		tail.Add("", fmt.Sprintf("t%d", i))
		fmt.Fprintf(&query, "t%d ", i)
	}
	sc := &index.Scope{High: 200, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	run := keyword.Parse(a, query.String()).Capture([]keyword.At{{Part: tail}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := run.Search(ctx, 5, sc); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if hits := search(t, run, 500, sc); len(hits) != 200 {
		t.Errorf("%d hits", len(hits))
	}
}
