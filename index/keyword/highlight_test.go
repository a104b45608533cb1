package keyword_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

func checkFragments(t testing.TB, text string, maxLen int, fragments []keyword.Fragment) {
	t.Helper()
	end := 0
	for _, f := range fragments {
		if f.Start < end || f.End <= f.Start || f.End > len(text) || f.End-f.Start > maxLen || len(f.Matches) == 0 {
			t.Fatalf("fragment %+v after %d in %d bytes, at most %d each", f, end, len(text), maxLen)
		}
		if utf8.ValidString(text) && !utf8.ValidString(text[f.Start:f.End]) {
			t.Fatalf("fragment %q", text[f.Start:f.End])
		}
		end = f.End
		at := f.Start
		for _, m := range f.Matches {
			if m[0] < at || m[1] <= m[0] || m[1] > f.End {
				t.Fatalf("match %v in %+v", m, f)
			}
			at = m[1]
		}
	}
}

// marked writes fragments with brackets around matches.
func marked(text string, fragments []keyword.Fragment) string {
	var all []string
	for _, f := range fragments {
		var b strings.Builder
		at := f.Start
		for _, m := range f.Matches {
			b.WriteString(text[at:m[0]] + "[" + text[m[0]:m[1]] + "]")
			at = m[1]
		}
		all = append(all, b.String()+text[at:f.End])
	}
	return strings.Join(all, " | ")
}

func TestHighlight(t *testing.T) {
	a, _ := analysis.New("en")
	filler := strings.Repeat("filler ", 30)
	for _, c := range []struct {
		query, text string
		maxLen      int
		want        string
	}{
		{"foxes dog", "The quick fox saw a dog.", 100, "The quick [fox] saw a [dog]."},
		{"cat", "The quick fox saw a dog.", 100, ""},
		{"fox", filler + "one fox here " + filler, 26, "filler one [fox] here filler"},
		{"fox dog", filler + "a fox " + filler + "a fox and a dog " + filler + "dog", 26, "a [fox] and a [dog] filler"},
		{"fox dog", filler + "a fox " + filler + "a dog", 9, "a [fox] | a [dog]"},
		{"fox", "fox", 2, ""},
		{"größe", "Die GRÖSSE, die Größe", 12, "die [Größe]"},
		{"fox", "", 10, ""},
	} {
		got := keyword.Highlight(a, keyword.Parse(a, c.query), c.text, c.maxLen)
		checkFragments(t, c.text, c.maxLen, got)
		if got := marked(c.text, got); got != c.want {
			t.Errorf("%s in %d bytes: %q instead of %q", c.query, c.maxLen, got, c.want)
		}
	}
}
