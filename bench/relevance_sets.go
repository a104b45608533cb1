package bench

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A judgedSet is documents, queries, and which of the documents answer them.
type judgedSet struct {
	name     string
	docs     []searchDoc
	queries  []judged // shuffled: the first half is to choose weights by
	measures []measure
	// reference is what a BM25 without an engine around it reached on all queries
	// of an earlier state of the data (README).
	reference map[string]float64
}

// A searchDoc is a document of one chunk, so that a ranking of chunks is one of
// documents.
type searchDoc struct{ id, text string }

// tuning and held are the indexes of the queries that weights are chosen by, and of
// those that they are judged by.
func (s *judgedSet) tuning() []int { return span(0, len(s.queries)/2) }
func (s *judgedSet) held() []int   { return span(len(s.queries)/2, len(s.queries)) }
func (s *judgedSet) all() []int    { return span(0, len(s.queries)) }

func span(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// digest tells two states of the data apart, and two seeds.
func (s *judgedSet) digest() string {
	h := sha256.New()
	for _, d := range s.docs {
		fmt.Fprintf(h, "%q %q\n", d.id, d.text)
	}
	for _, q := range s.queries {
		fmt.Fprintf(h, "%q %d\n", q.text, len(q.relevant))
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// check refuses a set of which nothing could be learned.
func (s *judgedSet) check() error {
	if len(s.queries) < 4 {
		return fmt.Errorf("%s: %d documents leave %d queries, at least 4 are needed: raise --docs or --queries", s.name, len(s.docs), len(s.queries))
	}
	return nil
}

// A setSource makes the sets of an Env.
type setSource struct {
	seed    uint64
	limit   int // documents of each set; 0 is all
	queries int // of the sets that queries are sampled for
	cache   *debianCache

	read []description
}

// setNames are those that make knows.
var setNames = []string{"debtags", "known-item", "wordnet"}

func (s *setSource) make(ctx context.Context, name string) (*judgedSet, error) {
	var set *judgedSet
	switch name {
	case "debtags", "known-item":
		all, err := s.descriptions(ctx)
		if err != nil {
			return nil, err
		}
		if name == "known-item" {
			set = s.knownItem(all)
			break
		}
		names, err := s.cache.vocabulary(ctx)
		if err != nil {
			return nil, err
		}
		set = s.debtags(all, names)
	case "wordnet":
		all, err := s.cache.synsets(ctx)
		if err != nil {
			return nil, err
		}
		set = s.wordnet(all)
	default:
		return nil, fmt.Errorf("there is no data set %q; there are %s", name, strings.Join(setNames, ", "))
	}
	if s.limit > 0 {
		set.reference = nil // fewer documents are easier
	}
	return set, set.check()
}

// random is the source of one purpose: what one set draws does not depend on what
// others have drawn.
func (s *setSource) random(purpose string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, purpose)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// sample draws n of v, all where n is 0 or too many, and returns them shuffled.
func sample[T any](r *rand.Rand, v []T, n int) []T {
	v = slices.Clone(v)
	r.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
	if n > 0 && n < len(v) {
		v = v[:n]
	}
	return v
}

// A description is a long description, with the first of the packages that have it,
// and with the tags of all of them.
type description struct {
	pkg, synopsis, long string
	tags                map[string]bool
}

// id is the package's name as an id of a document, which has no plus signs. Names of
// packages have no underscores.
func (d *description) id() string { return strings.ReplaceAll(d.pkg, "+", "_") }

// minDescription is how many bytes a long description has at least: shorter ones
// say only that the package is a dummy.
const minDescription = 80

// descriptions returns the distinct long descriptions, by the packages' names.
func (s *setSource) descriptions(ctx context.Context) ([]description, error) {
	if s.read != nil {
		return s.read, nil
	}
	packages, translations, err := s.cache.lists(ctx)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{} // by the MD5 that stands in the other list
	for _, name := range translations {
		err := s.cache.readList(ctx, name, func(p stanza) error {
			texts[p["Description-md5"]] = p["Description-en"]
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	found := descriptions{}
	for _, name := range packages {
		if err := s.cache.readList(ctx, name, func(p stanza) error { found.add(p, texts); return nil }); err != nil {
			return nil, err
		}
	}
	s.read = found.distinct()
	return s.read, nil
}

// descriptions gathers packages, by their names.
type descriptions map[string]*description

// add adds a paragraph of a list of packages. A package may be in several lists,
// of which not all have tags: the first text counts, and all tags.
func (d descriptions) add(p stanza, texts map[string]string) {
	name := p["Package"]
	text, ok := texts[p["Description-md5"]]
	if !ok || name == "" {
		return
	}
	one := d[name]
	if one == nil {
		one = &description{pkg: name, tags: map[string]bool{}}
		one.synopsis, one.long = splitDescription(text)
		d[name] = one
	}
	for _, tag := range parseTags(strings.ReplaceAll(p["Tag"], "\n", " ")) {
		one.tags[tag] = true
	}
}

// distinct returns one description for each text that is long enough.
func (d descriptions) distinct() []description {
	sorted := make([]*description, 0, len(d))
	for _, one := range d {
		sorted = append(sorted, one)
	}
	slices.SortFunc(sorted, func(a, b *description) int { return cmp.Compare(a.pkg, b.pkg) })
	var out []description
	at := map[string]int{}
	for _, one := range sorted {
		if len(one.long) < minDescription {
			continue
		}
		i, ok := at[one.long]
		if !ok {
			at[one.long] = len(out)
			out = append(out, *one)
			continue
		}
		for tag := range one.tags {
			out[i].tags[tag] = true
		}
	}
	return out
}

// minTagged is how many documents a tag has at least to be a query: a tag that
// hardly anybody uses is not used completely.
const minTagged = 15

// debtags: what a tag is called, and the packages that have it. People have tagged
// them, over many years and not completely, by what a package is and does.
func (s *setSource) debtags(all []description, names map[string]string) *judgedSet {
	tagged := slices.DeleteFunc(slices.Clone(all), func(d description) bool { return len(d.tags) == 0 })
	tagged = sample(s.random("debtags"), tagged, s.limit)
	set := &judgedSet{name: "debtags", measures: []measure{ndcg10, recall100}, reference: map[string]float64{"nDCG@10": 0.379}}
	of := map[string]map[string]bool{}
	for _, d := range tagged {
		set.docs = append(set.docs, searchDoc{d.id(), d.synopsis + "\n" + d.long})
		for tag := range d.tags {
			if of[tag] == nil {
				of[tag] = map[string]bool{}
			}
			of[tag][d.id()] = true
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(of)) {
		docs := of[tag]
		if len(docs) < minTagged || strings.HasSuffix(tag, "::TODO") {
			continue // TODO marks what no tag fits yet
		}
		text := names[tag]
		if text == "" {
			text = tagWords(tag)
		}
		set.queries = append(set.queries, judged{text, docs})
	}
	set.queries = sample(s.random("debtags queries"), set.queries, 0)
	return set
}

// knownItem: the synopsis of a package, and its long description, which alone is
// searched.
func (s *setSource) knownItem(all []description) *judgedSet {
	set := &judgedSet{name: "known-item", measures: []measure{mrr10, recall10}, reference: map[string]float64{"MRR@10": 0.624}}
	for _, d := range sample(s.random("known-item"), all, s.limit) {
		set.docs = append(set.docs, searchDoc{d.id(), d.long})
		set.queries = append(set.queries, judged{d.synopsis, map[string]bool{d.id(): true}})
	}
	set.queries = sample(s.random("known-item queries"), set.queries, s.queries)
	return set
}

// wordnet: a word, and the definitions of all that it means. The examples are left
// out, as they have the word. A definition seldom has, so that a search by words
// finds little.
func (s *setSource) wordnet(all []synset) *judgedSet {
	set := &judgedSet{name: "wordnet", measures: []measure{recall10, recall100}}
	of := map[string]map[string]bool{}
	for _, y := range sample(s.random("wordnet"), all, s.limit) {
		set.docs = append(set.docs, searchDoc{y.id, definition(y.gloss)})
		for _, word := range y.lemmas {
			word = strings.ToLower(word)
			if of[word] == nil {
				of[word] = map[string]bool{}
			}
			of[word][y.id] = true
		}
	}
	for _, word := range slices.Sorted(maps.Keys(of)) {
		set.queries = append(set.queries, judged{word, of[word]})
	}
	set.queries = sample(s.random("wordnet queries"), set.queries, s.queries)
	return set
}
