package engine_test

import (
	"fmt"
	"testing"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Once a group is done its documents are the caller's again, who writes over
// them: nothing that outlives the group may refer to their ids.
func TestDocumentsAreTheCallersAfterTheirGroup(t *testing.T) {
	db := openWithLibrary(t, "lib")
	for round := range 50 {
		var lines [][]byte
		var ops []engine.Op
		for range 3 { // the same id again and again, as in an upload with duplicates
			line := fmt.Appendf(nil, `{"id":"document-%04d","chunks":[{"text":"t","embedding":[1,2]}]}`, round)
			d := new(docjson.Document)
			if err := docjson.Parse(d, line, docjson.Limits{}); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
			ops = append(ops, engine.Op{Kind: engine.OpPut, Library: "lib", Mode: engine.Upsert, Doc: d})
		}
		commit(t, db, ops...)
		for _, line := range lines {
			for i := range line {
				line[i] = byte('a' + (round+i)%26)
			}
		}
	}
	commit(t, db, put(t, "last", engine.Upsert))
	if n := db.InFlight(); n != 1 {
		t.Fatalf("%d documents are in flight after one commit, want 1", n)
	}
}
