package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/analysis"
)

// A searchKind is a kind of searches that are made over HTTP and without.
type searchKind struct {
	name string
	make func(e *Env) ([]*engine.SearchRequest, error)
}

var searchKinds = []searchKind{
	{"mode=vector/dim=128", func(e *Env) ([]*engine.SearchRequest, error) {
		r := rand.New(rand.NewPCG(e.Seed, 0x68747470))
		out := make([]*engine.SearchRequest, queryCount)
		for i := range out {
			v := make([]float32, streamDoc.dimension)
			for k := range v {
				v[k] = float32(r.NormFloat64() * 0.1)
			}
			out[i] = &engine.SearchRequest{Embedding: v, Mode: engine.VectorSearch, K: searchK}
		}
		return out, nil
	}},
	{"mode=keyword/words=2", func(e *Env) ([]*engine.SearchRequest, error) {
		a, err := analysis.New(textLanguage)
		if err != nil {
			return nil, err
		}
		// The documents have the same words.
		return keywordRequests(sampleQueries(a, makeTexts(e.Seed, queryCount, streamDoc.words), 2, queryCount, e.Seed)), nil
	}},
}

// http makes the same searches over HTTP, on one connection, and in this process.
func (w searchWorkload) http(ctx context.Context, e *Env, r *Report) error {
	for _, kind := range searchKinds {
		name := fmt.Sprintf("http/%s/docs=%d/k=%d", kind.name, e.Docs, searchK)
		if !e.Match(name) {
			continue
		}
		c, err := w.overHTTP(ctx, e, name, kind)
		r.addMeasured(c)
		if err != nil {
			return err
		}
	}
	return nil
}

func (searchWorkload) overHTTP(ctx context.Context, e *Env, name string, kind searchKind) (c Case, err error) {
	searches, err := kind.make(e)
	if err != nil {
		return c, err
	}
	l, err := e.newLocal(ctx, newDocs(e.Seed, streamDoc), e.Docs)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	t, err := e.serveLoaded(ctx, func(data string) error { return l.copyTo(e, data) })
	if err != nil {
		return c, err
	}
	defer t.close()
	if _, err := e.quiet(ctx, t.PID); err != nil {
		return c, err
	}
	conn, err := dial(t.Addr)
	if err != nil {
		return c, err
	}
	defer conn.Close()
	defer closeOnDone(ctx.Done(), conn)()
	requests, err := t.searchRequests(searches)
	if err != nil {
		return c, err
	}
	answer, err := sameHits(ctx, l, searches[0], conn, requests[0])
	if err != nil {
		return c, err
	}
	addr, stop, err := e.echo()
	if err != nil {
		return c, err
	}
	defer stop()
	echo, err := dial(addr)
	if err != nil {
		return c, err
	}
	defer echo.Close()

	metrics := []Metric{
		{Name: "rate", Unit: "searches/s"},
		{Name: "p50", Unit: "µs"},
		{Name: "p99", Unit: "µs"},
		{Name: "p50 in process", Unit: "µs"},
		{Name: "HTTP adds", Unit: "µs"},
		{Name: "an echo adds", Unit: "µs"},
		{Name: "HTTP adds above echo", Unit: "µs", Goal: atMost(50)},
	}
	first := 0
	return e.alternate(ctx, name, 0, e.Reps, metrics,
		func() error {
			_, err := fetch(conn, requests, 0, e.Warmup/2)
			if err == nil {
				_, err = l.search(ctx, searches, 0, e.Warmup/2, true)
			}
			return err
		},
		func(Sync) (rep, error) {
			first += len(requests)/e.Reps + 1
			within, err := l.search(ctx, searches, first, e.Duration/3, true)
			if err != nil {
				return nil, err
			}
			over, err := fetch(conn, requests, first, e.Duration/3)
			if err != nil {
				return nil, err
			}
			work := time.Duration(within.micros(50)) * time.Microsecond
			bare, err := echoes(echo, work, len(requests[0]), answer, e.Duration/3)
			if err != nil {
				return nil, err
			}
			return rep{
				"rate": 1e9 / over.h.Mean(), "p50": over.micros(50), "p99": over.micros(99), "p50 in process": within.micros(50),
				"HTTP adds": over.micros(50) - within.micros(50), "an echo adds": bare.micros(50) - us(work),
				"HTTP adds above echo": over.micros(50) - within.micros(50) - (bare.micros(50) - us(work)),
			}, nil
		})
}

// searchRequests returns the requests of HTTP that make these searches.
func (t *target) searchRequests(searches []*engine.SearchRequest) ([][]byte, error) {
	out := make([][]byte, len(searches))
	for i, q := range searches {
		body := map[string]any{"k": q.K, "mode": "vector", "embedding": q.Embedding}
		if q.Mode == engine.KeywordSearch {
			body = map[string]any{"k": q.K, "mode": "keyword", "query": q.Query}
		}
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		out[i] = appendRequest(nil, "POST", "/v1/libraries/bench/search", t.Addr, b)
	}
	return out, nil
}

// sameHits fails where a search finds something else over HTTP. It returns the bytes
// of the answer.
func sameHits(ctx context.Context, l *local, q *engine.SearchRequest, c *conn, request []byte) (size int, err error) {
	r, err := l.db.Search(ctx, "bench", q)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	b, err := appendHits([]byte("["), r, engine.HitOptions{Text: true, Metadata: true})
	if err != nil {
		return 0, err
	}
	status, body, err := c.do(request)
	if err != nil {
		return 0, err
	}
	var over, within []struct {
		Document string  `json:"document_id"`
		Score    float64 `json:"score"`
		Text     string  `json:"text"`
	}
	var answer struct {
		Results json.RawMessage `json:"results"`
	}
	if err := errors.Join(json.Unmarshal(body, &answer), json.Unmarshal(append(b, ']'), &within)); err != nil {
		return 0, fmt.Errorf("status %d, %.300s: %w", status, body, err)
	}
	if err := json.Unmarshal(answer.Results, &over); err != nil {
		return 0, err
	}
	if len(over) != searchK || fmt.Sprint(over) != fmt.Sprint(within) {
		return 0, fmt.Errorf("a search over HTTP finds %.300s, in this process %.300s", bytes.TrimSpace(answer.Results), b)
	}
	return len(body), nil
}

// fetch makes one request after the other for that long.
func fetch(c *conn, requests [][]byte, first int, d time.Duration) (latency, error) {
	hist := newLatency()
	c.SetDeadline(time.Now().Add(d + ioTimeout))
	for i, start := first, time.Now(); i == first || time.Since(start) < d; i++ {
		at := time.Now()
		status, body, err := c.do(requests[i%len(requests)])
		if err == nil && status != 200 {
			err = &statusError{status, string(body)}
		}
		if err != nil {
			return hist, err
		}
		hist.record(time.Since(at))
	}
	return hist, nil
}
