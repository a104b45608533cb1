package keyword

import (
	"strings"
	"sync"

	"slices"

	"github.com/arrwdb/arrwdb/index/analysis"
)

// TitleWeight is how often a title's terms count: as if the title stood as often
// in front of the text.
const TitleWeight = 2

// A Tail is the part of a library that is being filled, in memory. One goroutine
// changes it, under the lock that captures hold for reading; what is captured stays
// as it is, since everything here but the counts of the living is appended to only.
type Tail struct {
	tokenizer *analysis.Tokenizer
	ids       map[string]uint32
	terms     []string
	heads     []uint32 // by term: its last posting, one more, or 0
	df        []uint32 // by term: of live slots

	postings []posting
	words    []uint32 // forward lists, one behind the other
	starts   []uint64 // by slot, and one more
	lengths  []uint32 // by slot

	lastTitle string // and its words
	lastWords Words

	live  living
	ownID map[uint64]uint32 // AddCopy: terms of the other part
}

// A posting of a tail leads to the one before of the same term, since lists that
// grow side by side would each need room to spare.
type posting struct {
	slot, tf, before uint32
}

// NewTail returns a tail without slots.
func NewTail(a *analysis.Analyzer) *Tail {
	return &Tail{tokenizer: a.NewTokenizer(), ids: map[string]uint32{}, starts: []uint64{0}, ownID: map[uint64]uint32{}}
}

// Next returns an empty tail for the slots that follow; nothing is added to t any more.
// It takes over what t's tokenizer remembers, and is otherwise one of NewTail.
func (t *Tail) Next() *Tail {
	next := &Tail{tokenizer: t.tokenizer, ids: map[string]uint32{}, starts: []uint64{0}, ownID: t.ownID}
	t.tokenizer, t.ownID = nil, nil
	return next
}

// Len returns how many slots have been added.
func (t *Tail) Len() int { return len(t.lengths) }

// Stats counts the live slots with terms.
func (t *Tail) Stats() Stats { return t.live.stats }

// Words are a text's terms in order, worked out ahead of the tail that they go into.
// They do not change any more.
type Words []Word

// A Word is a term, behind gap words that are none.
type Word struct {
	term string
	gap  int
}

// Analyse returns the words of a text.
func Analyse(t *analysis.Tokenizer, text string) Words {
	if text == "" {
		return nil
	}
	scratch := wordScratch.Get().(*Words)
	words := (*scratch)[:0]
	t.Reset(text)
	for next := 0; ; {
		k, ok := t.Next()
		if !ok {
			break
		}
		words = append(words, Word{k.Term, k.Position - next})
		next = k.Position + 1
	}
	exact := slices.Clone(words)
	clear(words) // the terms belong to others
	if *scratch = words; cap(words) <= maxWordScratch {
		wordScratch.Put(scratch)
	}
	return exact
}

// wordScratch holds what words are gathered in: how many a text has is only known at
// its end.
var wordScratch = sync.Pool{New: func() any { return new(Words) }}

const maxWordScratch = 1 << 16

// Add gives the next slot to a title and a text. Neither needs to have words.
func (t *Tail) Add(title, text string) {
	t.AddWords(t.titleWords(title), Analyse(t.tokenizer, text))
}

// titleWords analyses a title, which most often is that of the slot before.
func (t *Tail) titleWords(title string) Words {
	if title != t.lastTitle {
		t.lastTitle, t.lastWords = strings.Clone(title), Analyse(t.tokenizer, title)
	}
	return t.lastWords
}

// AddWords is Add with what Analyse has returned, by any tokenizer of the tail's
// analyzer.
func (t *Tail) AddWords(title, text Words) {
	length := t.addTitle(title)
	t.end(length + t.addWords(text, 1))
}

// AddCopy gives the next slot to a title and the text of an earlier slot, which may
// be dead but not purged. Slots that from does not have are empty.
func (t *Tail) AddCopy(title string, from Part, local uint32) {
	src := from.tokens(local).text()
	length := t.addTitle(t.titleWords(title))
	clear(t.ownID)
	for {
		tok, ok := src.next()
		if !ok {
			break
		}
		switch {
		case isTerm(tok):
			id, ok := t.ownID[tok]
			if !ok {
				term, ok := from.term(tokenTerm(tok))
				if !ok {
					continue
				}
				id = t.id(string(term))
				t.ownID[tok] = id
			}
			t.addTerm(id, 1)
			length++
		case tok != tokenMark:
			t.words = append(t.words, gapToken(int(min(tok>>1, 1<<31-1))))
		}
	}
	t.end(length)
}

// addTitle adds a title's terms and the mark, and returns what they count.
func (t *Tail) addTitle(title Words) (length uint32) {
	if len(title) == 0 {
		return 0
	}
	length = t.addWords(title, TitleWeight)
	t.words = append(t.words, tokenMark)
	return length
}

// addWords adds a text's terms, each counting weight.
func (t *Tail) addWords(words Words, weight uint32) (length uint32) {
	for _, w := range words {
		if w.gap > 0 {
			t.words = append(t.words, gapToken(w.gap))
		}
		t.addTerm(t.id(w.term), weight)
	}
	return uint32(len(words)) * weight
}

// id returns the number of a term, a new one where it has none.
func (t *Tail) id(term string) uint32 {
	term = term[:min(len(term), maxTermBytes)]
	id, ok := t.ids[term]
	if !ok {
		id = uint32(len(t.terms))
		t.ids[term] = id
		t.terms = append(t.terms, term)
		t.heads = append(t.heads, 0)
		t.df = append(t.df, 0)
	}
	return id
}

func (t *Tail) addTerm(id, weight uint32) {
	t.words = append(t.words, termToken(id))
	slot, head := uint32(len(t.lengths)), t.heads[id]
	if head > 0 && t.postings[head-1].slot == slot {
		t.postings[head-1].tf += weight // not captured yet
		return
	}
	t.postings = append(t.postings, posting{slot: slot, tf: weight, before: head})
	t.heads[id] = uint32(len(t.postings))
	t.df[id]++
}

// end ends the slot that is being added.
func (t *Tail) end(length uint32) {
	t.lengths = append(t.lengths, length)
	t.starts = append(t.starts, uint64(len(t.words)))
	if length > 0 {
		t.live.stats.Docs++
		t.live.stats.Terms += uint64(length)
	}
}

// Kill takes a slot that has died out of what terms and slots count.
func (t *Tail) Kill(local uint32) {
	if int64(local) >= int64(len(t.lengths)) || !t.live.kill(local, t.Len(), t.lengths[local]) {
		return
	}
	for _, id := range t.live.distinct(t.list(local), uint32(len(t.terms))) {
		t.df[id]--
	}
}

func (t *Tail) term(id uint64) ([]byte, bool) {
	if id >= uint64(len(t.terms)) {
		return nil, false
	}
	return []byte(t.terms[id]), true
}

func (t *Tail) tokens(local uint32) tokenReader {
	if int64(local) >= int64(len(t.lengths)) {
		return tokenReader{}
	}
	return t.list(local)
}

func (t *Tail) list(local uint32) tokenReader {
	return tokenReader{words: t.words[t.starts[local]:t.starts[local+1]]}
}

// living counts a part's live slots.
type living struct {
	stats Stats
	dead  []uint64 // bits; nil: none
	ids   []uint32 // scratch
}

// kill reports whether the slot counted until now.
func (l *living) kill(local uint32, slots int, length uint32) bool {
	if length == 0 {
		return false
	}
	for words := (slots + 63) / 64; len(l.dead) < words; {
		l.dead = append(l.dead, make([]uint64, words-len(l.dead))...)
	}
	word, bit := &l.dead[local/64], uint64(1)<<(local%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	l.stats.Docs--
	l.stats.Terms -= uint64(length)
	return true
}

// distinct returns the terms of a forward list, each once.
func (l *living) distinct(list tokenReader, limit uint32) []uint32 {
	l.ids = list.terms(l.ids[:0], limit)
	slices.Sort(l.ids)
	l.ids = slices.Compact(l.ids)
	if cap(l.ids) > 1<<16 {
		ids := l.ids
		l.ids = nil
		return ids
	}
	return l.ids
}
