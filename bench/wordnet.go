package bench

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A synset is a set of synonyms and what they mean.
type synset struct {
	id     string // the part of speech and the offset in its file
	lemmas []string
	gloss  string // the definitions, and then examples in quotation marks
}

// parseWordNet reads a data file of WordNet (wndb(5WN)):
//
//	offset  file  type  words(hex)  word id … pointers(3 digits) pointer … [frames] | gloss
//
// Lines that begin with a space are the licence.
func parseWordNet(r io.Reader, fn func(synset)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	n := 0
	for lines.Scan() {
		n++
		line := lines.Text()
		if line == "" || line[0] == ' ' {
			continue
		}
		head, gloss, ok := strings.Cut(line, "|")
		f := strings.Fields(head)
		if !ok || len(f) < 6 {
			return fmt.Errorf("line %d: %.60q is not a synset: offset, file, type, words … | gloss", n, line)
		}
		words, err := strconv.ParseUint(f[3], 16, 8)
		if err != nil || words == 0 || len(f) < 4+2*int(words) {
			return fmt.Errorf("line %d: %q is not the number of the words that follow (two hexadecimal digits)", n, f[3])
		}
		s := synset{id: f[2] + f[0], gloss: strings.TrimSpace(gloss)}
		for i := range int(words) {
			s.lemmas = append(s.lemmas, lemma(f[4+2*i]))
		}
		fn(s)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("behind line %d: %w", n, err)
	}
	return nil
}

// lemma turns a word of a data file into text: words of a collocation are joined by
// underscores, and adjectives say in parentheses where they may stand.
func lemma(word string) string {
	if i := strings.IndexByte(word, '('); i > 0 && strings.HasSuffix(word, ")") {
		word = word[:i]
	}
	return strings.ReplaceAll(word, "_", " ")
}

// definition is a gloss without its examples.
func definition(gloss string) string {
	before, _, _ := strings.Cut(gloss, `; "`)
	return before
}
