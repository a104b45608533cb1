package embed

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// eachToken calls fn with every word of text in lower case: runs of letters,
// marks and digits, joined by apostrophes and hyphens between them. word is valid
// during the call only. buf is scratch, and returned for the next call.
func eachToken(text string, buf []byte, fn func(word []byte)) []byte {
	buf = buf[:0]
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
				buf = append(buf, c)
			case c >= 'A' && c <= 'Z':
				buf = append(buf, c+'a'-'A')
			case (c == '\'' || c == '-') && len(buf) > 0 && startsWord(text[i:]):
				buf = append(buf, c)
			case len(buf) > 0:
				fn(buf)
				buf = buf[:0]
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		switch {
		case isWord(r):
			buf = utf8.AppendRune(buf, unicode.ToLower(r))
		case r == '’' && len(buf) > 0 && startsWord(text[i:]):
			buf = append(buf, '\'')
		case len(buf) > 0:
			fn(buf)
			buf = buf[:0]
		}
	}
	if len(buf) > 0 {
		fn(buf)
	}
	return buf[:0]
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

func startsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return isWord(r)
}

// IsToken reports whether the tokenizer can give this word, so that a vector for
// it is of use.
func IsToken(word string) bool {
	if word == negation {
		return true
	}
	n, same := 0, false
	eachToken(word, nil, func(w []byte) {
		n++
		same = string(w) == word
	})
	return n == 1 && same
}

// negation is what "don't" ends with, a word of its own.
const negation = "n't"

// parts gives what a word that the table does not know is made of: halves of a
// hyphenated word, a contraction and what it contracts.
func parts(word string, fn func(part string)) bool {
	if base, found := strings.CutSuffix(word, negation); found && base != "" {
		fn(base)
		fn(negation)
		return true
	}
	if i := strings.IndexAny(word, "'-"); i > 0 {
		rest := word[i+1:]
		fn(word[:i])
		if word[i] == '-' || !clitics[rest] {
			fn(rest)
		}
		return true
	}
	return false
}

// clitics stand after an apostrophe and say nothing about what a text is about.
var clitics = map[string]bool{"s": true, "re": true, "ve": true, "ll": true, "d": true, "m": true}

// stems calls fn with what a word may be a form of, likeliest first, until it
// returns true.
func stems(word string, fn func(stem string) bool) bool {
	for _, s := range suffixes {
		if stem, found := strings.CutSuffix(word, s.cut); found && len(stem) >= 3 && fn(stem+s.add) {
			return true
		}
	}
	return false
}

var suffixes = []struct{ cut, add string }{
	{"ies", "y"}, {"es", ""}, {"s", ""}, {"ied", "y"}, {"ed", ""}, {"ed", "e"}, {"ing", ""}, {"ing", "e"}, {"ly", ""}, {"ness", ""}, {"ers", ""}, {"er", ""},
}
