package cmd

import (
	"os"
	"path/filepath"
	"testing"
)

func TestExport(t *testing.T) {
	s := serve(t, t.TempDir())
	c := library(t, s, "l")
	put(t, c, "l", "a", "b", "c")
	library(t, s, "empty")
	want := ok(t, "export", "l", "--embeddings", "--server", s.base)
	for _, name := range []string{"x.ndjson", "x.gz", "x.zst"} {
		name = filepath.Join(t.TempDir(), name)
		ok(t, "export", "l", "--embeddings", "--to", name, "--server", s.base)
		lib := "copy" + filepath.Ext(name)
		ok(t, "import", lib, name, "--create", "--embedding", "none", "--server", s.base)
		if n, err := c.Count(t.Context(), lib, ""); err != nil || n != 3 {
			t.Errorf("%s: %d documents, %v", name, n, err)
		}
	}
	name := filepath.Join(t.TempDir(), "none")
	if r := do(t, "", "export", "none", "--to", name, "--server", s.base); r.code != exitFailed {
		t.Errorf("exit %d", r.code)
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) > 0 {
		t.Errorf("a failed export leaves %v", left)
	}
	if r := do(t, "", "export", "none", "--output", "json", "--server", s.base); r.code != exitFailed || r.out != "" {
		t.Errorf("exit %d, %q", r.code, r.out)
	}
	var docs []map[string]any
	if okJSON(t, &docs, "export", "l", "--server", s.base, "--filter", `{"x":{"$exists":false}}`); len(docs) != 3 {
		t.Errorf("%d documents as one array", len(docs))
	}
	if okJSON(t, &docs, "export", "empty", "--server", s.base); len(docs) != 0 {
		t.Errorf("%v", docs)
	}
	s.stop()
	if got := ok(t, "export", "l", "--embeddings", "--data", s.data); got != want {
		t.Errorf("from the directory:\n%s\nfrom the server:\n%s", got, want)
	}
	if r := do(t, "", "export", "l", "--data", s.data, "--filter", "{"); r.code != exitUsage {
		t.Errorf("a bad filter: exit %d", r.code)
	}
}
