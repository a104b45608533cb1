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
	count, source := e.textCount, e.textSource()
	var s *local
	for words := 1; words <= 4; words++ {
		name := fmt.Sprintf("keyword/texts=%s/docs=%d/words=%d/k=%d", source, count, words, searchK)
		if !e.Match(name) {
			continue
		}
		if s == nil {
			var err error
			if texts, err = e.texts(ctx, count, textWords); err != nil {
				return err
			}
			if len(texts) < count {
				e.Logger.Warn("bench: there are fewer texts", "docs", len(texts))
			}
			d := textDocs(texts, `,"embedding":[1,0]`)
			if s, err = e.newLocal(ctx, d, len(texts)); err != nil {
				return err
			}
			defer s.close()
		}
		c, err := w.keywords(ctx, e, name, s, texts, words)
		r.addMeasured(c)
		if err != nil {
			return err
		}
	}
	return nil
}

func (searchWorkload) keywords(ctx context.Context, e *Env, name string, s *local, texts []string, words int) (Case, error) {
	a, err := analysis.New(textLanguage)
	if err != nil {
		return Case{}, err
	}
	queries := sampleQueries(a, texts, words, queryCount, e.Seed)
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
	requests := keywordRequests(queries)
	first := 0 // the repetitions begin at different queries, their halves at the same
	return e.alternate(ctx, name, 0, e.Reps, metrics,
		func() error {
			_, err := s.search(ctx, requests, 0, e.Warmup, true)
			return err
		},
		func(Sync) (rep, error) {
			first += len(requests)/e.Reps + 1
			bare, err := s.search(ctx, requests, first, e.Duration/2, false)
			if err != nil {
				return nil, err
			}
			full, err := s.search(ctx, requests, first, e.Duration/2, true)
			if err != nil {
				return nil, err
			}
			return rep{
				"rate": 1e9 / bare.h.Mean(), "p50": bare.micros(50), "p99": bare.micros(99),
				"p50 with hits": full.micros(50), "p99 with hits": full.micros(99),
			}, nil
		})
}

func keywordRequests(queries []string) []*engine.SearchRequest {
	out := make([]*engine.SearchRequest, len(queries))
	for i, q := range queries {
		out[i] = &engine.SearchRequest{Query: q, Mode: engine.KeywordSearch, K: searchK}
	}
	return out
}

// TextsDebian as Env.Texts are the descriptions of packages and the definitions of
// WordNet that relevance fetches.
const TextsDebian = "debian"

// textSource is what the texts are called in the names of cases.
func (e *Env) textSource() string {
	if e.Texts == "" {
		return "zipf"
	}
	return filepath.Base(e.Texts)
}

// texts returns n texts, or as many as there are; those that are made up are of so
// many words.
func (e *Env) texts(ctx context.Context, n, words int) ([]string, error) {
	switch e.Texts {
	case "":
		return makeTexts(e.Seed, n, words), nil
	case TextsDebian:
		return e.debianTexts(ctx, n)
	}
	return readTexts(e.Texts, n)
}

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

// debianTexts returns n texts in a random order: all descriptions before the first
// definition is drawn, which are shorter.
func (e *Env) debianTexts(ctx context.Context, n int) ([]string, error) {
	cache, err := openDebian(e.Data, e.Logger)
	if err != nil {
		return nil, fmt.Errorf("the directory for the data (--data): %w", err)
	}
	s := &setSource{seed: e.Seed, cache: cache}
	all, err := s.descriptions(ctx)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, d := range sample(s.random("texts"), all, n) {
		texts = append(texts, d.synopsis+"\n"+d.long)
	}
	if missing := n - len(texts); missing > 0 {
		glosses, err := cache.synsets(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range sample(s.random("glosses"), glosses, missing) {
			texts = append(texts, g.gloss)
		}
	}
	return sample(s.random("order of texts"), texts, 0), nil
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

// textDocs makes documents of texts, each one chunk that has these further members.
// A search for words looks at no vectors, but a library without a model wants some.
func textDocs(texts []string, members string) *docs {
	d := &docs{pool: make([][]byte, len(texts))}
	for i, text := range texts {
		b := docjson.AppendString([]byte(`,"chunks":[{"text":`), text)
		d.pool[i] = append(append(b, members...), "}]}"...)
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
