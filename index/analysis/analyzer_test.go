package analysis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/index/analysis"
)

func terms(t testing.TB, language, text string) string {
	t.Helper()
	a, err := analysis.New(language)
	if err != nil {
		t.Fatal(err)
	}
	tok := a.NewTokenizer()
	tok.Reset(text)
	var out []string
	for {
		k, ok := tok.Next()
		if !ok {
			return strings.Join(out, " ")
		}
		out = append(out, fmt.Sprintf("%s/%d", k.Term, k.Position))
		if k.Start >= k.End || k.End > len(text) {
			t.Fatalf("%q at %d…%d of %d bytes", k.Term, k.Start, k.End, len(text))
		}
	}
}

func TestTerms(t *testing.T) {
	for _, c := range []struct{ language, text, want string }{
		{"en", "The quick brown foxes jumped over the lazy dogs.", "quick/1 brown/2 fox/3 jump/4 over/5 lazi/7 dog/8"},
		{"en", "Dog's, dog’s and DOGS'", "dog/0 dog/1 dog/3"},
		{"en", "running runs ran; run-time 3.14 v1.2 C++ x_y", "run/0 run/1 ran/2 run/3 time/4 3.14/5 v1.2/6 c/7 x_i/8"},
		{"en", "", ""},
		{"en", " \t…—!? ", ""},
		{"en", "the of and", ""},
		{"en", "Ünïcödé cafe\u0301 CAFÉ", "ünïcödé/0 café/1 café/2"},
		{"en", "日本語 text", "日/0 本/1 語/2 text/3"},
		{"en", "soft\u00adhyphen zero\u200bwidth", "softhyphen/0 zero/1 width/2"},
		{"de", "Die Häuser der Städte sind groß", "haus/1 stadt/3 gross/5"},
		{"fr", "Les maisons de la ville", "maison/1 vill/4"},
		{"es", "Las casas de las ciudades", "cas/1 ciudad/4"},
		{"ru", "Дома и города", "дом/0 город/2"},
		{"simple", "The Foxes ran", "the/0 foxes/1 ran/2"},
		{"en", strings.Repeat("é", 300), strings.Repeat("é", 64) + "/0"},
	} {
		if got := terms(t, c.language, c.text); got != c.want {
			t.Errorf("%s %.40q:\n got %s\nwant %s", c.language, c.text, got, c.want)
		}
	}
	if _, err := analysis.New("xx"); err == nil || !strings.Contains(err.Error(), "simple") {
		t.Errorf("an unknown language: %v", err)
	}
}

// Every language's stop words are gone, and its stemmer gives no empty term.
func TestLanguages(t *testing.T) {
	for _, l := range analysis.Languages() {
		if got := terms(t, l, "Arrwdb"); !strings.HasPrefix(got, "arr") {
			t.Errorf("%s: %q", l, got)
		}
	}
}

func FuzzTokenizer(f *testing.F) {
	f.Add("en", "The quick’s brown\xff fox_es")
	f.Add("tr", "İstanbul'da")
	f.Fuzz(func(t *testing.T, language, text string) {
		a, err := analysis.New(language)
		if err != nil {
			a, _ = analysis.New("en")
		}
		tok := a.NewTokenizer()
		tok.Reset(text)
		end, at := 0, -1
		for {
			k, ok := tok.Next()
			if !ok {
				break
			}
			if len(k.Term) == 0 || len(k.Term) > 256 || k.Start < end || k.End <= k.Start || k.End > len(text) || k.Position <= at {
				t.Fatalf("%q at %d, %d…%d after %d, %d", k.Term, k.Position, k.Start, k.End, at, end)
			}
			end, at = k.End, k.Position
		}
	})
}

func BenchmarkTokenizer(b *testing.B) {
	text := strings.Repeat("The analyzers of most databases take texts apart into words, and words into stems. ", 8)
	a, _ := analysis.New("en")
	tok := a.NewTokenizer()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tok.Reset(text)
		for {
			if _, ok := tok.Next(); !ok {
				break
			}
		}
	}
}
