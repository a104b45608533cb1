package engine_test

import (
	"errors"
	"fmt"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A document grows by chunks until it is refused, and can then still be patched,
// replaced and deleted.
func TestDocumentsDoNotOutgrowTheirDeletion(t *testing.T) {
	o := small(vfs.NewMem())
	o.SegmentSize = 64 << 20
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	makeLibrary(t, db, "lib")
	commit(t, db, put(t, "a", engine.Upsert))
	big := fmt.Appendf(nil, `{"k":%q}`, strings.Repeat("x", 900<<10))
	refused := false
	for i := 0; i < 40 && !refused; i++ {
		op := put(t, "a", engine.Upsert)
		op.Kind, op.ID = engine.OpAddChunks, "a"
		op.Doc.Chunks[0].ID, op.Doc.Chunks[0].Metadata = fmt.Sprintf("more-%d", i), big
		_, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{op}})
		if refused = err != nil; refused {
			wantCode(t, err, change.TooLarge)
		}
	}
	if !refused {
		t.Fatal("a document grows without a limit")
	}
	title := "patched"
	commit(t, db, engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "a", Patch: &engine.Patch{Title: &title}})
	commit(t, db, put(t, "a", engine.Upsert))
	commit(t, db, engine.Op{Kind: engine.OpDelete, Library: "lib", ID: "a"})
}

// TestSpread: a title or metadata that every one of many chunks would be found by is
// refused, however the document comes to be so, and what is within the limit is taken.
func TestSpread(t *testing.T) {
	db := openWithLibrary(t, "lib")
	chunks := func(n int) *docjson.Document {
		d := &docjson.Document{}
		for range n {
			d.Chunks = append(d.Chunks, change.Chunk{Text: "x", Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{1, 2})}}})
		}
		return d
	}
	refused := func(what string, op engine.Op) {
		t.Helper()
		_, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{op}})
		var e *change.Error
		if !errors.As(err, &e) || e.Code != change.TooLarge || e.Extra["limit"] != engine.MaxSpreadBytes {
			t.Errorf("%s: %v", what, err)
		}
	}
	long := strings.Repeat("long ", engine.MaxSpreadBytes/100/5)
	d := chunks(101)
	d.Title = long
	refused("put", engine.Op{Kind: engine.OpPut, Library: "lib", ID: "a", Doc: d})
	d = chunks(99)
	d.Title = long
	commit(t, db, engine.Op{Kind: engine.OpPut, Library: "lib", ID: "a", Doc: d})
	refused("add chunks", engine.Op{Kind: engine.OpAddChunks, Library: "lib", ID: "a", Doc: chunks(2)})
	commit(t, db, engine.Op{Kind: engine.OpPut, Library: "lib", ID: "b", Doc: chunks(101)})
	refused("patch", engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "b", Patch: &engine.Patch{Title: &long}})
	refused("patch", engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "b", Patch: &engine.Patch{Metadata: []byte(`{"a":"` + long + `"}`)}})
}
