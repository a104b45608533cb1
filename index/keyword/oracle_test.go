package keyword_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// The oracle keeps every slot's words and scores each of them in the plainest way.

type word struct {
	term string
	at   int
}

type oracleSlot struct {
	title, text  []word
	dead, purged bool
}

func (s *oracleSlot) length() int { return keyword.TitleWeight*len(s.title) + len(s.text) }

func (s *oracleSlot) tf(term string) (n int) {
	for _, w := range s.title {
		if w.term == term {
			n += keyword.TitleWeight
		}
	}
	for _, w := range s.text {
		if w.term == term {
			n++
		}
	}
	return n
}

func hasPhrase(words, phrase []word) bool {
	at := map[int]string{}
	for _, w := range words {
		at[w.at] = w.term
	}
	for from := range at {
		ok := true
		for _, w := range phrase {
			ok = ok && at[from+w.at-phrase[0].at] == w.term
		}
		if ok {
			return true
		}
	}
	return false
}

func analyze(a *analysis.Analyzer, text string) (words []word) {
	t := a.NewTokenizer()
	t.Reset(text)
	for {
		k, ok := t.Next()
		if !ok {
			return words
		}
		words = append(words, word{k.Term, k.Position})
	}
}

type oracle struct {
	a     *analysis.Analyzer
	slots []oracleSlot
}

// search returns all hits of a scope, best first.
func (o *oracle) search(query string, sc *index.Scope) []index.Hit {
	count := map[string]int{}
	var phrases [][]word
	for i, part := range strings.Split(query, `"`) {
		words := analyze(o.a, part)
		for _, w := range words {
			count[w.term]++
		}
		if i%2 == 1 && len(words) > 0 {
			phrases = append(phrases, words)
		}
	}
	n, total := 0, 0
	df := map[string]int{}
	for i := range o.slots {
		s := &o.slots[i]
		if s.dead || s.purged || s.length() == 0 {
			continue
		}
		n++
		total += s.length()
		for t := range count {
			if s.tf(t) > 0 {
				df[t]++
			}
		}
	}
	var hits []index.Hit
	for i := range o.slots {
		s := &o.slots[i]
		if !sc.Allows(uint32(i)) {
			continue
		}
		score, any := 0.0, false
		for _, t := range slices.Sorted(func(yield func(string) bool) {
			for t := range count {
				if !yield(t) {
					return
				}
			}
		}) {
			tf := float64(s.tf(t))
			if tf == 0 {
				continue
			}
			any = true
			idf := math.Log(1 + (float64(n)-float64(df[t])+0.5)/(float64(df[t])+0.5))
			// The same order of operations as in the package: other roundings would tie
			// other slots. TestFormula has the formula as it is written.
			weight := float64(count[t]) * idf * 2.2
			slope := 1.2 * 0.75 / (float64(total) / float64(n))
			score += float64(weight*tf) / (tf + (1.2*(1-0.75) + float64(slope*float64(s.length()))))
		}
		for _, p := range phrases {
			any = any && (hasPhrase(s.title, p) || hasPhrase(s.text, p))
		}
		if any {
			hits = append(hits, index.Hit{Slot: uint32(i), Score: score})
		}
	}
	slices.SortFunc(hits, func(a, b index.Hit) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		if sc.Before(a.Slot, b.Slot) {
			return -1
		}
		return 1
	})
	return hits
}

// A world is a library under a random history, and its oracle.
type world struct {
	t     testing.TB
	r     *rand.Rand
	o     oracle
	parts []keyword.At
	words []string
	rank  []uint32 // random total order of slots
}

func newWorld(t testing.TB, seed uint64, vocabulary int) *world {
	t.Helper()
	t.Logf("seed %d", seed)
	a, err := analysis.New("en")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), o: oracle{a: a}}
	for i := range vocabulary {
		w.words = append(w.words, fmt.Sprintf("w%dx", i))
	}
	w.words = append(w.words, "the", "of", "and", "Ünïcödé", "日本")
	w.parts = []keyword.At{{Part: keyword.NewTail(a)}}
	return w
}

func (w *world) text(most int) string {
	var b strings.Builder
	for range w.r.IntN(most + 1) {
		f := w.r.Float64()
		b.WriteString(w.words[int(f*f*f*float64(len(w.words)))])
		if w.r.IntN(6) == 0 {
			b.WriteString(" the")
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func (w *world) tail() *keyword.Tail { return w.parts[len(w.parts)-1].Part.(*keyword.Tail) }

func (w *world) added(s oracleSlot) {
	w.o.slots = append(w.o.slots, s)
	w.rank = append(w.rank, w.r.Uint32()&^1023|uint32(len(w.rank)&1023))
}

func (w *world) add(most int) {
	title, text := "", w.text(most)
	if w.r.IntN(2) == 0 {
		title = w.text(4)
	}
	w.tail().Add(title, text)
	w.added(oracleSlot{title: analyze(w.o.a, title), text: analyze(w.o.a, text)})
}

func (w *world) locate(slot int) (keyword.At, uint32) {
	for _, p := range slices.Backward(w.parts) {
		if uint32(slot) >= p.First {
			return p, uint32(slot) - p.First
		}
	}
	panic("no part")
}

// copy makes a new slot of an old one, or of one that is not there.
func (w *world) copy() {
	if len(w.o.slots) == 0 {
		return
	}
	from := w.r.IntN(len(w.o.slots))
	title := w.text(4)
	at, local := w.locate(from)
	w.tail().AddCopy(title, at.Part, local)
	w.added(oracleSlot{title: analyze(w.o.a, title), text: w.o.slots[from].text})
	if w.r.IntN(2) == 0 {
		w.kill(from)
	}
}

func (w *world) kill(slot int) {
	w.o.slots[slot].dead = true
	at, local := w.locate(slot)
	at.Part.Kill(local)
}

func (w *world) seal() {
	last := w.parts[len(w.parts)-1]
	w.parts = append(w.parts, keyword.At{Part: w.tail().Next(), First: last.First + uint32(last.Part.Len())})
}

func (w *world) open(b []byte, first uint32) *keyword.Segment {
	s, err := keyword.Open(b)
	if err == nil {
		err = s.Verify(context.Background())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for local := range s.Len() {
		if w.o.slots[int(first)+local].dead {
			s.Kill(uint32(local))
			s.Kill(uint32(local))
		}
	}
	return s
}

// build turns a frozen tail into a segment.
func (w *world) build() {
	for i, p := range w.parts[:len(w.parts)-1] {
		if t, ok := p.Part.(*keyword.Tail); ok {
			w.parts[i].Part = w.open(t.Build(), p.First)
			return
		}
	}
}

// merge makes one segment of some, without some of the dead.
func (w *world) merge() {
	segs := []*keyword.Segment{}
	for _, p := range w.parts {
		if s, ok := p.Part.(*keyword.Segment); ok {
			segs = append(segs, s)
		}
	}
	if len(segs) < 2 {
		return
	}
	from := w.r.IntN(len(segs) - 1)
	to := from + 2 + w.r.IntN(len(segs)-from-1)
	b, err := keyword.Merge(segs[from:to], func(seg int, local uint32) bool {
		s := &w.o.slots[w.parts[from+seg].First+local]
		if s.dead && w.r.IntN(2) == 0 {
			*s = oracleSlot{dead: true, purged: true}
		}
		return s.purged
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.parts[from].Part = w.open(b, w.parts[from].First)
	w.parts = slices.Delete(w.parts, from+1, to)
}

func (w *world) step(most int) {
	switch n := w.r.IntN(100); {
	case n < 65:
		w.add(most)
	case n < 72:
		w.copy()
	case n < 92:
		if len(w.o.slots) > 0 {
			w.kill(w.r.IntN(len(w.o.slots)))
		}
	case n < 95:
		w.seal()
	case n < 98:
		w.build()
	default:
		w.merge()
	}
}

// scope returns a random scope of the living: everything, a prefix, or a mask.
func (w *world) scope() *index.Scope {
	high := uint32(len(w.o.slots))
	if w.r.IntN(3) == 0 {
		high = uint32(w.r.IntN(len(w.o.slots) + 1))
	}
	dead := make([]bool, len(w.o.slots))
	for i := range dead {
		dead[i] = w.o.slots[i].dead
	}
	rank := slices.Clone(w.rank)
	sc := &index.Scope{High: high,
		Alive:  func(s uint32) bool { return !dead[s] },
		Before: func(a, b uint32) bool { return rank[a] < rank[b] }}
	if w.r.IntN(2) == 0 {
		sc.Mask = make([]uint64, (high+63)/64)
		share := w.r.Float64()
		for s := range high {
			if !dead[s] && w.r.Float64() < share {
				sc.Mask[s/64] |= 1 << (s % 64)
				sc.Count++
			}
		}
	}
	return sc
}

func (w *world) query() string {
	q := w.text(5)
	switch w.r.IntN(4) {
	case 0:
		q += `"` + w.text(3) + `" ` + w.text(2)
	case 1:
		// What some slot has, perhaps across stop words.
		if s := &w.o.slots[w.r.IntN(len(w.o.slots))]; len(s.text) > 0 {
			from := w.r.IntN(len(s.text))
			q += `"`
			at := s.text[from].at
			for _, x := range s.text[from:min(len(s.text), from+1+w.r.IntN(3))] {
				q += strings.Repeat("the ", x.at-at) + x.term + " "
				at = x.at + 1
			}
		}
	}
	return q
}

func (w *world) capture(query string) *keyword.Run {
	return keyword.Parse(w.o.a, query).Capture(w.parts)
}

func search(t testing.TB, run *keyword.Run, k int, sc *index.Scope) []index.Hit {
	t.Helper()
	hits, err := run.Search(context.Background(), k, sc)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func same(t testing.TB, what string, got, want []index.Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d hits instead of %d\n got %v\nwant %v", what, len(got), len(want), got, want)
	}
	for i := range got {
		if got[i].Slot != want[i].Slot || math.Abs(got[i].Score-want[i].Score) > 1e-9 {
			t.Fatalf("%s: hit %d is %v instead of %v\n got %v\nwant %v", what, i, got[i], want[i], got[max(0, i-3):min(len(got), i+4)], want[max(0, i-3):min(len(want), i+4)])
		}
	}
}
