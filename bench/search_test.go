package bench

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/index/analysis"
)

func TestSearchWorkload(t *testing.T) {
	e := quick(t, "dim=128/workers|^(keyword|indexing|ingest|http)/")
	e.codeBytes, e.textCount = 1<<20, 400
	e.echo = func() (string, func(), error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		done := make(chan error)
		go func() { done <- Echo(ln) }()
		return ln.Addr().String(), func() {
			ln.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}, nil
	}
	got := cases(t, "search", e)
	want := map[string]int{"flat": 2, "keyword": 4, "indexing": 1, "ingest": 2, "http": 2}
	for _, c := range got {
		part, _, _ := strings.Cut(c.Name, "/")
		want[part]--
	}
	for part, n := range want {
		if n != 0 && !(part == "flat" && n == 1) { // one processor scans with one worker only
			t.Errorf("%s: %d cases are missing", part, n)
		}
	}
}

func TestSearchTexts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "texts.ndjson")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := &Env{Texts: file, Seed: 1}
	write("{\"text\":\"red apples\"}\n\n{\"text\":\"green pears\",\"title\":\"x\"}\n{\"text\":\"no more\"}\n")
	texts, err := e.texts(context.Background(), 2, 0)
	if err != nil || len(texts) != 2 || texts[1] != "green pears" {
		t.Fatal(texts, err)
	}
	for content, want := range map[string]string{"": "there are none", "{\"text\":\"a\"}\n[]\n": "line 2", "{}\n": `line 1: there is no "text"`} {
		write(content)
		if _, err := e.texts(context.Background(), 2, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	e.Texts = file + ".missing"
	if _, err := e.texts(context.Background(), 2, 0); err == nil {
		t.Error("a missing file is no fault")
	}
}

// TestSampleQueries checks that a query's words stand in one text, are different and
// have an index.
func TestSampleQueries(t *testing.T) {
	a, err := analysis.New(textLanguage)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"the apples and the apple", "red pears and green pears"}
	queries := sampleQueries(a, texts, 3, 50, 1)
	if len(queries) != 50 {
		t.Fatalf("%d queries", len(queries))
	}
	for _, q := range queries {
		for _, word := range strings.Fields(q) {
			if !strings.Contains("red pears green", word) {
				t.Errorf("%q", q)
			}
		}
	}
	if q := sampleQueries(a, texts, 4, 50, 1); len(q) != 0 {
		t.Errorf("no text has four different words: %q", q)
	}
}

func TestRecover(t *testing.T) {
	e := quick(t, "^kill/|^replay/text")
	e.Docs = 450
	if got := recoverCases(t, e); got != 2 {
		t.Errorf("%d cases", got)
	}
}

// recoverCases are without the rate that others have.
func recoverCases(t *testing.T, e *Env) int {
	t.Helper()
	w, _ := Find("recover")
	r, err := Run(context.Background(), w, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		if m, ok := c.Metric("replayed"); !ok || m.Min < 1 && strings.HasPrefix(c.Name, "replay") {
			t.Errorf("%s: nothing was replayed", c.Name)
		}
	}
	if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return len(r.Cases)
}
