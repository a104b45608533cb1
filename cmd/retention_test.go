package cmd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

func TestAge(t *testing.T) {
	for s, want := range map[string]time.Duration{"7d": 7 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "forever": engine.RetainForever} {
		var a age
		if err := a.Set(s); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", s, time.Duration(a), err)
		}
		var back age
		if err := back.Set(a.String()); err != nil || back != a {
			t.Errorf("%s is printed as %s", s, a.String())
		}
	}
	for _, s := range []string{"", "d", "0d", "-1d", "7", "7d7", "1d-25h", "never", "106752d", "99999999999d"} {
		var a age
		if err := a.Set(s); err == nil {
			t.Errorf("%q is taken as %v", s, time.Duration(a))
		}
	}
	for _, args := range [][]string{{"--retention", "soon"}, {"--retention-min-bytes", "-1"}, {"--retention-max-bytes", "-1"}} {
		r := do(t, "", append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)...)
		if r.code != exitUsage || !strings.Contains(r.err, args[0]) {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.err)
		}
	}
}

func TestLogTrim(t *testing.T) {
	dir := t.TempDir()
	db, err := engine.Open(dir, engine.Options{Create: true, SegmentSize: 64 << 10, CheckpointInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	lib := "papers"
	if _, _, err := db.CreateLibrary(t.Context(), &engine.LibrarySpec{ID: &lib}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		d := &docjson.Document{ID: fmt.Sprint(i), Chunks: []change.Chunk{{Text: strings.Repeat(fmt.Sprint("word", i, " "), 1000)}}}
		if _, err := db.Commit(t.Context(), &engine.Group{Ops: []engine.Op{{Kind: engine.OpPut, Library: lib, ID: d.ID, Doc: d}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	contains(t, ok(t, "log", "trim", "--data", dir), "removed 0 segments")
	var v struct {
		Segments    int
		Bytes       int64
		BytesBefore int64 `json:"bytes_before"`
		BytesAfter  int64 `json:"bytes_after"`
		Earliest    int   `json:"earliest_seq"`
	}
	okJSON(t, &v, "log", "trim", "--data", dir, "--retention", "forever", "--retention-max-bytes", "100000")
	if v.Segments == 0 || v.Bytes != v.BytesBefore-v.BytesAfter || v.BytesAfter > 100_000 || v.Earliest < 2 {
		t.Errorf("%+v", v)
	}
	contains(t, ok(t, "verify", "--full", "--data", dir), "no damage found")
	contains(t, ok(t, "search", lib, "word39", "--mode", "keyword", "--data", dir), "word39")
	if r := do(t, "", "log", "trim", "--data", t.TempDir()); r.code != exitFailed {
		t.Errorf("no database: exit %d", r.code)
	}
	held, err := engine.Open(dir, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if r := do(t, "", "log", "trim", "--data", dir); r.code != exitInUse {
		t.Errorf("a directory that is held: exit %d", r.code)
	}
}
