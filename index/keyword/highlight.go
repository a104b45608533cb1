package keyword

import (
	"slices"

	"github.com/arrwdb/arrwdb/index/analysis"
)

// maxFragments is how many pieces of a text are shown.
const maxFragments = 3

// A Fragment is a piece of a text with words of the query.
type Fragment struct {
	Start, End int      // bytes of the text
	Matches    [][2]int // beginnings and ends of words in the text, ascending
}

// A match is a word of a text that is one of the query's.
type match struct {
	start, end, term int
}

// Highlight returns the pieces of a text that show most of the query: at most three,
// which do not overlap, of at most maxLen bytes each, in the order of the text. Where
// nothing matches there are none. Pieces begin and end with words.
func Highlight(a *analysis.Analyzer, q *Query, text string, maxLen int) []Fragment {
	if q.Empty() || maxLen <= 0 {
		return nil
	}
	ids := make(map[string]int, len(q.terms))
	for i, t := range q.terms {
		ids[t.term] = i
	}
	var matches []match
	var words []int // where words that are terms begin and end
	tokenizer := a.NewTokenizer()
	tokenizer.Reset(text)
	for {
		k, ok := tokenizer.Next()
		if !ok {
			break
		}
		words = append(words, k.Start, k.End)
		if id, ok := ids[k.Term]; ok && k.End-k.Start <= maxLen {
			matches = append(matches, match{k.Start, k.End, id})
		}
	}
	h := highlighter{text: text, matches: matches, words: words, seen: make([]int, len(q.terms)), known: make([]bool, len(q.terms))}
	for len(h.done) < maxFragments {
		from, to := h.best(maxLen)
		if from == to {
			break
		}
		h.done = append(h.done, h.fragment(from, to, len(text), maxLen))
	}
	slices.SortFunc(h.done, func(a, b Fragment) int { return a.Start - b.Start })
	return h.done
}

type highlighter struct {
	text    string
	matches []match
	words   []int
	seen    []int  // by term: how often in the window
	known   []bool // by term: whether an earlier fragment shows it
	done    []Fragment
}

// crosses reports whether a fragment is between two places.
func (h *highlighter) crosses(from, to int) bool {
	return slices.ContainsFunc(h.done, func(f Fragment) bool { return f.Start < to && f.End > from })
}

// best returns the matches of the window that has most terms that no fragment shows
// yet, then most terms, then most matches, then the first. Once every term that the
// text has is shown, there is none.
func (h *highlighter) best(maxLen int) (from, to int) {
	clear(h.seen)
	best, bestScore := [2]int{}, [3]int{}
	score := [3]int{} // new terms, terms, matches
	at := 0
	for i, m := range h.matches {
		h.count(m.term, 1, &score)
		for h.matches[at].start < m.end-maxLen || h.crosses(h.matches[at].start, m.end) {
			h.count(h.matches[at].term, -1, &score)
			at++ // never beyond i: no match is longer, or in a fragment
		}
		if slices.Compare(score[:], bestScore[:]) > 0 {
			best, bestScore = [2]int{at, i + 1}, score
		}
	}
	if bestScore[0] == 0 {
		return 0, 0
	}
	return best[0], best[1]
}

func (h *highlighter) count(term, by int, score *[3]int) {
	before := h.seen[term]
	h.seen[term] += by
	if (before == 0) != (h.seen[term] == 0) {
		score[1] += by
		if !h.known[term] {
			score[0] += by
		}
	}
	score[2] += by
}

// fragment makes a piece of matches, with as much around them as there is room for,
// and takes the matches away. It overlaps none of the others.
func (h *highlighter) fragment(from, to, size, maxLen int) Fragment {
	start, end := h.matches[from].start, h.matches[to-1].end
	low, high := 0, size
	for _, o := range h.done {
		if o.End <= start {
			low = max(low, o.End)
		}
		if o.Start >= end {
			high = min(high, o.Start)
		}
	}
	// Half of the room before the matches, half behind; what one side does not need is
	// the other's.
	half := max(low, start-(maxLen-(end-start))/2)
	high = min(high, half+maxLen)
	low = max(low, high-maxLen)
	f := Fragment{Start: h.wordFrom(low, start), End: h.wordTo(high, end)}
	if low == 0 {
		f.Start = 0
	}
	if high == size {
		f.End = size
	}
	for _, m := range h.matches[from:to] {
		f.Matches = append(f.Matches, [2]int{m.start, m.end})
		h.known[m.term] = true
	}
	h.matches = slices.DeleteFunc(h.matches, func(m match) bool { return m.end > f.Start && m.start < f.End })
	return f
}

// wordFrom returns where the first word at low or after it begins, or start. Words that
// are not terms are known by the spaces around them.
func (h *highlighter) wordFrom(low, start int) int {
	i, _ := slices.BinarySearch(h.words, low)
	if i += i % 2; i < len(h.words) {
		start = min(h.words[i], start)
	}
	for i := max(low, 1); i < start; i++ {
		if isSpace(h.text[i-1]) && !isSpace(h.text[i]) {
			return i
		}
	}
	return start
}

// wordTo returns where the last word that ends at high or before it does, or end.
func (h *highlighter) wordTo(high, end int) int {
	i, ok := slices.BinarySearch(h.words, high)
	if !ok {
		i--
	}
	if i%2 == 0 {
		i--
	}
	if i > 0 {
		end = max(h.words[i], end)
	}
	for i := min(high, len(h.text)-1); i > end; i-- {
		if isSpace(h.text[i]) && !isSpace(h.text[i-1]) {
			return i
		}
	}
	return end
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
