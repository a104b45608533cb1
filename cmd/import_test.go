package cmd

import (
	"bytes"
	"compress/gzip"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/arrwdb/arrwdb/client"
)

// Files plain and packed, without a newline at their ends, are one stream of
// lines; the same on a server and on a directory.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	var gz, zst bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write([]byte(document("c") + "\n" + document("d")))
	z.Close()
	w, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(document("e") + "\nbroken\n"))
	w.Close()
	files := []string{file(t, "a.ndjson", document("a")+"\n"+document("b")), file(t, "c.gz", gz.String()), file(t, "e.zst", zst.String())}
	check := func(place ...string) {
		t.Helper()
		r := do(t, "", append(append([]string{"import", "new"}, files...), place...)...)
		if r.code != exitFailed || r.out != "" {
			t.Errorf("a library that is not there: exit %d %s", r.code, r.out)
		}
		r = do(t, "", append(append([]string{"import", "new", "--create", "--embedding", "none"}, files...), place...)...)
		if r.code != exitFailed { // a line failed
			t.Errorf("exit %d, want 1\n%s%s", r.code, r.out, r.err)
		}
		contains(t, r.out, "lines 6, documents 5, chunks 5, failed 1, skipped 0")
		contains(t, r.err, "e.zst, line 2: invalid_json", "some lines failed")
		r = do(t, document("f"), append([]string{"import", "new", "-", "--output", "json", "--create", "--embedding", "none"}, place...)...)
		contains(t, r.out, `"successful": 1`)
		if n := strings.Count(ok(t, append([]string{"export", "new"}, place...)...), "\n"); n != 6 {
			t.Errorf("%d documents", n)
		}
		contains(t, ok(t, append([]string{"import", "new", "--mode", "skip", files[0]}, place...)...), "skipped 2")
		if r := do(t, "", append([]string{"import", "new", "--mode", "insert", files[0]}, place...)...); r.code != exitFailed {
			t.Errorf("insert of what is there: exit %d", r.code)
		}
		r = do(t, "x\n"+document("g"), append([]string{"import", "new", "-", "--on-error", "abort"}, place...)...)
		if r.code != exitFailed {
			t.Errorf("abort: exit %d", r.code)
		}
		if r := do(t, "", append([]string{"import", "new", "/none/such"}, place...)...); r.code != exitFailed || !strings.Contains(r.err, "/none/such") {
			t.Errorf("no such file: exit %d %s", r.code, r.err)
		}
	}
	s := serve(t, dir)
	check("--server", s.base)
	s.stop()
	check("--data", t.TempDir())
	contains(t, ok(t, "export", "new", "--data", dir), `"id":"f"`)
}

// A named source goes on behind what was taken before.
func TestImportSource(t *testing.T) {
	s := serve(t, t.TempDir())
	c := library(t, s, "l")
	name := file(t, "a", document("a")+"\n"+document("b")+"\n")
	ok(t, "import", "l", name, "--source", "mine", "--server", s.base)
	head := func() uint64 {
		p, err := c.Pull(t.Context(), client.EventOptions{}, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p.HeadSeq
	}
	before := head()
	contains(t, ok(t, "import", "l", name, "--source", "mine", "--server", s.base), "lines 2, documents 0")
	if head() != before {
		t.Error("the lines were taken twice")
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(document("c") + "\n")
	f.Close()
	contains(t, ok(t, "import", "l", name, "--source", "mine", "--server", s.base), "lines 3, documents 1")
}
