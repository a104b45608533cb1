package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
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
					f.terms[k.Term] += weight
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
		terms[k.Term]++
	}
	n, total := 0.0, 0.0
	for _, c := range all {
		if c.length > 0 {
			n++
			total += c.length
		}
	}
	idf := map[string]float64{}
	for term := range terms {
		df := 0.0
		for _, c := range all {
			if c.terms[term] > 0 {
				df++
			}
		}
		idf[term] = math.Log(1 + (n-df+0.5)/(df+0.5))
	}
	var out []*foundChunk
	for _, c := range all {
		c.score = 0
		for term, qtf := range terms {
			if tf := c.terms[term]; tf > 0 {
				c.score += qtf * idf[term] * tf * 2.2 / (tf + 1.2*(0.25+0.75*c.length/(total/n)))
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
	got, err := searchWhenBuilt(db, lib, req)
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
		if (doc != w.doc || chunk != w.id) && !(req.Mode == engine.KeywordSearch && math.Abs(h.Score-w.score) <= 1e-9) { // sums in another order
			t.Fatalf("%s: hit %d is %s/%s (%v), want %s/%s (score %v, distance %v)", what, i, doc, chunk, h, w.doc, w.id, w.score, w.distance)
		}
		if req.Mode == engine.VectorSearch && h.Distance != w.distance || req.Mode == engine.KeywordSearch && math.Abs(h.Score-w.score) > 1e-9 {
			t.Fatalf("%s: hit %d, %s/%s: %v, want score %v, distance %v", what, i, doc, chunk, h, w.score, w.distance)
		}
		if i >= 5 {
			continue
		}
		if _, err := got.AppendHit(nil, i, engine.HitOptions{Text: true, Metadata: true, Embedding: true}, ""); err != nil {
			t.Fatalf("%s: hit %d: %v", what, i, err)
		}
	}
}

// TestSearchOracle compares 1,000 random searches over 10,000 random documents, of
// which many were replaced, patched and deleted, with naive ones: BM25 to 1e-9,
// filters and distances exactly, and in order.
func TestSearchOracle(t *testing.T) {
	docs, queries := 10_000, 1000
	if testing.Short() {
		docs, queries = 1000, 100
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 9))
	o := small(vfs.NewMem())
	o.SegmentSize, o.MemTableBytes, o.TailSlots, o.RowBlockBytes, o.RowBlocksPerFile = 1<<20, 16<<20, 256, 64<<10, 64
	db := open(t, o)
	makeLibrary(t, db, "lib")
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "w%d ", int(math.Exp(r.Float64()*6))) // frequent ones and rare ones
		}
		return b.String()
	}
	metadata := func() []byte {
		m := fmt.Sprintf(`{"n":%d,"keep":true,"page":%d,"tags":["t%d",%d],"deep":{"x":%d.5}`, r.IntN(300), r.IntN(100), r.IntN(5), r.IntN(9), r.IntN(7))
		if r.IntN(3) == 0 {
			m += `,"rare":null`
		}
		return []byte(m + "}")
	}
	write := func(i int) engine.Op {
		d := &docjson.Document{Title: words(r.IntN(4)), Metadata: metadata()}
		for range 1 + r.IntN(2) {
			v := make([]float32, 8)
			for j := range v {
				v[j] = float32(r.IntN(7)) - 3 // many equal distances
			}
			v[0] = 1
			d.Chunks = append(d.Chunks, change.Chunk{Text: words(r.IntN(40)), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, v)}}})
		}
		return engine.Op{Kind: engine.OpPut, Library: "lib", ID: fmt.Sprint("d", i), Doc: d}
	}
	for i := 0; i < docs; i += 100 {
		var ops []engine.Op
		for j := range 100 {
			ops = append(ops, write(i+j))
		}
		commit(t, db, ops...)
	}
	for range docs / 2 {
		id := fmt.Sprint("d", r.IntN(docs))
		op := write(0)
		switch op.ID = id; r.IntN(3) {
		case 0:
			title := words(3)
			op = engine.Op{Kind: engine.OpPatch, Library: "lib", ID: id, Patch: &engine.Patch{Title: &title, Metadata: metadata()}}
		case 1:
			op = engine.Op{Kind: engine.OpDelete, Library: "lib", ID: id}
		}
		if _, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	all := chunksOf(t, db, "lib")
	for range queries {
		f := parseTestFilter(t, oracleFilter(r))
		k := []int{1, 10, 100, 20_000}[r.IntN(4)]
		if r.IntN(2) == 0 {
			q := words(1 + r.IntN(4))
			compareHits(t, db, "lib", &engine.SearchRequest{Mode: engine.KeywordSearch, Query: q, K: k, Filter: f}, naiveWords(all, q, f, k))
			continue
		}
		q := make([]float32, 8)
		for i := range q {
			q[i] = float32(r.IntN(5)) - 1.5
		}
		compareHits(t, db, "lib", &engine.SearchRequest{Mode: engine.VectorSearch, Embedding: q, K: k, Filter: f}, naiveNearest(all, index.Cosine, q, f, k))
	}
}

func oracleFilter(r *rand.Rand) string {
	leaf := func() string {
		n := r.IntN(300)
		return []string{`{"keep":true}`, fmt.Sprintf(`{"n":{"$gt":%d,"$lte":%d}}`, n, n+60), fmt.Sprintf(`{"page":{"$lt":%d}}`, n/3),
			fmt.Sprintf(`{"tags":"t%d"}`, r.IntN(6)), fmt.Sprintf(`{"tags":{"$contains":%d}}`, r.IntN(9)), fmt.Sprintf(`{"deep.x":{"$gte":%d}}`, r.IntN(7)),
			`{"rare":{"$exists":true}}`, `{"rare":null}`, fmt.Sprintf(`{"n":{"$nin":[%d,%d]}}`, n, n+1), fmt.Sprintf(`{"n":%d}`, n)}[r.IntN(10)]
	}
	switch r.IntN(5) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(`{"$and":[%s,%s]}`, leaf(), leaf())
	case 2:
		return fmt.Sprintf(`{"$or":[%s,%s,%s]}`, leaf(), leaf(), leaf())
	case 3:
		return fmt.Sprintf(`{"$not":%s}`, leaf())
	}
	return leaf()
}

// searchWhenBuilt searches again where an index is being built for longer than a
// search waits: on a busy machine that may be.
func searchWhenBuilt(db *engine.DB, lib string, req *engine.SearchRequest) (*engine.SearchResult, error) {
	for deadline := time.Now().Add(time.Minute); ; {
		r, err := db.Search(ctx, lib, req)
		var e *change.Error
		if errors.As(err, &e) && e.Code == change.Overloaded && time.Now().Before(deadline) {
			continue
		}
		return r, err
	}
}

// TestHybridOracle compares hybrid searches with naive ones: the same scores in each rank,
// and the exact distance of what is found.
func TestHybridOracle(t *testing.T) {
	first := rand.Uint64()
	t.Logf("first seed %d", first)
	for seed := first; seed < first+6; seed++ {
		r := rand.New(rand.NewPCG(seed, 9))
		for _, metric := range []string{"cosine", "l2", "dot"} {
			o := small(vfs.NewMem())
			o.SegmentSize = 1 << 20
			db := open(t, o)
			id := "lib"
			if _, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &id, Metric: &metric, Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil); err != nil {
				t.Fatal(err)
			}
			docs := []int{3, 40, 600}[r.IntN(3)]
			for i := 0; i < docs; {
				var ops []engine.Op
				for range 50 {
					d := &docjson.Document{Metadata: fmt.Appendf(nil, `{"n":%d,"keep":true}`, r.IntN(300))}
					for range 1 + r.IntN(2) {
						d.Chunks = append(d.Chunks, change.Chunk{Text: fmt.Sprintf("text %d %d", r.IntN(20), r.IntN(9)), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{r.Float32() + .1, r.Float32() - .5, r.Float32()})}}})
					}
					ops = append(ops, engine.Op{Kind: engine.OpPut, Library: "lib", ID: fmt.Sprint("d", r.IntN(docs)), Doc: d})
					i++
				}
				commit(t, db, ops...)
			}
			m, _ := index.ParseMetric(metric)
			all := chunksOf(t, db, "lib")
			for range 12 {
				f := parseTestFilter(t, randomTestFilter(r))
				k := []int{1, 5, 250, 2000}[r.IntN(4)]
				q := []float32{r.Float32() + .1, r.Float32() - .5, r.Float32()}
				words := fmt.Sprintf("%d %d", r.IntN(20), r.IntN(9))
				w := r.Float64()
				req := &engine.SearchRequest{Mode: engine.HybridSearch, Query: words, Embedding: q, K: k, Filter: f, VectorWeight: &w}
				if r.IntN(2) == 0 {
					req.Fusion = engine.RankFusion
				}
				limit := math.Inf(1)
				if r.IntN(3) == 0 {
					limit = r.Float64()*2 - .5
					req.MaxDistance = &limit
				}
				depth := max(k, 200)
				near := naiveNearest(all, m, q, f, len(all))
				for i, c := range near {
					if c.distance > limit {
						near = near[:i]
						break
					}
				}
				near = slices.Clone(near[:min(depth, len(near))])
				best := slices.Clone(naiveWords(all, words, f, depth))
				score := map[*foundChunk]float64{}
				if req.Fusion == engine.RankFusion {
					for i, c := range near {
						score[c] += 1 / float64(61+i)
					}
					for i, c := range best {
						score[c] += 1 / float64(61+i)
					}
				} else {
					of := func(d float64) float64 {
						switch metric {
						case "l2":
							return 1 / (1 + d)
						case "dot":
							return -d
						}
						return 1 - d
					}
					for _, c := range best {
						if c.distance = m.Distance(q, c.vector); c.distance <= limit && !slices.Contains(near, c) {
							near = append(near, c)
						}
					}
					low, high := math.Inf(1), math.Inf(-1)
					for _, c := range near {
						low, high = min(low, of(c.distance)), max(high, of(c.distance))
					}
					for _, c := range near {
						s := 1.0
						if high > low {
							s = (of(c.distance) - low) / (high - low)
						}
						score[c] += w * s
					}
					for _, c := range best {
						score[c] += (1 - w) * c.score / best[0].score
					}
				}
				var want []*foundChunk
				for c := range score {
					want = append(want, c)
				}
				slices.SortFunc(want, func(a, b *foundChunk) int { return cmp.Or(cmp.Compare(score[b], score[a]), a.before(b)) })
				want = want[:min(k, len(want))]
				got, err := searchWhenBuilt(db, "lib", req)
				if err != nil {
					t.Fatal(err)
				}
				if got.Len() != len(want) {
					t.Fatalf("seed %d %s: %d hits, want %d (k %d)", seed, metric, got.Len(), len(want), k)
				}
				for i, c := range want {
					h := got.Hit(i)
					d, ch := got.ID(i)
					if math.Abs(h.Score-score[c]) > 1e-9 {
						t.Fatalf("seed %d %s %+v: hit %d %s/%s %v, want %s/%s %v", seed, metric, req, i, d, ch, h, c.doc, c.id, score[c])
					}
					in := slices.Contains(near, c)
					if d == c.doc && ch == c.id && (h.InVectors != in || in && h.Distance != c.distance) {
						t.Fatalf("seed %d %s: hit %d %+v, want distance %v %v", seed, metric, i, h, in, c.distance)
					}
				}
				got.Close()
			}
			db.Close()
		}
	}
}
