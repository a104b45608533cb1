package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// closed returns the directory of a server that has stopped, with a library and
// some documents.
func closed(t *testing.T) string {
	s := serve(t, t.TempDir())
	c := library(t, s, "l")
	put(t, c, "l", "a", "needle-b", "c")
	s.stop()
	return s.data
}

func TestLog(t *testing.T) {
	dir := closed(t)
	out := ok(t, "log", "dump", "--data", dir)
	contains(t, out, "library.created", "document.added", "needle-b")
	if out := ok(t, "log", "dump", "--data", dir, "--from", "3", "--to", "3"); bytes.Count([]byte(out), []byte("\n")) != 1 {
		t.Errorf("one change:\n%s", out)
	}
	contains(t, ok(t, "log", "stat", "--data", dir), "ends at seq 4")
	var v struct {
		LastSeq  int `json:"last_seq"`
		Problems []string
	}
	if okJSON(t, &v, "log", "stat", "--data", dir); v.LastSeq != 4 || v.Problems == nil {
		t.Errorf("%+v", v)
	}
	if r := do(t, "", "log", "stat", "--data", t.TempDir()); r.code != exitFailed {
		t.Errorf("no database: exit %d", r.code)
	}
	contains(t, ok(t, "verify", "--full", "--data", dir), "no damage found")

	flip(t, dir, "needle-b")
	for _, args := range [][]string{{"log", "dump"}, {"log", "stat"}, {"verify"}, {"verify", "--output", "json"}} {
		if r := do(t, "", append(args, "--data", dir)...); r.code != exitDamage {
			t.Errorf("%v of a damaged log: exit %d, want 4\n%s%s", args, r.code, r.out, r.err)
		}
	}
}

// flip turns over one bit of a text in the log.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is not in the log as it is", text)
}
