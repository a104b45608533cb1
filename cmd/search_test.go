package cmd

import (
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/client"
)

func TestSearch(t *testing.T) {
	s := serve(t, t.TempDir())
	docs := file(t, "docs.ndjson", `{"id":"pets","title":"Pets","text":"The cat slept on the warm sofa.","metadata":{"n":1}}
{"id":"money","title":"Money","text":"Banks raised their interest rates.","metadata":{"n":2}}
{"id":"evil","title":"\u001b[31mred","text":"clear the \u001b[2J screen, said the cat"}
`)
	ok(t, "import", "l", docs, "--create", "--server", s.base)
	place := []string{"--server", s.base}
	check := func() {
		t.Helper()
		out := ok(t, append([]string{"search", "l", "cats", "on", "couches", "--mode", "vector", "-k", "1"}, place...)...)
		contains(t, out, "  1  ", "Pets", "pets/0", "*cat*")
		out = ok(t, append([]string{"search", "l", "interest rate"}, place...)...)
		contains(t, strings.SplitN(out, "\n", 3)[1], "*interest* *rates*")
		out = ok(t, append([]string{"search", "l", "screen"}, place...)...)
		if strings.Contains(out, "\x1b") {
			t.Errorf("a text reaches the terminal as it is: %q", out)
		}
		var a client.SearchAnswer
		okJSON(t, &a, append([]string{"search", "l", "cat", "--mode", "keyword", "--filter", `{"n":{"$gte":1}}`}, place...)...)
		if a.Total != 1 || a.Results[0].DocumentID != "pets" || a.Results[0].Distance != nil || a.Index != "flat" {
			t.Errorf("%+v", a)
		}
	}
	check()
	library(t, s, "plain")
	if out := ok(t, "search", "plain", "anything", "--server", s.base); out != "" {
		t.Errorf("a library without a provider is searched by word: %q", out)
	}
	for _, args := range [][]string{{"search", "l"}, {"search", "l", "x", "--mode", "fuzzy"}, {"search", "l", "x", "-k", "0"}} {
		if r := do(t, "", append(args, place...)...); r.code != exitUsage {
			t.Errorf("%q: exit %d", args, r.code)
		}
	}
	if r := do(t, "", "search", "none", "x", "--server", s.base); r.code != exitFailed {
		t.Errorf("no such library: exit %d", r.code)
	}
	s.stop()
	place = []string{"--data", s.data}
	check()
	if r := do(t, "", "search", "l", "x", "--filter", "{", "--data", s.data); r.code != exitUsage {
		t.Errorf("a bad filter: exit %d", r.code)
	}
}
