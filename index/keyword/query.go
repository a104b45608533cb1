package keyword

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/arrwdb/arrwdb/index/analysis"
)

// MaxQueryTerms is how many different terms of a query count; later ones are left
// out. It bounds what one search costs.
const MaxQueryTerms = 1024

// A Query is a text taken apart. It does not change.
type Query struct {
	terms   []queryTerm // in byte order, in which scores are summed
	phrases []phrase    // of at least one term
}

type queryTerm struct {
	term     string
	count    int  // how often the query has it
	required bool // it is in a phrase
}

// A phrase has terms, by their place in the query's, and positions relative to the
// first.
type phrase struct {
	terms, at []int
}

// Parse takes a query apart: words, of which any may occur, and "phrases in quotes",
// which must. A quote that is not closed runs to the end. Phrases of nothing but stop
// words ask for nothing.
func Parse(a *analysis.Analyzer, query string) *Query {
	q := &Query{}
	ids := map[string]int{}
	tokenizer := a.NewTokenizer()
	for quoted := false; query != ""; quoted = !quoted {
		part := query
		if i := strings.IndexAny(query, `"“”„`); i >= 0 {
			_, n := utf8.DecodeRuneInString(query[i:])
			part, query = query[:i], query[i+n:]
		} else {
			query = ""
		}
		q.add(tokenizer, part, quoted, ids)
	}
	q.sort()
	return q
}

func (q *Query) add(tokenizer *analysis.Tokenizer, part string, quoted bool, ids map[string]int) {
	tokenizer.Reset(part)
	var p phrase
	first := 0
	for {
		k, ok := tokenizer.Next()
		if !ok {
			break
		}
		term := k.Term[:min(len(k.Term), maxTermBytes)]
		id, ok := ids[string(term)]
		if !ok {
			if id = len(q.terms); id == MaxQueryTerms {
				continue
			}
			ids[string(term)] = id
			q.terms = append(q.terms, queryTerm{term: term})
		}
		q.terms[id].count++
		if quoted {
			q.terms[id].required = true
			if len(p.terms) == 0 {
				first = k.Position
			}
			p.terms, p.at = append(p.terms, id), append(p.at, k.Position-first)
		}
	}
	if len(p.terms) > 0 {
		q.phrases = append(q.phrases, p)
	}
}

// sort brings the terms into byte order.
func (q *Query) sort() {
	order := make([]int, len(q.terms))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(q.terms[a].term, q.terms[b].term) })
	rank := make([]int, len(order))
	sorted := make([]queryTerm, len(order))
	for i, id := range order {
		rank[id], sorted[i] = i, q.terms[id]
	}
	q.terms = sorted
	for _, p := range q.phrases {
		for i, id := range p.terms {
			p.terms[i] = rank[id]
		}
	}
}

// Empty reports whether the query has no term at all. It finds nothing.
func (q *Query) Empty() bool { return len(q.terms) == 0 }
