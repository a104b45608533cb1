package engine_test

import (
	"fmt"
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
