package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/engine/ingest"
)

// Uploads side by side use each other's batches again: every document must hold
// what its own line said, whatever ids come twice, lines that fail and lengths.
func TestBatchesUsedAgainMixNothing(t *testing.T) {
	db, lib := openMem(t)
	first := `{"id":"first","chunks":[{"text":"it fixes the dimension","embedding":[1,2]}]}`
	if _, err := ingest.Run(context.Background(), db, strings.NewReader(first), ingest.Options{Library: lib}, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	type want struct {
		text, title string
		vec         float32
	}
	var mu sync.Mutex
	all := map[string]want{}
	for g := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 5))
			for up := range 12 {
				var body bytes.Buffer
				bad, good := 0, 0
				mine := map[string]want{}
				for n := range 40 + r.IntN(400) {
					switch r.IntN(12) {
					case 0:
						fmt.Fprintf(&body, "{\"id\":\"bad-%d-%d-%d\",\"chunks\":[{\"text\":\"x\",\"embedding\":[1,2,3]}]}\n", g, up, n)
						bad++
						continue
					case 1:
						fmt.Fprintf(&body, "{\"id\":\"bad-%d\",\"nonsense%d\":1}\n", n, n)
						bad++
						continue
					case 2:
						body.WriteString("\r\n")
						continue
					}
					id := fmt.Sprintf("doc-%d-%03d", g, r.IntN(150)) // again and again
					size := 1 + r.IntN(200)
					if r.IntN(40) == 0 {
						size = 30_000 + r.IntN(200_000)
					}
					w := want{text: strings.Repeat(fmt.Sprintf("%s.%d.%d ", id, up, n), 1+size/20), title: fmt.Sprintf("title of %s at %d.%d", id, up, n), vec: float32(n + 1)}
					title := w.title
					if r.IntN(3) == 0 {
						title, w.title = "\\u0041"+title, "A"+title
					}
					fmt.Fprintf(&body, "{\"id\":%q,\"title\":\"%s\",\"metadata\":{\"of\":%q},\"chunks\":[{\"text\":%q,\"embedding\":[%g,1]}]}\n", id, title, id, w.text, w.vec)
					mine[id] = w
					good++
				}
				o := ingest.Options{Library: lib, Mode: engine.Upsert}
				if r.IntN(2) == 0 {
					o.Source = fmt.Sprintf("source-%d-%d", g, up)
				}
				sum, err := ingest.Run(context.Background(), db, &body, o, nil)
				if err != nil || !sum.Complete || int(sum.Failed) != bad || int(sum.Successful) != good {
					t.Errorf("%+v, %v; want %d good, %d bad", sum, err, good, bad)
					return
				}
				for i, e := range sum.Errors {
					if e.Code != change.InvalidArgument && e.Code != change.DimensionMismatch || strings.ContainsRune(e.Detail, '\x00') {
						t.Errorf("error %d: %+v", i, e)
					}
				}
				mu.Lock()
				for id, w := range mine {
					all[id] = w
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	snap := db.Snapshot()
	defer snap.Close()
	lib = library(t, db) // it has a dimension now
	for id, w := range all {
		v, err := snap.Document(lib, id, true)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		var meta struct{ Of string }
		if err := json.Unmarshal(v.Metadata, &meta); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if v.ID != id || v.Title != w.title || meta.Of != id || len(v.Chunks) != 1 || v.Chunks[0].Text != w.text {
			t.Fatalf("%s holds %.60q %s %.60q, want %.60q %.60q", id, v.Title, v.Metadata, v.Chunks[0].Text, w.title, w.text)
		}
		if got := v.Chunks[0].Vectors[0].Floats(nil); got[0] != w.vec || got[1] != 1 {
			t.Fatalf("%s holds the vector %v, want %g 1", id, got, w.vec)
		}
	}
	if n, err := snap.Count(lib, nil); err != nil || int(n) != len(all)+1 {
		t.Errorf("%d documents, %v; want %d", n, err, len(all)+1)
	}
}
