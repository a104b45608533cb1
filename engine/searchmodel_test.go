package engine_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// A foundChunk is a chunk as a naive search sees it.
type foundChunk struct {
	doc, id         string
	title, text     string
	metadata, chunk []byte
	vector          []float32
	terms           map[string]float64
	length          float64
	score           float64
	distance        float64
}

// chunksOf reads all chunks of a library through its documents.
func chunksOf(t testing.TB, db *engine.DB, id string) []*foundChunk {
	t.Helper()
	s := db.Snapshot()
	defer s.Close()
	lib, err := s.Library(id)
	if err != nil {
		t.Fatal(err)
	}
	a, err := analysis.New(lib.Analyzer.Language)
	if err != nil {
		t.Fatal(err)
	}
	tok := a.NewTokenizer()
	var out []*foundChunk
	err = s.Documents(lib, "", nil, engine.ReadOptions{Embeddings: true}, func(v *docjson.View) bool {
		for _, c := range v.Chunks {
			f := &foundChunk{doc: strings.Clone(v.ID), id: strings.Clone(c.ID), title: strings.Clone(v.Title), text: strings.Clone(c.Text), metadata: slices.Clone(v.Metadata), chunk: slices.Clone(c.Metadata), terms: map[string]float64{}}
			if len(c.Vectors) > 0 {
				f.vector = c.Vectors[0].Floats(nil)
			}
			for weight, text := range map[float64]string{1: f.text, 2: f.title} {
				tok.Reset(text)
				for k, ok := tok.Next(); ok; k, ok = tok.Next() {
					f.terms[string(k.Term)] += weight
					f.length += weight
				}
			}
			out = append(out, f)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *foundChunk) before(o *foundChunk) int {
	return cmp.Or(cmp.Compare(f.doc, o.doc), cmp.Compare(f.id, o.id))
}

// naiveWords is BM25 as its formula stands, over all chunks.
func naiveWords(all []*foundChunk, query string, f *filter.Filter, k int) []*foundChunk {
	a, _ := analysis.New("en")
	tok := a.NewTokenizer()
	terms := map[string]float64{}
	tok.Reset(query)
	for k, ok := tok.Next(); ok; k, ok = tok.Next() {
		terms[string(k.Term)]++
	}
	n, total := 0.0, 0.0
	for _, c := range all {
		if c.length > 0 {
			n++
			total += c.length
		}
	}
	var out []*foundChunk
	for _, c := range all {
		c.score = 0
		for term, qtf := range terms {
			tf, df := c.terms[term], 0.0
			for _, o := range all {
				if o.terms[term] > 0 {
					df++
				}
			}
			if tf > 0 {
				c.score += qtf * math.Log(1+(n-df+0.5)/(df+0.5)) * tf * 2.2 / (tf + 1.2*(0.25+0.75*c.length/(total/n)))
			}
		}
		if c.score > 0 && f.Match(c.metadata, c.chunk) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *foundChunk) int {
		if math.Abs(a.score-b.score) > 1e-9 {
			return cmp.Compare(b.score, a.score)
		}
		return a.before(b)
	})
	return out[:min(k, len(out))]
}

func naiveNearest(all []*foundChunk, m index.Metric, q []float32, f *filter.Filter, k int) []*foundChunk {
	var out []*foundChunk
	for _, c := range all {
		if len(c.vector) == len(q) && f.Match(c.metadata, c.chunk) {
			c.distance = m.Distance(q, c.vector)
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *foundChunk) int { return cmp.Or(cmp.Compare(a.distance, b.distance), a.before(b)) })
	return out[:min(k, len(out))]
}

// checkSearch compares searches in every library with naive ones.
func checkSearch(t testing.TB, db *engine.DB, r *rand.Rand) {
	t.Helper()
	s := db.Snapshot()
	libs, err := s.Libraries("", 100, nil)
	s.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libs {
		all := chunksOf(t, db, lib.ID)
		m, err := index.ParseMetric(lib.Metric)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f := parseTestFilter(t, randomTestFilter(r))
			k := []int{1, 4, 1000}[r.IntN(3)]
			if lib.Dimension > 0 {
				q := make([]float32, lib.Dimension)
				for i := range q {
					q[i] = r.Float32() - 0.3
				}
				compareHits(t, db, lib.ID, &engine.SearchRequest{Mode: engine.VectorSearch, Embedding: q, K: k, Filter: f}, naiveNearest(all, m, q, f, k))
			}
			words := fmt.Sprintf("text %d patched title %d", r.IntN(1000), r.IntN(300))
			compareHits(t, db, lib.ID, &engine.SearchRequest{Mode: engine.KeywordSearch, Query: words, K: k, Filter: f}, naiveWords(all, words, f, k))
		}
	}
}

func randomTestFilter(r *rand.Rand) string {
	n := r.IntN(300)
	return []string{``, `{"keep":true}`, fmt.Sprintf(`{"n":{"$gt":%d}}`, n), fmt.Sprintf(`{"page":{"$lt":%d}}`, n/3),
		`{"page":{"$exists":false}}`, fmt.Sprintf(`{"$not":{"n":{"$in":[%d,%d,%d]}}}`, n, n+1, n+2), `{"page":null,"keep":true}`}[r.IntN(7)]
}

func parseTestFilter(t testing.TB, src string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compareHits(t testing.TB, db *engine.DB, lib string, req *engine.SearchRequest, want []*foundChunk) {
	t.Helper()
	got, err := db.Search(ctx, lib, req)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	what := fmt.Sprintf("library %s, %s %q, k %d, filter %v", lib, req.Mode, req.Query, req.K, req.Filter)
	if got.Len() != len(want) {
		t.Fatalf("%s: %d hits, want %d", what, got.Len(), len(want))
	}
	for i, w := range want {
		h := got.Hit(i)
		doc, chunk := got.ID(i)
		if doc != w.doc || chunk != w.id {
			t.Fatalf("%s: hit %d is %s/%s (%v), want %s/%s (score %v, distance %v)", what, i, doc, chunk, h, w.doc, w.id, w.score, w.distance)
		}
		if req.Mode == engine.VectorSearch && h.Distance != w.distance || req.Mode == engine.KeywordSearch && math.Abs(h.Score-w.score) > 1e-9 {
			t.Fatalf("%s: hit %d, %s/%s: %v, want score %v, distance %v", what, i, doc, chunk, h, w.score, w.distance)
		}
		if _, err := got.AppendHit(nil, i, engine.HitOptions{Text: true, Metadata: true, Embedding: true}, ""); err != nil {
			t.Fatalf("%s: hit %d: %v", what, i, err)
		}
	}
}
