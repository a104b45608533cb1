package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var ctx = context.Background()

func open(t testing.TB, o engine.Options) *engine.DB {
	t.Helper()
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		rep, err := engine.Verify(o.FS, "db", engine.VerifyOptions{Full: true})
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range rep.Problems {
			t.Error("verify:", p)
		}
	})
	return db
}

func openWithLibrary(t testing.TB, lib string) *engine.DB {
	t.Helper()
	db := open(t, small(vfs.NewMem()))
	makeLibrary(t, db, lib)
	return db
}

func makeLibrary(t testing.TB, db *engine.DB, id string) {
	t.Helper()
	if _, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &id, Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil); err != nil {
		t.Fatal(err)
	}
}

func doc(t testing.TB, json string) *docjson.Document {
	t.Helper()
	d := new(docjson.Document)
	if err := docjson.Parse(d, []byte(json), docjson.Limits{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t testing.TB, id string, mode engine.PutMode) engine.Op {
	return engine.Op{Kind: engine.OpPut, Library: "lib", ID: id, Mode: mode, Doc: doc(t, `{"title":"T","metadata":{"a":1},"chunks":[{"text":"hello","embedding":[1,2]}]}`)}
}

func commit(t testing.TB, db *engine.DB, ops ...engine.Op) *engine.Receipt {
	t.Helper()
	r, err := db.Commit(ctx, &engine.Group{Ops: ops, Atomic: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t testing.TB, db *engine.DB, id string) *docjson.View {
	t.Helper()
	s := db.Snapshot()
	defer s.Close()
	lib, err := s.Library("lib")
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Document(lib, id, true)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPutModesAndPreconditions(t *testing.T) {
	db := openWithLibrary(t, "lib")
	first := commit(t, db, put(t, "d", engine.Insert)).Outcomes[0]
	if first.Result != engine.Added || first.Seq != 2 {
		t.Fatalf("first insert: %+v", first)
	}
	_, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{put(t, "d", engine.Insert)}, Atomic: true})
	wantCode(t, err, change.AlreadyExists)
	if o := commit(t, db, put(t, "d", engine.Skip)).Outcomes[0]; o.Result != engine.Skipped || o.Seq != 2 {
		t.Errorf("skip: %+v", o)
	}
	second := commit(t, db, put(t, "d", engine.Upsert)).Outcomes[0]
	if second.Result != engine.Updated || second.Seq != 3 || second.CreatedAt != first.CreatedAt {
		t.Errorf("replace: %+v after %+v", second, first)
	}
	stale := uint64(2)
	op := put(t, "d", engine.Upsert)
	op.IfMatch = &stale
	_, err = db.Commit(ctx, &engine.Group{Ops: []engine.Op{op}, Atomic: true})
	wantCode(t, err, change.PreconditionFailed)
	fresh := uint64(3)
	op = put(t, "d", engine.Upsert)
	op.IfMatch = &fresh
	commit(t, db, op)
	commit(t, db, engine.Op{Kind: engine.OpDelete, Library: "lib", ID: "d"})
	_, err = db.Commit(ctx, &engine.Group{Ops: []engine.Op{{Kind: engine.OpDelete, Library: "lib", ID: "d"}}, Atomic: true})
	wantCode(t, err, change.DocumentNotFound)
	if v := db.Head().Seq; v != 5 {
		t.Errorf("head %d, want 5: failed and skipped writes take no seq", v)
	}
}

// Writes that are in flight together see each other: what one of them has been
// given a seq for is there for the next one, though neither is applied yet.
func TestPreconditionsSeeWritesInFlight(t *testing.T) {
	db := openWithLibrary(t, "lib")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 64 {
		wg.Go(func() {
			_, err := db.Commit(ctx, &engine.Group{Ops: []engine.Op{put(t, "one", engine.Insert)}, Atomic: true})
			mu.Lock()
			defer mu.Unlock()
			var e *change.Error
			switch {
			case err == nil:
				won++
			case !errors.As(err, &e) || e.Code != change.AlreadyExists:
				t.Errorf("a losing insert: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 64 inserts of one id succeeded", won)
	}
	// Counting up under If-Match: every increment happens exactly once.
	total := 0
	for range 8 {
		wg.Go(func() {
			for range 20 {
				for {
					v := get(t, db, "one")
					_, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpPatch, Library: "lib", ID: "one", IfMatch: &v.Seq,
						Patch: &engine.Patch{Metadata: fmt.Appendf(nil, `{"n":%d}`, count(v)+1)}}}})
					if err == nil {
						mu.Lock()
						total++
						mu.Unlock()
						break
					}
					wantCode(t, err, change.PreconditionFailed)
				}
			}
		})
	}
	wg.Wait()
	if n := count(get(t, db, "one")); n != 160 || total != 160 {
		t.Errorf("160 increments under If-Match made %d (%d acknowledged)", n, total)
	}
}

func count(v *docjson.View) int {
	n := 0
	if i := strings.Index(string(v.Metadata), `"n":`); i >= 0 {
		fmt.Sscanf(string(v.Metadata)[i:], `"n":%d`, &n)
	}
	return n
}

func TestAtomicGroupIsAllOrNothing(t *testing.T) {
	db := openWithLibrary(t, "lib")
	commit(t, db, put(t, "there", engine.Upsert))
	before := dumpDB(t, db)
	bad := doc(t, `{"embedding":[1,2,3]}`)
	_, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{
		put(t, "new", engine.Upsert),
		{Kind: engine.OpPatch, Library: "lib", ID: "there", Patch: &engine.Patch{Title: ptr("moved")}},
		{Kind: engine.OpAddChunks, Library: "lib", ID: "new", Doc: doc(t, `{"chunks":[{"embedding":[5,6]}]}`)},
		{Kind: engine.OpPut, Library: "lib", ID: "bad", Doc: bad},
	}})
	wantCode(t, err, change.DimensionMismatch)
	var e *change.Error
	if errors.As(err, &e); e.Extra["operation"] != 3 || e.Extra["expected"] != 2 || e.Extra["got"] != 3 {
		t.Errorf("the error does not name the operation and the dimensions: %+v", e)
	}
	if got := dumpDB(t, db); got != before {
		t.Errorf("a failed group left something: %s", diff(got, before))
	}
	// What the failed group had moved in memory is put back: the next group
	// gets the seq and the state as if it had never been.
	r := commit(t, db, put(t, "new", engine.Insert), engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "there", Patch: &engine.Patch{Metadata: []byte(`{"a":null,"b":2}`)}})
	if r.FirstSeq != 3 || r.LastSeq != 4 {
		t.Errorf("seqs %d…%d, want 3…4", r.FirstSeq, r.LastSeq)
	}
	if v := get(t, db, "there"); v.Title != "T" || string(v.Metadata) != `{"b":2}` {
		t.Errorf("patched: %q %s", v.Title, v.Metadata)
	}
}

func TestNonAtomicGroupLeavesOutWhatFails(t *testing.T) {
	db := openWithLibrary(t, "lib")
	r, err := db.Commit(ctx, &engine.Group{Source: &engine.SourceMove{Library: "lib", Name: "s", From: 0, To: 4}, Ops: []engine.Op{
		put(t, "x", engine.Insert), put(t, "x", engine.Insert), {Kind: engine.OpPut, Library: "lib", ID: "bad", Doc: doc(t, `{"embedding":[0,0]}`)}, put(t, "y", engine.Insert)}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range r.Outcomes {
		s := o.Result.String()
		if o.Err != nil {
			s += " " + string(o.Err.Code)
		}
		got = append(got, s)
	}
	if want := "added, failed already_exists, failed invalid_argument, added"; strings.Join(got, ", ") != want {
		t.Errorf("outcomes %v, want %s", got, want)
	}
	if r.FirstSeq != 2 || r.LastSeq != 3 {
		t.Errorf("seqs %d…%d, want 2…3", r.FirstSeq, r.LastSeq)
	}
	s := db.Snapshot()
	defer s.Close()
	lib, _ := s.Library("lib")
	if lines, seq, _ := s.Source(lib, "s"); lines != 4 || seq != 3 {
		t.Errorf("source at line %d, seq %d; want 4, 3", lines, seq)
	}
	_, err = db.Commit(ctx, &engine.Group{Source: &engine.SourceMove{Library: "lib", Name: "s", From: 3, To: 9}})
	wantCode(t, err, change.Conflict)
	// A group of nothing but failing lines still moves the source.
	r, err = db.Commit(ctx, &engine.Group{Source: &engine.SourceMove{Library: "lib", Name: "s", From: 4, To: 5}, Ops: []engine.Op{put(t, "x", engine.Insert)}})
	if err != nil || r.LastSeq != 0 || r.Position.Seq != 3 {
		t.Errorf("a group without changes: %+v, %v", r, err)
	}
	if _, err := db.DeleteSource(ctx, "lib", "s"); err != nil {
		t.Error(err)
	}
}

func TestChunks(t *testing.T) {
	db := openWithLibrary(t, "lib")
	commit(t, db, put(t, "d", engine.Upsert))
	r := commit(t, db, engine.Op{Kind: engine.OpAddChunks, Library: "lib", ID: "d", Doc: doc(t, `{"chunks":[{"text":"b","embedding":[3,4]},{"id":"z","text":"c","embedding":[5,6],"metadata":{"p":1}}]}`)})
	if r.FirstSeq != 3 || r.LastSeq != 4 || r.Outcomes[0].NumChunks != 3 {
		t.Errorf("adding two chunks: %+v", r)
	}
	_, err := db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpAddChunks, Library: "lib", ID: "d", Doc: doc(t, `{"chunks":[{"id":"z","embedding":[3,4]}]}`)}}})
	wantCode(t, err, change.AlreadyExists)
	commit(t, db, engine.Op{Kind: engine.OpDeleteChunk, Library: "lib", ID: "d", Chunk: "0"})
	v := get(t, db, "d")
	if v.Seq != 5 || v.NumChunks != 2 || v.Chunks[0].ID != "1" || v.Chunks[1].ID != "z" || string(v.Chunks[1].Metadata) != `{"p":1}` {
		t.Errorf("after deleting chunk 0: %+v", v)
	}
	if f := v.Chunks[1].Vectors[0].Floats(nil); f[0] != 5 || f[1] != 6 {
		t.Errorf("vector of chunk z: %v", f)
	}
	_, err = db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpDeleteChunk, Library: "lib", ID: "d", Chunk: "0"}}})
	wantCode(t, err, change.ChunkNotFound)
	commit(t, db, engine.Op{Kind: engine.OpDeleteChunk, Library: "lib", ID: "d", Chunk: "1"})
	_, err = db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpDeleteChunk, Library: "lib", ID: "d", Chunk: "z"}}})
	wantCode(t, err, change.Conflict)
	// Adding and deleting within one group, on a document made in it.
	commit(t, db, put(t, "e", engine.Upsert),
		engine.Op{Kind: engine.OpAddChunks, Library: "lib", ID: "e", Doc: doc(t, `{"chunks":[{"id":"k","embedding":[7,8]}]}`)},
		engine.Op{Kind: engine.OpDeleteChunk, Library: "lib", ID: "e", Chunk: "0"},
		engine.Op{Kind: engine.OpPatch, Library: "lib", ID: "e", Patch: &engine.Patch{Title: ptr("E")}})
	if v := get(t, db, "e"); v.NumChunks != 1 || v.Chunks[0].ID != "k" || v.Title != "E" {
		t.Errorf("within one group: %+v", v)
	}
}

func TestOnce(t *testing.T) {
	fs := vfs.NewMem()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := small(fs)
	o.Now = func() time.Time { return now }
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	makeLibrary(t, db, "lib")
	once := func(key, fingerprint string) *engine.Once {
		return &engine.Once{Key: []byte(key), Fingerprint: []byte(fingerprint), Render: func(out []engine.Outcome) (int, []byte) {
			return 201, fmt.Appendf(nil, "made %s at %d", out[0].ID, out[0].Seq)
		}}
	}
	write := func(key, fingerprint string) (*engine.Receipt, error) {
		return db.Commit(ctx, &engine.Group{Atomic: true, Ops: []engine.Op{put(t, "", engine.Insert)}, Once: once(key, fingerprint)})
	}
	r, err := write("k", "f")
	if err != nil || r.Replayed != nil {
		t.Fatal(r, err)
	}
	want := fmt.Sprintf("made %s at 2", r.Outcomes[0].ID)
	again := func(what string) {
		t.Helper()
		r, err := write("k", "f")
		if err != nil || r.Replayed == nil || string(r.Replayed.Answer) != want || r.Replayed.Status != 201 {
			t.Fatalf("%s: %+v, %v; want the answer %q", what, r, err, want)
		}
	}
	again("at once")
	_, err = write("k", "other")
	wantCode(t, err, change.Conflict)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = engine.Open("db", o); err != nil {
		t.Fatal(err)
	}
	again("after a restart")
	now = now.Add(24*time.Hour - time.Minute)
	again("just before it is forgotten")
	now = now.Add(2 * time.Minute)
	if r, err := write("k", "new"); err != nil || r.Replayed != nil {
		t.Errorf("after 24 h: %+v, %v", r, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKeys(t *testing.T) {
	fs := vfs.NewMem()
	db, err := engine.Open("db", small(fs))
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := db.CreateKey(ctx, engine.KeySpec{Name: "n", Role: "write", Libraries: []string{"lib"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = db.CreateKey(ctx, engine.KeySpec{Role: "root"})
	wantCode(t, err, change.InvalidArgument)
	expires := time.Now().Add(time.Hour)
	_, dated, err := db.CreateKey(ctx, engine.KeySpec{Role: "read", ExpiresAt: &expires})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if k, ok := db.Authenticate(secret, time.Now()); !ok || k.ID != key.ID || !k.Allows("lib") || k.Allows("other") {
			t.Errorf("the key opens %+v, %v", k, ok)
		}
		if _, ok := db.Authenticate(secret+"x", time.Now()); ok {
			t.Error("a wrong secret opens")
		}
		if _, ok := db.Authenticate(dated, expires.Add(-time.Second)); !ok {
			t.Error("a key does not open before it expires")
		}
		if _, ok := db.Authenticate(dated, expires); ok {
			t.Error("a key opens after it has expired")
		}
	}
	check()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = engine.Open("db", small(fs)); err != nil {
		t.Fatal(err)
	}
	check()
	if err := db.RevokeKey(ctx, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := db.Authenticate(secret, time.Now()); ok || db.KeyValid(key.ID, time.Now()) {
		t.Error("a revoked key opens")
	}
	wantCode(t, db.RevokeKey(ctx, key.ID), change.NotFound)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPositions(t *testing.T) {
	db := openWithLibrary(t, "lib")
	commit(t, db, put(t, "a", engine.Upsert))
	r := commit(t, db, put(t, "b", engine.Upsert), put(t, "c", engine.Upsert))
	if err := db.CheckPosition(r.Position); err != nil || r.Position != db.Head() {
		t.Errorf("position %s of a receipt, head %s: %v", r.Position, db.Head(), err)
	}
	for seq := uint64(0); seq <= 4; seq++ {
		p, err := db.PositionAt(seq)
		if err != nil {
			t.Fatalf("PositionAt(%d): %v", seq, err)
		}
		if err := db.CheckPosition(p); err != nil {
			t.Errorf("CheckPosition(%s): %v", p, err)
		}
		p.Check ^= 1
		if err := db.CheckPosition(p); err == nil || err.Code != change.Diverged {
			t.Errorf("with another check: %v", err)
		}
	}
	p := r.Position
	p.Seq, p.HasCheck = 5, false
	if err := db.CheckPosition(p); err == nil || err.Code != change.Ahead {
		t.Errorf("past the head: %v", err)
	}
	p.Epoch++
	if err := db.CheckPosition(p); err == nil || err.Code != change.Diverged {
		t.Errorf("of another epoch: %v", err)
	}
}

func TestWaitVisible(t *testing.T) {
	db := openWithLibrary(t, "lib")
	done := make(chan error, 1)
	go func() { done <- db.WaitVisible(ctx, 3) }()
	commit(t, db, put(t, "a", engine.Upsert))
	commit(t, db, put(t, "b", engine.Upsert))
	if err := <-done; err != nil {
		t.Error(err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := db.WaitVisible(short, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is given up: %v", err)
	}
}

func TestFilterAndList(t *testing.T) {
	db := openWithLibrary(t, "lib")
	for i := range 30 {
		commit(t, db, engine.Op{Kind: engine.OpPut, Library: "lib", ID: fmt.Sprintf("d%02d", i), Doc: doc(t, fmt.Sprintf(`{"metadata":{"n":%d},"embedding":[1,1]}`, i))})
	}
	f, err := filter.Parse([]byte(`{"n":{"$gte":10}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := db.Snapshot()
	defer s.Close()
	lib, _ := s.Library("lib")
	if n, err := s.Count(lib, f); n != 20 || err != nil {
		t.Errorf("count %d, %v; want 20", n, err)
	}
	var ids []string
	s.Documents(lib, "d14", f, engine.ReadOptions{NoChunks: true}, func(v *docjson.View) bool {
		ids = append(ids, v.ID)
		return len(ids) < 3
	})
	if strings.Join(ids, " ") != "d15 d16 d17" {
		t.Errorf("listed %v", ids)
	}
	// A snapshot stays as it was, vectors included, while its library goes.
	if _, err := db.DeleteLibrary(ctx, "lib"); err != nil {
		t.Fatal(err)
	}
	makeLibrary(t, db, "lib")
	if err := db.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		commit(t, db, engine.Op{Kind: engine.OpPut, Library: "lib", ID: fmt.Sprintf("d%02d", i), Doc: doc(t, `{"embedding":[9,9]}`)})
	}
	if v, err := s.Document(lib, "d07", true); err != nil || v.Chunks[0].Vectors[0].Floats(nil)[0] != 1 {
		t.Errorf("from the old snapshot: %+v, %v", v, err)
	}
}

func TestDirectoryIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	o := small(nil)
	db, err := engine.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = engine.Open(dir, o)
	var inUse *engine.InUseError
	if !errors.As(err, &inUse) {
		t.Fatalf("a second open: %v", err)
	}
	o.Create = false
	if _, err := engine.Open(t.TempDir(), o); !errors.Is(err, engine.ErrNoDatabase) {
		t.Errorf("an empty directory: %v", err)
	}
}
