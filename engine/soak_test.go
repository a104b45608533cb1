package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// soakTime is how long TestSearchSoak takes. ARRWDB_SOAK sets it for the long form.
func soakTime(t *testing.T) time.Duration {
	if s := os.Getenv("ARRWDB_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if testing.Short() {
		return time.Second
	}
	return 3 * time.Second
}

// A soaker is one writer of the soak: what it has had acknowledged it looks for.
type soaker struct {
	t     *testing.T
	n     int
	r     *rand.Rand
	count int
	docs  map[string]*soakDoc // as acknowledged
}

type soakDoc struct {
	word, title string
	n           int
	vector      []float32
}

const soakDim = 16

// TestSearchSoak writes, replaces, patches and deletes from several goroutines. Each
// looks for what it has just had acknowledged by its own vector, words and metadata,
// and for what is gone, while segments are built and merged, checkpoints made, the
// database closed and opened, and its snapshots lost.
func TestSearchSoak(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := filepath.Join(t.TempDir(), "db")
	o := small(vfs.Default)
	o.SegmentSize, o.MemTableBytes, o.TailSlots, o.RowBlockBytes, o.RowBlocksPerFile = 4<<20, 8<<20, 64, 64<<10, 64
	o.CheckpointInterval, o.CheckpointBytes = 300*time.Millisecond, 8<<20
	writers := make([]*soaker, 4)
	for i := range writers {
		writers[i] = &soaker{t: t, n: i, r: rand.New(rand.NewPCG(seed, uint64(i))), docs: map[string]*soakDoc{}}
	}
	end := time.Now().Add(soakTime(t))
	rounds, checks := 0, 0
	for ; time.Now().Before(end) && !t.Failed(); rounds++ {
		if rounds%4 == 3 {
			if err := os.Remove(filepath.Join(dir, "search", "MANIFEST")); err != nil {
				t.Fatal(err)
			}
		}
		db, err := engine.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if rounds == 0 {
			makeLibrary(t, db, "lib")
		}
		var stop atomic.Bool
		pause := time.AfterFunc(min(time.Until(end), max(soakTime(t)/8, 200*time.Millisecond)), func() { stop.Store(true) })
		var wg sync.WaitGroup
		for _, w := range writers {
			wg.Go(func() {
				for !stop.Load() && !t.Failed() {
					w.step(db)
				}
			})
		}
		wg.Wait()
		pause.Stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range writers {
		checks += w.count
	}
	t.Logf("%d rounds, %d writes, each looked for three times", rounds, checks)
}

// step writes, and looks.
func (w *soaker) step(db *engine.DB) {
	w.count++
	id := fmt.Sprintf("w%d-%d", w.n, w.r.IntN(300))
	was := w.docs[id]
	var now *soakDoc
	var op engine.Op
	switch kind := w.r.IntN(10); {
	case was != nil && kind < 2:
		op = engine.Op{Kind: engine.OpDelete, Library: "lib", ID: id}
	case was != nil && kind < 5:
		now = &soakDoc{word: was.word, title: fmt.Sprintf("title%dx%d", w.n, w.count), n: w.count, vector: was.vector}
		op = engine.Op{Kind: engine.OpPatch, Library: "lib", ID: id, Patch: &engine.Patch{Title: &now.title, Metadata: fmt.Appendf(nil, `{"n":%d}`, now.n)}}
	default:
		now = &soakDoc{word: fmt.Sprintf("word%dx%d", w.n, w.count), title: fmt.Sprintf("title%dx%d", w.n, w.count), n: w.count}
		for range soakDim {
			now.vector = append(now.vector, float32(w.r.NormFloat64()))
		}
		doc := &docjson.Document{Title: now.title, Metadata: fmt.Appendf(nil, `{"w":%d,"n":%d}`, w.n, now.n),
			Chunks: []change.Chunk{{Text: "some text with " + now.word, Vectors: []change.Vector{{Raw: change.AppendRaw(nil, now.vector)}}}}}
		op = engine.Op{Kind: engine.OpPut, Library: "lib", ID: id, Doc: doc}
	}
	if _, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{op}, Atomic: true}); err != nil {
		w.t.Error(err)
		return
	}
	if delete(w.docs, id); now != nil {
		w.docs[id] = now
		w.found(db, id, now)
	}
	if was != nil {
		w.gone(db, id, was, now)
	}
}

func (w *soaker) found(db *engine.DB, id string, d *soakDoc) {
	w.first(db, id, "its vector", &engine.SearchRequest{Mode: engine.VectorSearch, Embedding: d.vector, K: 1})
	w.first(db, id, "its word", &engine.SearchRequest{Mode: engine.KeywordSearch, Query: d.word, K: 1})
	w.first(db, id, "its title", &engine.SearchRequest{Mode: engine.KeywordSearch, Query: d.title, K: 1})
	f := parseTestFilter(w.t, fmt.Sprintf(`{"w":%d,"n":%d}`, w.n, d.n))
	w.first(db, id, "its metadata", &engine.SearchRequest{Mode: engine.VectorSearch, Embedding: w.any(), K: 2, Filter: f})
}

// any is a vector that belongs to nobody.
func (w *soaker) any() []float32 {
	v := make([]float32, soakDim)
	for i := range v {
		v[i] = float32(w.r.NormFloat64())
	}
	return v
}

func (w *soaker) first(db *engine.DB, id, by string, req *engine.SearchRequest) {
	r, err := db.Search(ctx, "lib", req)
	if err != nil {
		w.t.Errorf("%s by %s: %v", id, by, err)
		return
	}
	defer r.Close()
	if r.Len() == 0 {
		w.t.Errorf("%s is not found by %s at seq %d", id, by, r.Seq)
		return
	}
	if doc, _ := r.ID(0); doc != id {
		w.t.Errorf("%s by %s: %s was found, %+v", id, by, doc, r.Hit(0))
	}
	if _, err := r.AppendHit(nil, 0, engine.HitOptions{Text: true, Metadata: true}, ""); err != nil {
		w.t.Errorf("%s by %s: %v", id, by, err)
	}
}

// gone looks for what a document was before.
func (w *soaker) gone(db *engine.DB, id string, was, now *soakDoc) {
	for _, word := range []string{was.word, was.title} {
		if now != nil && (word == now.word || word == now.title) {
			continue
		}
		r, err := db.Search(ctx, "lib", &engine.SearchRequest{Mode: engine.KeywordSearch, Query: word, K: 1})
		if err != nil {
			w.t.Error(err)
			return
		}
		if r.Len() > 0 {
			doc, _ := r.ID(0)
			w.t.Errorf("%s was replaced, and its %s still finds %s", id, word, doc)
		}
		r.Close()
	}
}
