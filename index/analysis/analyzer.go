package analysis

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	snowball "github.com/blevesearch/snowballstem"
	"github.com/clipperhouse/uax29/v2/words"
	"golang.org/x/text/unicode/norm"
)

// Version of what analyzers give.
const Version = 1

// Simple is the language of analyzers that neither stem nor leave words out.
const Simple = "simple"

// maxTerm is the longest term in bytes; a longer word is cut, as what matters of
// it is at its beginning.
const maxTerm = 128

// cachedWords bounds the words whose terms a tokenizer remembers. Texts repeat
// their words: most of 100,000 real texts' words are among as many.
const cachedWords = 1 << 15

// An Analyzer is what a library's language gives. It has no state.
type Analyzer struct {
	language string
	stem     func(*snowball.Env) bool // nil: words are terms
	stop     map[string]bool
}

// New returns the analyzer of a language, by its ISO 639-1 code, or Simple.
func New(language string) (*Analyzer, error) {
	if language == Simple {
		return &Analyzer{language: language}, nil
	}
	l, ok := languages[language]
	if !ok {
		return nil, fmt.Errorf("there is no analyzer for the language %q; there are %s", language, strings.Join(Languages(), ", "))
	}
	a := &Analyzer{language: language, stem: l.stem, stop: map[string]bool{}}
	for word := range strings.FieldsSeq(l.stop) {
		a.stop[word] = true
	}
	return a, nil
}

// Languages lists what New knows, in alphabetical order.
func Languages() []string {
	all := []string{Simple}
	for code := range languages {
		all = append(all, code)
	}
	slices.Sort(all)
	return all
}

// Language returns what New was given.
func (a *Analyzer) Language() string { return a.language }

// A Token is a term and where it stands.
type Token struct {
	Term string
	// Position counts the words of the text from 0, those left out too: the terms
	// of a phrase stand one after the other.
	Position int
	// Start and End are the word's bytes in the text.
	Start, End int
}

// A Tokenizer takes texts apart, one after the other. It belongs to one
// goroutine, and is worth keeping: it remembers what words become.
type Tokenizer struct {
	a     *Analyzer
	text  string
	words *words.Iterator[string]
	next  int // position
	buf   []byte
	env   *snowball.Env
	known map[string]string // word → term, "" for words that are left out
}

// NewTokenizer returns a tokenizer without a text.
func (a *Analyzer) NewTokenizer() *Tokenizer {
	return &Tokenizer{a: a, words: words.FromString(""), known: map[string]string{}, env: snowball.NewEnv("")}
}

// Reset begins a text.
func (t *Tokenizer) Reset(text string) {
	t.text, t.next = text, 0
	t.words.SetText(text)
}

// Next returns the next term of the text, or false at its end.
func (t *Tokenizer) Next() (tok Token, ok bool) {
	for t.words.Next() {
		word := t.words.Value()
		if !isWord(word) {
			continue
		}
		t.buf = fold(t.buf[:0], word)
		if len(t.buf) == 0 {
			continue
		}
		at := t.next
		t.next++
		term, ok := t.known[string(t.buf)]
		if !ok {
			term = t.learn()
		}
		if term == "" {
			continue
		}
		return Token{Term: term, Position: at, Start: t.words.Start(), End: t.words.End()}, true
	}
	return Token{}, false
}

// Words returns how many words the text has had so far, those left out too.
func (t *Tokenizer) Words() int { return t.next }

// learn works out what the word in buf becomes.
func (t *Tokenizer) learn() string {
	word := string(t.buf)
	term := word
	switch {
	case t.a.stop[word]:
		term = ""
	case t.a.stem != nil:
		t.env.SetCurrent(word)
		t.a.stem(t.env)
		if stem := t.env.Current(); stem != "" {
			term = stem
		}
	}
	if len(t.known) >= cachedWords {
		clear(t.known)
	}
	t.known[word] = term
	return term
}

// isWord tells words and numbers from spaces and signs. A segment of UAX #29 is
// one of them throughout, but for what joins its parts.
func isWord(s string) bool {
	if c := s[0]; c < utf8.RuneSelf {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' && strings.Trim(s, "_") != ""
	}
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			return true
		}
	}
	return false
}

// fold appends a word in lower case and NFC, at most maxTerm bytes of it.
func fold(b []byte, word string) []byte {
	ascii := true
	for i := range len(word) {
		c := word[i]
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	if !ascii {
		b = b[:0]
		if !norm.NFC.IsNormalString(word) {
			word = norm.NFC.String(word)
		}
		for _, r := range word {
			switch r {
			case '’':
				r = '\''
			case '\u00AD', '\u200B', '\u200C', '\u200D', '\uFEFF': // invisible
				continue
			}
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
	}
	if len(b) > maxTerm {
		n := maxTerm
		for n > 0 && !utf8.RuneStart(b[n]) {
			n--
		}
		b = b[:n]
	}
	return b
}
