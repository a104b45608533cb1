package keyword

import (
	"context"
	"encoding/json"
	"math"
	"sort"
	"strings"
	"sync"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
)

type Stats struct{ Docs, Terms uint64 }
type Part interface {
	Len() int
	Kill(uint32)
	docs() [][2][]string
}
type base struct {
	mu   sync.Mutex
	D    [][2][]string
	dead map[uint32]bool
}

func (b *base) Len() int { return len(b.D) }
func (b *base) docs() [][2][]string { return b.D }
func (b *base) Kill(i uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.dead = map[uint32]bool{}
	}
	b.dead[i] = true
}

type Tail struct {
	base
	a *analysis.Tokenizer
}
type Segment struct{ base }

func toks(t *analysis.Tokenizer, s string) (out []string) {
	t.Reset(s)
	for k, ok := t.Next(); ok; k, ok = t.Next() {
		out = append(out, string(k.Term))
	}
	return
}
func NewTail(a *analysis.Analyzer) *Tail { return &Tail{a: a.NewTokenizer()} }
func (t *Tail) Add(title, text string) { t.D = append(t.D, [2][]string{toks(t.a, title), toks(t.a, text)}) }
func (t *Tail) AddCopy(title string, from Part, i uint32) {
	t.D = append(t.D, [2][]string{toks(t.a, title), from.docs()[i][1]})
}
func (t *Tail) Build() []byte { b, _ := json.Marshal(t.D); return b }
func Open(b []byte) (*Segment, error) { s := &Segment{}; return s, json.Unmarshal(b, &s.D) }
func Merge(segs []*Segment, purged func(int, uint32) bool) ([]byte, error) {
	var t Tail
	for i, s := range segs {
		for j, d := range s.D {
			if purged(i, uint32(j)) {
				d = [2][]string{}
			}
			t.D = append(t.D, d)
		}
	}
	return t.Build(), nil
}

type Query struct{ terms []string }

func Parse(a *analysis.Analyzer, q string) *Query { return &Query{toks(a.NewTokenizer(), q)} }

type At struct {
	Part  Part
	First uint32
}
type Run struct {
	q  *Query
	D  map[uint32]map[string]int
	dl map[uint32]int
}

func (q *Query) Capture(parts []At) *Run {
	r := &Run{q: q, D: map[uint32]map[string]int{}, dl: map[uint32]int{}}
	for _, p := range parts {
		var dead map[uint32]bool
		switch b := p.Part.(type) {
		case *Tail:
			dead = b.dead
		case *Segment:
			dead = b.dead
		}
		for i, d := range p.Part.docs() {
			if dead[uint32(i)] || len(d[0])+len(d[1]) == 0 {
				continue
			}
			m := map[string]int{}
			for _, t := range d[0] {
				m[t] += 2
			}
			for _, t := range d[1] {
				m[t]++
			}
			r.D[p.First+uint32(i)] = m
			r.dl[p.First+uint32(i)] = 2*len(d[0]) + len(d[1])
		}
	}
	return r
}
func (r *Run) Search(ctx context.Context, k int, sc *index.Scope) ([]index.Hit, error) {
	avg, n := 0.0, float64(len(r.D))
	for _, l := range r.dl {
		avg += float64(l)
	}
	avg /= n
	var hits []index.Hit
	for s, m := range r.D {
		score := 0.0
		for _, t := range r.q.terms {
			tf := float64(m[t])
			if tf == 0 {
				continue
			}
			df := 0.0
			for _, o := range r.D {
				if o[t] > 0 {
					df++
				}
			}
			score += math.Log(1+(n-df+.5)/(df+.5)) * tf * 2.2 / (tf + 1.2*(.25+.75*float64(r.dl[s])/avg))
		}
		if score > 0 && sc.Allows(s) {
			hits = append(hits, index.Hit{Slot: s, Score: score})
		}
	}
	sort.Slice(hits, func(i, j int) bool {
		if hits[i].Score != hits[j].Score {
			return hits[i].Score > hits[j].Score
		}
		return sc.Before(hits[i].Slot, hits[j].Slot)
	})
	return hits[:min(k, len(hits))], nil
}

type Fragment struct{ Start, End int }

func (f Fragment) Mark(text, a, b string) string { return strings.TrimSpace(text[f.Start:f.End]) }
func Highlight(a *analysis.Analyzer, q *Query, text string, n int) []Fragment {
	return []Fragment{{0, len(text)}}
}
