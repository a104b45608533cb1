package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/embed"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/index/keyword"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/index/search"
)

// SearchMode says what a search ranks by.
type SearchMode string

const (
	VectorSearch  SearchMode = "vector"
	KeywordSearch SearchMode = "keyword"
	HybridSearch  SearchMode = "hybrid"
)

// Fusion says how a hybrid search makes one ranking of two.
type Fusion string

const (
	// RelativeFusion mixes the scores, each scaled to 0…1 over its list.
	RelativeFusion Fusion = "relative"
	// RankFusion is reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009).
	RankFusion Fusion = "rrf"
)

// Limits and defaults of a search.
const (
	MaxResults = 1_000_000
	DefaultK   = 10

	defaultRRFK = 60
	// fusionDepth is how many hits of each list a fusion looks at, at least.
	fusionDepth = 200
	// The weight of the vectors' side: that of the built-in model is weak.
	builtinWeight = 0.2
	otherWeight   = 0.5
)

// A SearchRequest is a search as it is asked for. What is zero has its default.
type SearchRequest struct {
	Query     string    // for words, and to be embedded where Embedding is nil
	Embedding []float32 // wins for the vectors' side
	Mode      SearchMode
	K         int
	Filter    *filter.Filter
	// MaxDistance keeps hits of the vectors' side whose distance is at most that.
	MaxDistance  *float64
	Ef           int
	Exact        bool
	Fusion       Fusion
	VectorWeight *float64 // 0…1
	RRFK         float64
}

// A SearchHit is a hit, with what a ranking says of it.
type SearchHit struct {
	Slot     uint32
	Score    float64
	Distance float64
	// InVectors says that Distance is set.
	InVectors bool
}

// A SearchResult is a ranking, and the state that it was made of: texts are read as
// they are asked for. It belongs to one goroutine and must be closed.
type SearchResult struct {
	// Seq: the search saw every change up to there.
	Seq   uint64
	Index string
	Took  time.Duration

	info    *libraryInfo
	hits    []index.Hit
	fused   map[uint32]float64 // of a hybrid search: distances
	mode    SearchMode
	metric  index.Metric
	query   string
	words   *keyword.Query // of the query, for highlighting; nil until it is needed
	capture *search.Capture
	snap    *Snapshot
	rows    map[string]*docRow // of hits that were read
}

// Len returns how many hits there are.
func (r *SearchResult) Len() int { return len(r.hits) }

// Close lets the state go.
func (r *SearchResult) Close() { r.snap.Close() }

// Hit returns the i-th hit, best first.
func (r *SearchResult) Hit(i int) SearchHit {
	h := r.hits[i]
	out := SearchHit{Slot: h.Slot, Score: h.Score}
	switch r.mode {
	case VectorSearch:
		out.Distance, out.InVectors = h.Score, true
		out.Score = scoreOf(r.metric, h.Score)
	case HybridSearch:
		out.Distance, out.InVectors = r.fused[h.Slot]
	}
	return out
}

// scoreOf turns a distance into a score, higher is better (API, section 6).
func scoreOf(m index.Metric, distance float64) float64 {
	switch m {
	case index.L2:
		return 1 / (1 + distance)
	case index.Dot:
		return -distance
	}
	return 1 - distance
}

// A query is a request that has been checked and embedded.
type query struct {
	req    *SearchRequest
	vector []float32
	words  *keyword.Query
	weight float64
}

// Search ranks the chunks of a library. It sees every write that was acknowledged
// before it began, and every document in one version.
func (db *DB) Search(ctx context.Context, lib string, req *SearchRequest) (*SearchResult, error) {
	start := time.Now()
	info := db.library(lib)
	if info == nil {
		return nil, libraryNotFound(lib)
	}
	q, err := db.prepareSearch(ctx, info, req)
	if err != nil {
		return nil, err
	}
	r, err := db.captureSearch(ctx, lib, info, q)
	if err != nil {
		return nil, err
	}
	if err := db.rank(ctx, r, q); err != nil {
		r.Close()
		return nil, err
	}
	r.Took = time.Since(start)
	return r, nil
}

// prepareSearch checks what can be checked before anything is captured, and embeds.
func (db *DB) prepareSearch(ctx context.Context, lib *libraryInfo, req *SearchRequest) (*query, error) {
	q := &query{req: req, vector: req.Embedding, weight: otherWeight}
	if lib.embedding.Provider == embed.ProviderBuiltin {
		q.weight = builtinWeight
	}
	if req.VectorWeight != nil {
		q.weight = *req.VectorWeight
	}
	if req.Mode != VectorSearch {
		if req.Query == "" {
			return nil, change.BadField("query", "a %s search needs a \"query\"", req.Mode)
		}
		q.words = keyword.Parse(lib.analyzer, req.Query)
	}
	if req.Mode == KeywordSearch {
		if req.MaxDistance != nil {
			return nil, change.BadField("distance_threshold", "a keyword search has no distances")
		}
		return q, nil
	}
	if q.vector == nil {
		if req.Query == "" {
			return nil, change.BadField("query", "a %s search needs a \"query\" or an \"embedding\"", req.Mode)
		}
		vectors, err := db.embedTexts(ctx, lib, []string{req.Query})
		if err != nil {
			if errors.Is(err, errNoModel) {
				err.Detail = "the library has embedding provider \"none\": send an \"embedding\", or search with mode \"keyword\""
			}
			return nil, err
		}
		q.vector = vectors[0]
	}
	if lib.metric == "cosine" && !slices.ContainsFunc(q.vector, func(f float32) bool { return f != 0 }) {
		return nil, change.BadField("embedding", "the vector has length zero: it has no direction, and the library's metric is cosine")
	}
	return q, nil
}

// buildWait is how long a search waits for an index that is being built.
const buildWait = 5 * time.Second

// searchedOf waits until the library's structures are there, for buildWait at most.
func (db *DB) searchedOf(ctx context.Context, num uint32) (*searched, error) {
	v, ok := db.searched.Load(num)
	if !ok {
		return nil, libraryNotFound(db.LibraryName(num))
	}
	s := v.(*searched)
	select {
	case <-s.ready:
		return s, nil
	default:
	}
	timer := time.NewTimer(buildWait)
	defer timer.Stop()
	select {
	case <-s.ready:
		return s, nil
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-db.ctx.Done():
		return nil, closedError()
	}
	if s.gone.Load() && db.library(db.LibraryName(num)) == nil {
		return nil, libraryNotFound(db.LibraryName(num))
	}
	return nil, change.Errorf(change.Overloaded, "the search index of library %q is being built; try again later", db.LibraryName(num))
}

// captureSearch takes the state that the search is to be made of.
func (db *DB) captureSearch(ctx context.Context, id string, info *libraryInfo, q *query) (*SearchResult, error) {
	for {
		s, err := db.searchedOf(ctx, info.num)
		if err != nil {
			return nil, err
		}
		lib := s.lib.Load()
		lib.RLock()
		if s.gone.Load() || s.lib.Load() != lib { // deleted, or built anew, while we waited for the lock
			lib.RUnlock()
			if now := db.library(id); now == nil || now.num != info.num {
				return nil, libraryNotFound(id)
			}
			continue
		}
		r := &SearchResult{Seq: db.Head().Seq, Index: info.settings.Index.Type, info: info, mode: q.req.Mode, query: q.req.Query, words: q.words, metric: lib.Metric()}
		r.capture = lib.Capture(q.words, q.req.Filter)
		// Under the same lock: no commit is in one and not in the other.
		r.snap = db.Snapshot()
		lib.RUnlock()
		if r.snap.pin == nil {
			return nil, closedError()
		}
		r.capture.Filter(q.req.Filter)
		return r, nil
	}
}

// rank fills in the hits.
func (db *DB) rank(ctx context.Context, r *SearchResult, q *query) error {
	var err error
	switch q.req.Mode {
	case VectorSearch:
		r.hits, err = r.nearest(ctx, q, q.req.K)
	case KeywordSearch:
		r.hits, err = r.capture.Best(ctx, q.req.K)
	default:
		err = r.fuse(ctx, q)
	}
	if err == nil {
		return nil
	}
	var e *change.Error
	switch {
	case errors.As(err, &e):
		return e
	case ctx.Err() != nil:
		return &change.Error{Code: change.DeadlineExceeded, Detail: "the request ended before its search did", Err: err}
	}
	return internalError(err)
}

func (r *SearchResult) nearest(ctx context.Context, q *query, k int) ([]index.Hit, error) {
	want := r.capture.Dim()
	if want == 0 {
		want = int(r.info.settings.Dimension)
	}
	if want != 0 && want != len(q.vector) {
		return nil, change.Errorf(change.DimensionMismatch, "the embedding has %d numbers, the library's vectors have %d", len(q.vector), want).
			With("expected", want).With("got", len(q.vector))
	}
	space, ok := r.vectors(len(q.vector))
	if !ok {
		return nil, nil // no vector yet
	}
	iq := index.Query{K: k, MaxDistance: q.req.MaxDistance, Ef: q.req.Ef, Exact: q.req.Exact}
	return r.capture.Nearest(ctx, q.vector, iq, space.ReadMany)
}

// vectors are the exact vectors of the library, if it has any of that dimension.
func (r *SearchResult) vectors(dim int) (rows.Space, bool) {
	return r.snap.pin.Space(rows.Key{Library: r.info.num, Dim: uint32(dim)})
}
