package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

const (
	// textWords is the length of a made-up text that is searched.
	textWords = 60
	// queryCount is how many queries of a length there are.
	queryCount = 1000
	// textLanguage is what libraries have that do not say otherwise.
	textLanguage = "en"
)

// keyword searches texts by their words.
func (w searchWorkload) keyword(ctx context.Context, e *Env, r *Report) error {
	var texts []string
	source, count := "zipf", e.textCount
	if e.Texts != "" {
		var err error
		if texts, err = readTexts(e.Texts, e.textCount); err != nil {
			return err
		}
		source, count = filepath.Base(e.Texts), len(texts)
	}
	var s *texted
	for words := 1; words <= 4; words++ {
		name := fmt.Sprintf("keyword/texts=%s/docs=%d/words=%d/k=%d", source, count, words, searchK)
		if !e.Match(name) {
			continue
		}
		if s == nil {
			if texts == nil {
				texts = makeTexts(e.Seed, count, textWords)
			}
			var err error
			if s, err = e.newTexted(ctx, texts); err != nil {
				return err
			}
			defer s.close()
		}
		c, err := w.keywords(ctx, e, name, s, words)
		r.addMeasured(c)
		if err != nil {
			return err
		}
	}
	return nil
}

func (searchWorkload) keywords(ctx context.Context, e *Env, name string, s *texted, words int) (Case, error) {
	a, err := analysis.New(textLanguage)
	if err != nil {
		return Case{}, err
	}
	queries := sampleQueries(a, s.texts, words, queryCount, e.Seed)
	if len(queries) == 0 {
		return Case{}, fmt.Errorf("%s: no text has %d different words", name, words)
	}
	metrics := []Metric{
		{Name: "rate", Unit: "searches/s"},
		{Name: "p50", Unit: "µs", Goal: atMost(300)},
		{Name: "p99", Unit: "µs"},
		{Name: "p50 with hits", Unit: "µs"},
		{Name: "p99 with hits", Unit: "µs"},
	}
	first := 0 // the repetitions begin at different queries, their halves at the same
	return e.alternate(ctx, name, 0, e.Reps, metrics,
		func() error {
			_, err := s.search(ctx, queries, 0, e.Warmup, true)
			return err
		},
		func(Sync) (rep, error) {
			first += len(queries)/e.Reps + 1
			bare, err := s.search(ctx, queries, first, e.Duration/2, false)
			if err != nil {
				return nil, err
			}
			full, err := s.search(ctx, queries, first, e.Duration/2, true)
			if err != nil {
				return nil, err
			}
			return rep{
				"rate": 1e9 / bare.h.Mean(), "p50": bare.micros(50), "p99": bare.micros(99),
				"p50 with hits": full.micros(50), "p99 with hits": full.micros(99),
			}, nil
		})
}

// A texted is a database in this process that holds texts.
type texted struct {
	db    *engine.DB
	dir   string
	texts []string
	buf   []byte
}

// newTexted writes the texts, and waits until their index is what it stays.
func (e *Env) newTexted(ctx context.Context, texts []string) (*texted, error) {
	dir, err := e.subdir()
	if err != nil {
		return nil, err
	}
	s := &texted{dir: dir, texts: texts}
	e.Logger.Info("bench: writing texts", "texts", len(texts))
	s.db, err = engine.Open(filepath.Join(dir, "data"), engine.Options{Create: true, Logger: e.Logger})
	if err == nil {
		err = load(ctx, s.db, textDocs(texts), len(texts))
	}
	if err == nil {
		err = e.quiet(ctx, os.Getpid())
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *texted) close() {
	if s.db != nil {
		s.db.Close()
	}
	os.RemoveAll(s.dir)
}

// search makes one search after the other for that long; with render it also makes
// the JSON of their hits.
func (s *texted) search(ctx context.Context, queries []string, first int, d time.Duration, render bool) (latency, error) {
	hist := newLatency()
	for i, start := first, time.Now(); i == first || time.Since(start) < d; i++ {
		query := queries[i%len(queries)]
		at := time.Now()
		r, err := s.db.Search(ctx, "bench", &engine.SearchRequest{Query: query, Mode: engine.KeywordSearch, K: searchK})
		if err != nil {
			return hist, err
		}
		n := r.Len()
		if render {
			s.buf, err = appendHits(s.buf[:0], r, engine.HitOptions{Text: true, Metadata: true})
		}
		r.Close()
		hist.record(time.Since(at))
		if err == nil && n == 0 {
			err = fmt.Errorf("%q, which is from one of the texts, finds none", query)
		}
		if err != nil {
			return hist, err
		}
	}
	return hist, nil
}

// appendHits appends all hits with commas between them, as they are in an answer.
func appendHits(dst []byte, r *engine.SearchResult, o engine.HitOptions) (_ []byte, err error) {
	for i := range r.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = r.AppendHit(dst, i, o, ""); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// makeTexts makes up texts.
func makeTexts(seed uint64, n, words int) []string {
	w := newWords(seed)
	texts := make([]string, n)
	var b []byte
	for i := range texts {
		b = w.count(b[:0], words)
		texts[i] = string(b)
	}
	return texts
}

// readTexts reads the members "text" of a file of JSON objects, one a line, of at
// most so many lines.
func readTexts(path string, most int) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bench: the texts: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 64<<20)
	var texts []string
	for line := 1; len(texts) < most && in.Scan(); line++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var doc struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(in.Bytes(), &doc); err != nil {
			return nil, fmt.Errorf("bench: the texts: %s, line %d: %w", path, line, err)
		}
		if doc.Text == "" {
			return nil, fmt.Errorf("bench: the texts: %s, line %d: there is no \"text\"", path, line)
		}
		texts = append(texts, doc.Text)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("bench: the texts: %s: %w", path, err)
	}
	if len(texts) == 0 {
		return nil, errors.New("bench: the texts: there are none in " + path)
	}
	return texts, nil
}

// textDocs makes documents of texts. Each comes with a vector of two numbers: a
// library without a model wants vectors, and a search for words looks at none.
func textDocs(texts []string) *docs {
	d := &docs{pool: make([][]byte, len(texts))}
	for i, text := range texts {
		b := docjson.AppendString([]byte(`,"chunks":[{"text":`), text)
		d.pool[i] = append(b, `,"embedding":[1,0]}]}`...)
	}
	return d
}

// sampleQueries makes n queries of that many different words, each of words that
// stand in one text, so that it finds something. Words that stand in many texts come
// up as often as they are met in reading, but for stop words, which have no index.
// It returns none if no text is long enough.
func sampleQueries(a *analysis.Analyzer, texts []string, words, n int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, uint64(words)))
	tokens := a.NewTokenizer()
	queries := make([]string, 0, n)
	for tries := 0; len(queries) < n && tries < 100*n; tries++ {
		text := texts[r.IntN(len(texts))]
		var all, terms []string
		tokens.Reset(text)
		for t, ok := tokens.Next(); ok; t, ok = tokens.Next() {
			all, terms = append(all, text[t.Start:t.End]), append(terms, string(t.Term))
		}
		seen := map[string]bool{}
		var query []string
		for _, i := range r.Perm(len(all)) {
			if len(query) < words && !seen[terms[i]] {
				seen[terms[i]] = true
				query = append(query, all[i])
			}
		}
		if len(query) == words {
			queries = append(queries, strings.Join(query, " "))
		}
	}
	return queries
}
