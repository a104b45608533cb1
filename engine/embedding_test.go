package engine_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/embed"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// A library without further settings embeds what comes without a vector, keeps
// vectors that come, and pins its model.
func TestBuiltinEmbedding(t *testing.T) {
	db := open(t, small(vfs.NewMem()))
	id := "lib"
	lib, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &id}, nil)
	if err != nil {
		t.Fatal(err)
	}
	info := embed.Builtin().Info()
	if lib.Embedding.Provider != "builtin" || lib.Embedding.Model != info.Model || lib.Embedding.Hash != info.Hash || int(lib.Dimension) != info.Dimension {
		t.Fatalf("%+v, dimension %d", lib.Embedding, lib.Dimension)
	}
	own := strings.Repeat("0.5,", 99) + "2"
	texts := []string{"a cat sat on the mat", "ein Hund", ""}
	for i, body := range []string{
		`{"id":"a","texts":["a cat sat on the mat","ein Hund",""]}`,
		`{"id":"b","chunks":[{"text":"with its own","embedding":[` + own + `]},{"text":"ein Hund"}]}`,
	} {
		doc := new(docjson.Document)
		if err := docjson.Parse(doc, []byte(body), docjson.Limits{}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{{Kind: engine.OpPut, Library: "lib", Doc: doc}}, Atomic: true}); err != nil {
			t.Fatal(i, err)
		}
	}
	vectors, err := embed.Builtin().Embed(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	s := db.Snapshot()
	defer s.Close()
	view, err := s.Document(lib, "a", true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		if got := string(view.Chunks[i].Vectors[0].Raw); got != string(change.AppendRaw(nil, vectors[i])) {
			t.Errorf("chunk %d has another vector than its text", i)
		}
	}
	if view, err = s.Document(lib, "b", true); err != nil {
		t.Fatal(err)
	}
	floats := view.Chunks[0].Vectors[0].Floats(nil)
	if floats[0] != 0.5 || floats[99] != 2 || string(view.Chunks[1].Vectors[0].Raw) != string(change.AppendRaw(nil, vectors[1])) {
		t.Error("a chunk with its own vector does not keep it, or one without beside it has none")
	}
	doc := &docjson.Document{Chunks: []change.Chunk{{Text: "x", Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{1, 2})}}}}}
	_, err = db.Commit(ctx, &engine.Group{Ops: []engine.Op{{Kind: engine.OpPut, Library: "lib", ID: "c", Doc: doc}}, Atomic: true})
	wantCode(t, err, change.DimensionMismatch)
}

func TestSplitText(t *testing.T) {
	db := open(t, small(vfs.NewMem()))
	words := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "w%d ", i)
		}
		return strings.TrimSpace(b.String())
	}
	n := 0
	for _, c := range []struct {
		max, overlap int
		text         string
		want         []string
	}{
		{4, 1, " short text\n", []string{" short text\n"}},
		{4, 1, "", []string{""}},
		{4, 1, " \n", []string{" \n"}},
		{4, 1, words(0, 4), []string{words(0, 4)}},
		{4, 1, words(0, 5), []string{words(0, 4), words(3, 5)}},
		{4, 1, words(0, 7) + "\n", []string{words(0, 4), words(3, 7)}},
		{4, 0, words(0, 9), []string{words(0, 4), words(4, 8), words(8, 9)}},
		{1, 0, "a  b\tc", []string{"a", "b", "c"}},
		{2, 1, "ä ö\u2003ü", []string{"ä ö", "ö\u2003ü"}},
		{3, 2, words(0, 6), []string{words(0, 3), words(1, 4), words(2, 5), words(3, 6)}},
	} {
		n++
		id := fmt.Sprint("l", n)
		lib, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &id, Chunking: &engine.ChunkingSpec{MaxWords: &c.max, Overlap: &c.overlap}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		doc := &docjson.Document{Text: c.text, HasText: true}
		if _, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{{Kind: engine.OpPut, Library: id, ID: "d", Doc: doc}}, Atomic: true}); err != nil {
			t.Fatal(err)
		}
		s := db.Snapshot()
		view, err := s.Document(lib, "d", true)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ch := range view.Chunks {
			got = append(got, ch.Text)
			norm := 0.0
			for _, f := range ch.Vectors[0].Floats(nil) {
				norm += float64(f) * float64(f)
			}
			if math.Abs(norm-1) > 1e-5 {
				t.Errorf("%q: a vector of length %v", ch.Text, math.Sqrt(norm))
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("max %d, overlap %d, %q: got %q, want %q", c.max, c.overlap, c.text, got, c.want)
		}
	}
}
