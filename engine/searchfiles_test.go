package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// grow fills a database with a random history.
func grow(t *testing.T, db *engine.DB, seed uint64, steps int) {
	t.Helper()
	g := &generator{r: rand.New(rand.NewPCG(seed, 1)), m: newModel()}
	for range steps {
		s := g.step()
		take(t, db, s)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestDamagedSnapshots damages each file of the search indexes in several ways. The
// next start names it, builds what it held from the primaries, and finds the same.
func TestDamagedSnapshots(t *testing.T) {
	mem := vfs.NewMem()
	db := open(t, small(mem))
	grow(t, db, 11, 150)
	// The log does not go back to the beginning: what is damaged is built of what else
	// there is.
	if err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if r, err := db.Trim(engine.Retention{Age: engine.RetainForever, MaxBytes: 1}); err != nil || r.Segments == 0 {
		t.Fatal(r, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("db/search")
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func(b []byte) []byte{
		"flipped":   func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b },
		"truncated": func(b []byte) []byte { return b[:len(b)/3] },
		"empty":     func([]byte) []byte { return nil },
		"gone":      nil,
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range names {
		for what, change := range damage {
			t.Run(name+" "+what, func(t *testing.T) {
				fs := copyFS(t, mem)
				path := "db/search/" + name
				if change == nil {
					if err := fs.Remove(path); err != nil {
						t.Fatal(err)
					}
				} else {
					writeTo(t, fs, path, change(readFrom(t, fs, path)))
				}
				var logged syncBuffer
				o := small(fs)
				o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
				db := open(t, o)
				if !strings.Contains(logged.String(), name) && !(name == "MANIFEST" && what == "gone") {
					t.Errorf("%s is not named:\n%s", name, logged.String())
				}
				checkSearch(t, db, r)
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				logged.b.Reset()
				db = open(t, o)
				if s := logged.String(); strings.Contains(s, "anew") {
					t.Errorf("after it was built, the next start builds again:\n%s", s)
				}
				checkSearch(t, db, r)
			})
		}
	}
}

func readFrom(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeTo(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func copyFS(t *testing.T, from *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	if _, err := vfs.Clone(from, to, "db", "db"); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRebuildBesideWrites builds a library's index anew while it is written to and
// searched: a search waits, and then finds every write that was acknowledged.
func TestRebuildBesideWrites(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.SegmentSize, o.MemTableBytes = 1<<20, 4<<20
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for i := range 3000 {
		commit(t, db, put(t, fmt.Sprint("old-", i), engine.Upsert))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("db/search/MANIFEST"); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for w := range 3 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := fmt.Sprintf("new-%d-%d", w, i%50)
				word := fmt.Sprintf("word%dx%d", w, i)
				vec := []float32{float32(i), float32(w) + 0.5}
				d := &docjson.Document{Chunks: []change.Chunk{{Text: word, Metadata: fmt.Appendf(nil, `{"w":%d,"i":%d}`, w, i), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, vec)}}}}}
				if _, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpPut, Library: "lib", ID: id, Doc: d}}}); err != nil {
					t.Error(err)
					return
				}
				f := parseTestFilter(t, fmt.Sprintf(`{"w":%d,"i":%d}`, w, i))
				for _, req := range []*engine.SearchRequest{
					{Mode: engine.VectorSearch, Embedding: vec, K: 3, Filter: f},
					{Mode: engine.KeywordSearch, Query: word, K: 3},
				} {
					r, err := searchWhenBuilt(db, "lib", req)
					if err != nil {
						t.Error(err)
						return
					}
					if doc := ""; r.Len() > 0 {
						if doc, _ = r.ID(0); doc != id {
							t.Errorf("%s search for %s found %s", req.Mode, id, doc)
						}
					} else {
						t.Errorf("%s search does not find %s, which was acknowledged", req.Mode, id)
					}
					r.Close()
				}
			}
		})
	}
	time.AfterFunc(time.Second, func() { stop.Store(true) })
	wg.Wait()
	checkSearch(t, db, rand.New(rand.NewPCG(5, 5)))
}

// TestCheckpointWhileBuilding makes a checkpoint while a library's index is being
// built, and crashes when the store is ahead of it: the next start meets changes of a
// library of which nothing was saved.
func TestCheckpointWhileBuilding(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := small(mem)
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for i := range 50 {
		commit(t, db, put(t, fmt.Sprint("old-", i), engine.Upsert))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("db/search/MANIFEST"); err != nil {
		t.Fatal(err)
	}
	building, built := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var full atomic.Bool
	again := o
	again.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasPrefix(op.Path, "db/vectors/") && bytes.Contains(debug.Stack(), []byte("rebuildSearch")) {
			once.Do(func() { close(building) })
			<-built
		}
		if full.Load() && op.Kind == errorfs.OpCreate && strings.HasPrefix(op.Path, "db/search/") {
			return errors.New("injected")
		}
		return nil
	}))
	db, err := engine.Open("db", again)
	if err != nil {
		t.Fatal(err)
	}
	<-building
	if err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	commit(t, db, put(t, "new", engine.Upsert))
	full.Store(true)
	if err := db.Checkpoint(); err == nil {
		t.Fatal("a checkpoint that could not save the indexes is no fault")
	}
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	full.Store(false)
	close(built)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	r, err := searchWhenBuilt(db, "lib", &engine.SearchRequest{Mode: engine.KeywordSearch, Query: "hello", K: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Len() != 51 {
		t.Errorf("%d hits, want 51", r.Len())
	}
}

// TestRebuildOfManyBesideWrites builds the indexes of many libraries anew while each of
// them is written to (for the race detector).
func TestRebuildOfManyBesideWrites(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.SegmentSize, o.MemTableBytes = 1<<20, 4<<20
	db := open(t, o)
	for i := range 40 {
		makeLibrary(t, db, fmt.Sprint("l", i))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("db/search/MANIFEST"); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	for i := range 40 {
		for j := range 20 {
			op := put(t, fmt.Sprint("d", j), engine.Upsert)
			op.Library = fmt.Sprint("l", (i*7+j)%40)
			commit(t, db, op)
		}
	}
	checkSearch(t, db, rand.New(rand.NewPCG(6, 6)))
}

// TestFailedCheckpointsLeaveNothing fails checkpoints again and again while they write:
// what they wrote is removed.
func TestFailedCheckpointsLeaveNothing(t *testing.T) {
	mem := vfs.NewMem()
	var failing atomic.Bool
	db := open(t, small(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpFileSync && strings.HasPrefix(op.Path, "db/search/") && (strings.HasSuffix(op.Path, ".seg") || strings.Contains(op.Path, "MANIFEST")) {
			return errors.New("injected")
		}
		return nil
	}))))
	makeLibrary(t, db, "lib")
	for round := range 20 {
		for i := range 10 {
			commit(t, db, put(t, fmt.Sprint(round, "-", i), engine.Upsert))
		}
		failing.Store(true)
		if err := db.Checkpoint(); err == nil {
			t.Fatal("it did not fail")
		}
		failing.Store(false)
		if err := db.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	var m struct {
		Libraries []struct{ Parts, Extents []string }
	}
	_, body, _ := strings.Cut(string(readFrom(t, mem, "db/search/MANIFEST")), "\n")
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("db/search")
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + len(m.Libraries[0].Parts) + len(m.Libraries[0].Extents); len(names) != want {
		t.Errorf("%d files, the manifest names %d with itself: %v", len(names), want, names)
	}
}

// TestCloseBesideSearches closes a database under those who search and write: they are
// told so, and nothing panics.
func TestCloseBesideSearches(t *testing.T) {
	o := small(vfs.NewMem())
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	makeLibrary(t, db, "lib")
	for i := range 300 {
		commit(t, db, put(t, fmt.Sprint(i), engine.Upsert))
	}
	var wg sync.WaitGroup
	var closed atomic.Bool
	for w := range 4 {
		wg.Go(func() {
			for after := 0; after < 3; {
				if closed.Load() {
					after++
				}
				r, err := db.Search(ctx, "lib", &engine.SearchRequest{Mode: engine.HybridSearch, Query: "hello", Embedding: []float32{3, 4}, K: 100})
				if err == nil {
					for i := range r.Len() {
						if _, err := r.AppendHit(nil, i, engine.HitOptions{Text: true, Embedding: true, Metadata: true}, ""); err != nil {
							t.Error(err)
						}
					}
					r.Close()
				}
				_, werr := db.Commit(ctx, &engine.Group{Ops: []engine.Op{put(t, fmt.Sprint(w), engine.Upsert)}})
				for _, err := range []error{err, werr} {
					var e *change.Error
					if err != nil && (!errors.As(err, &e) || e.Code != change.ShuttingDown) {
						t.Errorf("%v", err)
						return
					}
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	closed.Store(true)
	wg.Wait()
}

// TestStrayDirectory: what cannot be removed from the directory of the indexes is no
// reason to build them anew.
func TestStrayDirectory(t *testing.T) {
	mem := vfs.NewMem()
	var logged syncBuffer
	o := small(mem)
	o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	db := open(t, o)
	makeLibrary(t, db, "lib")
	commit(t, db, put(t, "a", engine.Upsert))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.MkdirAll("db/search/lost+found/x", 0o755); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	if s := logged.String(); strings.Contains(s, "anew") {
		t.Error(s)
	}
	checkSearch(t, db, rand.New(rand.NewPCG(7, 7)))
}

// TestDeadSlotsAreGivenBack patches a document again and again, which gives its chunks
// new slots each time: the index is built anew, beside searches and writes, and does
// not grow with the number of writes.
func TestDeadSlotsAreGivenBack(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	db := open(t, o)
	makeLibrary(t, db, "lib")
	for i := range 5 {
		commit(t, db, put(t, fmt.Sprint("other-", i), engine.Upsert))
	}
	d := &docjson.Document{}
	for i := range 20 {
		d.Chunks = append(d.Chunks, change.Chunk{Text: fmt.Sprint("hello word", i), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{float32(i), 1})}}})
	}
	commit(t, db, engine.Op{Kind: engine.OpPut, Library: "lib", ID: "doc", Doc: d})
	r := rand.New(rand.NewPCG(8, 8))
	patch := func(i int) {
		title := fmt.Sprint("title", i)
		commit(t, db, engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "doc", Patch: &engine.Patch{Title: &title}})
	}
	bounded := func() bool { s := db.Status().Search; return s.Slots < 1200 && s.Live == 25 }
	for round := range 4 {
		for i := range 200 {
			patch(1000*round + i)
			if i%50 == 0 {
				checkSearch(t, db, r)
			}
		}
		for i := 0; !bounded(); i++ { // a write now and then has it looked at
			patch(1000*round + 200 + i)
			time.Sleep(time.Millisecond)
			if i > 30_000 {
				t.Fatalf("%+v", db.Status().Search)
			}
		}
		if err := db.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		checkSearch(t, db, r)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, o)
	if s := db.Status().Search; !bounded() {
		t.Errorf("after a restart: %+v", s)
	}
	checkSearch(t, db, r)
}
