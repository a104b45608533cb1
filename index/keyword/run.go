package keyword

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/arrwdb/arrwdb/index"
)

// The constants of BM25.
const (
	K1 = 1.2
	B  = 0.75
)

// inflate makes up for the rounding of bounds, which add in another order than scores.
const inflate = 1 + 1e-9

// An At is a part and the slot of its first one.
type At struct {
	Part  Part
	First uint32
}

// A Run is a query over the parts as they were when it was captured. It may be
// searched more than once, at the same time too.
type Run struct {
	q      *Query
	parts  []*captured
	stats  Stats
	scores []scorer // by the query's terms
	base   float64  // k1 (1 - b)
	slope  float64  // k1 b / average length
}

// A scorer is what a query's term is worth.
type scorer struct {
	df     uint64
	idf    float64
	weight float64 // how often the query has it, idf, k1 + 1
}

// captured is what a query needs of a part.
type captured struct {
	first   uint32
	n       uint32
	stats   Stats
	ids     []uint32 // by the query's terms; missing
	df      []uint64
	segment *Segment
	lists   []list // of a segment, by the query's terms
	tail    *tailView
}

// Capture holds on to what the query finds in the parts now. It needs the lock that
// the parts are changed under, for reading; the Run does not.
func (q *Query) Capture(parts []At) *Run {
	r := &Run{q: q, scores: make([]scorer, len(q.terms)), parts: make([]*captured, 0, len(parts))}
	for _, p := range parts {
		stats := p.Part.Stats()
		r.stats.Docs += stats.Docs
		r.stats.Terms += stats.Terms
		if stats.Docs == 0 || q.Empty() {
			continue // nothing there that a search may return
		}
		c := p.Part.capture(q.terms)
		c.first, c.stats = p.First, stats
		any := false
		for i, df := range c.df {
			r.scores[i].df += df
			any = any || c.ids[i] != missing
		}
		if any {
			r.parts = append(r.parts, c)
		}
	}
	// The largest part first: its hits are most likely to be good, and spare the others.
	slices.SortStableFunc(r.parts, func(a, b *captured) int { return cmp.Compare(b.stats.Docs, a.stats.Docs) })
	n := float64(r.stats.Docs)
	for i := range r.scores {
		s := &r.scores[i]
		df := float64(s.df)
		s.idf = math.Log(1 + (n-df+0.5)/(df+0.5))
		s.weight = float64(q.terms[i].count) * s.idf * (K1 + 1)
	}
	r.base = K1 * (1 - B)
	if r.stats.Docs > 0 {
		r.slope = K1 * B / (float64(r.stats.Terms) / n)
	}
	return r
}

// norm is what tf is weighed against in a slot of some length. The conversion keeps
// compilers from fusing, so that all machines give the same bits.
func (r *Run) norm(length uint32) float64 {
	return r.base + float64(r.slope*float64(length))
}

// score is what a term adds to a slot that has it tf times.
func score(weight float64, tf uint32, norm float64) float64 {
	t := float64(tf)
	return float64(weight*t) / (t + norm)
}

// A Term of a query, as it was when captured.
type Term struct {
	Term     string
	Count    int     // how often the query has it
	Required bool    // it is in a phrase
	DF       uint64  // live slots that have it
	IDF      float64 // ln(1 + (docs - df + 0.5) / (df + 0.5))
}

// Terms returns the query's terms in the order of their bytes.
func (r *Run) Terms() []Term {
	terms := make([]Term, len(r.scores))
	for i, s := range r.scores {
		t := r.q.terms[i]
		terms[i] = Term{Term: t.term, Count: t.count, Required: t.required, DF: s.df, IDF: s.idf}
	}
	return terms
}

// Stats counts the live slots with terms at the time of the capture.
func (r *Run) Stats() Stats { return r.stats }

// Search returns the k best slots of the scope, best first; those with equal scores in
// the order of Before. It fails with the context only.
func (r *Run) Search(ctx context.Context, k int, sc *index.Scope) ([]index.Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k <= 0 || len(r.parts) == 0 {
		return nil, nil
	}
	s := scratches.Get().(*search)
	defer s.release()
	s.ctx, s.run, s.scope = ctx, r, sc
	s.top = top{k: k, scope: sc, least: math.Inf(-1), hits: make([]index.Hit, 0, r.room(k, sc))}
	for _, part := range r.parts {
		if part.first >= sc.High || !part.possible(r.q) {
			continue
		}
		s.part = part
		s.limit = min(part.n, sc.High-part.first)
		s.phrases.phrases, s.phrases.ids = r.q.phrases, part.ids
		if err := s.searchPart(); err != nil {
			s.failed = true
			return nil, err
		}
	}
	return s.top.sorted(), nil
}

// possible reports whether the part has all terms of the phrases.
func (c *captured) possible(q *Query) bool {
	for i := range q.terms {
		if q.terms[i].required && c.ids[i] == missing {
			return false
		}
	}
	return true
}

// room returns how many hits there can be, so that large answers grow in place.
func (r *Run) room(k int, sc *index.Scope) int {
	n := uint64(0)
	for _, s := range r.scores {
		n += s.df
	}
	n = min(n, uint64(sc.High), uint64(k))
	if sc.Mask != nil {
		n = min(n, uint64(sc.Count))
	}
	return int(n)
}

// A search is one call of Search, with memory that is used again.
type search struct {
	ctx     context.Context
	run     *Run
	scope   *index.Scope
	top     top
	part    *captured
	limit   uint32 // slots of the part from here on are not looked at
	phrases phraseMatcher

	cursors []*cursor // of terms that the segment has, in the query's order
	extra   []*cursor // a second one each, for exact scores; made when needed
	free    []*cursor
	order   []int // of cursors, by bound
	prefix  []float64
	scores  []float64 // by cursor, of one slot
	acc     []float64
	touched []uint64
	count   []uint32
	steps   int
	failed  bool // some sums are not zero
}

var scratches = sync.Pool{New: func() any { return new(search) }}

// release keeps the memory, but for what an unusual query has needed.
func (s *search) release() {
	s.recycle()
	s.ctx, s.run, s.scope, s.top, s.part = nil, nil, nil, top{}, nil
	s.phrases.phrases, s.phrases.ids = nil, nil
	if s.failed || len(s.free) > 64 || cap(s.acc) > 1<<16 || cap(s.phrases.terms) > 1<<14 {
		return
	}
	scratches.Put(s)
}

// check looks at the context now and then.
func (s *search) check() error {
	if s.steps++; s.steps%64 == 0 {
		return s.ctx.Err()
	}
	return nil
}

func (s *search) searchPart() error {
	switch {
	case s.part.tail != nil:
		return s.searchTail()
	case len(s.run.q.phrases) > 0:
		s.open()
		defer s.recycle()
		return s.searchAll()
	default:
		s.open()
		defer s.recycle()
		return s.searchAny()
	}
}
