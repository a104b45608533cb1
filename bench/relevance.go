package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// relevanceWorkload is how good the answers of searches are, by data that people
// have judged for other purposes.
type relevanceWorkload struct{}

func (relevanceWorkload) Name() string { return "relevance" }
func (relevanceWorkload) Doc() string {
	return "quality of vector, keyword and hybrid search on Debian's tags and descriptions and on WordNet, which apt fetches"
}

// relevanceWeights are those of the vectors' side that the best is chosen among.
// 0 is the control: the words alone, and below what they find the rest of the
// nearest.
var relevanceWeights = []float64{0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5}

// A ranking is a way to search.
type ranking struct {
	name   string
	mode   engine.SearchMode
	fusion engine.Fusion
	weight *float64
}

func rankings() []ranking {
	out := []ranking{
		{name: "mode=vector", mode: engine.VectorSearch},
		{name: "mode=keyword", mode: engine.KeywordSearch},
		{name: "mode=hybrid/fusion=rrf", mode: engine.HybridSearch, fusion: engine.RankFusion},
	}
	for _, w := range relevanceWeights {
		out = append(out, ranking{"mode=hybrid/fusion=relative/weight=" + strconv.FormatFloat(w, 'g', -1, 64), engine.HybridSearch, engine.RelativeFusion, &w})
	}
	return out
}

func (w relevanceWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	source := &setSource{seed: e.Seed, limit: e.DocLimit, queries: e.Queries}
	for _, name := range setNames {
		var wanted []ranking
		for _, k := range rankings() {
			if e.Match("set=" + name + "/" + k.name) {
				wanted = append(wanted, k)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		if source.cache == nil {
			var err error
			if source.cache, err = openDebian(e.Data, e.Logger); err != nil {
				return r, fmt.Errorf("the directory for the data (--data): %w", err)
			}
		}
		set, err := source.make(ctx, name)
		if err != nil {
			return r, err
		}
		if err := w.run(ctx, e, r, set, wanted); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	r.Weight = bestOverall(r.Sets)
	return r, nil
}

// run judges the rankings of one set, and adds them to the report.
func (w relevanceWorkload) run(ctx context.Context, e *Env, r *Report, set *judgedSet, wanted []ranking) error {
	dir, err := e.subdir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := engine.Open(filepath.Join(dir, "db"), engine.Options{Create: true, Logger: e.Logger})
	if err != nil {
		return err
	}
	defer db.Close()
	start := time.Now()
	if err := fill(ctx, db, set); err != nil {
		return err
	}
	e.Logger.Info("bench", "set", set.name, "documents", len(set.docs), "queries", len(set.queries), "ingest", time.Since(start).Round(time.Millisecond))
	info := JudgedSet{
		Name: set.name, Documents: len(set.docs), Queries: len(set.queries), Tuning: len(set.tuning()), HeldOut: len(set.held()),
		Digest: set.digest(), Measure: set.measures[0].name, Reference: set.reference,
	}
	var words []float64
	best := math.Inf(-1)
	for _, k := range wanted {
		start := time.Now()
		got, err := judge(ctx, db, set, k)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if k.mode == engine.KeywordSearch {
			words = got.values[0]
		}
		c := got.asCase(set, k, words)
		e.Logger.Info("bench", "case", c.Name, info.Measure, c.Metrics[0].Value, "took", time.Since(start).Round(time.Millisecond))
		r.Cases = append(r.Cases, c)
		if k.weight != nil {
			at := mean(got.values[0], set.tuning())
			info.Weights = append(info.Weights, WeightTried{*k.weight, at})
			if at > best {
				best, info.Weight = at, k.weight
			}
		}
	}
	r.Sets = append(r.Sets, info)
	return nil
}

const (
	relevanceLibrary = "relevance"
	relevanceGroup   = 500 // documents a commit
)

// fill makes the library, with the settings that one has who asks for none, and
// commits the documents.
func fill(ctx context.Context, db *engine.DB, set *judgedSet) error {
	id := relevanceLibrary
	if _, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &id}, nil); err != nil {
		return err
	}
	for from := 0; from < len(set.docs); from += relevanceGroup {
		g := &engine.Group{Atomic: true}
		for _, d := range set.docs[from:min(from+relevanceGroup, len(set.docs))] {
			doc := &docjson.Document{ID: d.id, Chunks: []change.Chunk{{Text: d.text}}}
			g.Ops = append(g.Ops, engine.Op{Kind: engine.OpPut, Mode: engine.Insert, Library: id, ID: d.id, Doc: doc})
		}
		if _, err := db.Commit(ctx, g); err != nil {
			return fmt.Errorf("documents %d to %d: %w", from+1, from+len(g.Ops), err)
		}
	}
	return nil
}

// A judgement is what the measures say of each query's ranking.
type judgement struct {
	values  [][]float64 // by measure and query
	refused int         // queries that the engine has not taken
}

// judge runs all queries, as many at a time as there are processors.
func judge(ctx context.Context, db *engine.DB, set *judgedSet, k ranking) (*judgement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deepest := 0
	got := &judgement{values: make([][]float64, len(set.measures))}
	for i, m := range set.measures {
		deepest = max(deepest, m.k)
		got.values[i] = make([]float64, len(set.queries))
	}
	var next, refused atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(set.queries) {
					return
				}
				q := set.queries[i]
				ids, err := found(ctx, db, q.text, k, deepest)
				if e := (*change.Error)(nil); errors.As(err, &e) && e.Code == change.InvalidArgument {
					refused.Add(1)
				} else if err != nil {
					cancel(fmt.Errorf("query %q: %w", q.text, err))
					return
				}
				for m, one := range set.measures {
					got.values[m][i] = one.of(ids, q.relevant, one.k)
				}
			}
		})
	}
	wg.Wait()
	got.refused = int(refused.Load())
	return got, context.Cause(ctx)
}

// found returns the ids of the documents that are found, best first.
func found(ctx context.Context, db *engine.DB, text string, k ranking, depth int) ([]string, error) {
	r, err := db.Search(ctx, relevanceLibrary, &engine.SearchRequest{Query: text, Mode: k.mode, K: depth, Fusion: k.fusion, VectorWeight: k.weight})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	ids := make([]string, r.Len())
	for i := range ids {
		ids[i], _ = r.ID(i)
	}
	return ids, nil
}

// asCase makes figures of a judgement. words is what the first measure says of the
// keyword ranking, nil where it is not known.
func (j *judgement) asCase(set *judgedSet, k ranking, words []float64) Case {
	c := Case{Name: "set=" + set.name + "/" + k.name, Reps: 1}
	add := func(name string, v float64) {
		c.Metrics = append(c.Metrics, Metric{Name: name, Value: v, Min: v, Max: v, Samples: []float64{v}})
	}
	for i, m := range set.measures {
		add(m.name, mean(j.values[i], set.held()))
		add(m.name+" all", mean(j.values[i], set.all()))
		add(m.name+" tuning", mean(j.values[i], set.tuning()))
	}
	if words != nil && k.mode != engine.KeywordSearch {
		diff, error95 := paired(j.values[0], words, set.held())
		add(set.measures[0].name+" above keyword", diff)
		add(set.measures[0].name+" above keyword ±", error95)
	}
	if j.refused > 0 {
		add("refused", float64(j.refused))
	}
	return c
}

// paired returns the mean difference between two rankings of the same queries, and
// how far it may be off by the choice of queries: 1.96 standard errors.
func paired(a, b []float64, of []int) (diff, error95 float64) {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	diff = mean(d, of)
	for i := range d {
		d[i] = (d[i] - diff) * (d[i] - diff)
	}
	n := float64(len(of))
	return diff, 1.96 * math.Sqrt(mean(d, of)/max(n-1, 1))
}

// bestOverall is the weight with the highest mean over the sets of their first
// measures on the tuning halves: what a default should be. It is nil where less
// than two weights were tried on every set.
func bestOverall(sets []JudgedSet) *float64 {
	sum, n := map[float64]float64{}, map[float64]int{}
	for _, s := range sets {
		for _, t := range s.Weights {
			sum[t.Weight] += t.Tuning
			n[t.Weight]++
		}
	}
	var best *float64
	tried := 0
	for _, w := range relevanceWeights {
		if n[w] == 0 || n[w] < len(sets) {
			continue
		}
		if tried++; best == nil || sum[w] > sum[*best] {
			best = &w
		}
	}
	if tried < 2 {
		return nil
	}
	return best
}
