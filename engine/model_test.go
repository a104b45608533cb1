package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// small makes every structure small, so that a short run rolls segments, fills
// blocks and flushes memtables.
func small(fs vfs.FS) engine.Options {
	return engine.Options{FS: fs, Create: true, SegmentSize: 4 << 10, MemTableBytes: 64 << 10, CacheBytes: 1 << 20,
		RowBlockBytes: 1 << 10, RowBlocksPerFile: 8, TailSlots: 8, CheckpointInterval: -1, Logger: quiet}
}

// A model is the naive twin of the database.
type model struct {
	libs    map[string]*modelLib
	sources map[string]uint64 // library/name
	seq     uint64
}

type modelLib struct {
	dim  int
	docs map[string]*modelDoc
}

type modelDoc struct {
	seq      uint64
	title    string
	metadata string
	chunks   []modelChunk
}

type modelChunk struct{ id, text, metadata, vector string }

func newModel() *model {
	return &model{libs: map[string]*modelLib{}, sources: map[string]uint64{}}
}

// A step is one group with what it does to the model. The model's effect is
// worked out ahead, so that a group that was never acknowledged can be checked
// too.
type step struct {
	group  *engine.Group
	lib    func(db *engine.DB) error // instead of group, for library operations
	effect func(m *model)
	last   uint64 // head after the step
}

func (m *model) next() uint64 { m.seq++; return m.seq }

// A generator makes random steps that all succeed.
type generator struct {
	r *rand.Rand
	m *model // the state after all steps so far
	n int
}

var libraryIDs = []string{"a", "b", "c"}

func dimOf(lib string) int { return map[string]int{"a": 4, "b": 7, "c": 30}[lib] }

func (g *generator) step() *step {
	g.n++
	lib := libraryIDs[g.r.IntN(len(libraryIDs))]
	s := &step{}
	l := g.m.libs[lib]
	switch {
	case l == nil:
		s.lib = func(db *engine.DB) error {
			_, _, err := db.CreateLibrary(context.Background(), &engine.LibrarySpec{ID: &lib, Embedding: &engine.EmbeddingSettings{Provider: "none"}}, nil)
			return err
		}
		s.effect = func(m *model) { m.next(); m.libs[lib] = &modelLib{docs: map[string]*modelDoc{}} }
	case g.r.IntN(150) == 0:
		s.lib = func(db *engine.DB) error {
			_, err := db.DeleteLibrary(context.Background(), lib)
			return err
		}
		s.effect = func(m *model) {
			m.next()
			delete(m.libs, lib)
			for k := range m.sources {
				if strings.HasPrefix(k, lib+"/") {
					delete(m.sources, k)
				}
			}
		}
	default:
		g.documents(s, lib)
	}
	s.effect(g.m)
	s.last = g.m.seq
	return s
}

// documents makes a group of document writes. Each op is made against the state
// that the ops before it leave, on a scratch copy of the library.
func (g *generator) documents(s *step, lib string) {
	scratch := &model{libs: map[string]*modelLib{lib: g.m.libs[lib].clone()}, sources: map[string]uint64{}, seq: g.m.seq}
	s.group = &engine.Group{Atomic: g.r.IntN(2) == 0}
	n := 1
	if g.r.IntN(3) == 0 {
		n += g.r.IntN(6)
	}
	var effects []func(m *model)
	for range n {
		op, effect := g.op(scratch.libs[lib], lib)
		effect(scratch)
		s.group.Ops = append(s.group.Ops, op)
		effects = append(effects, effect)
	}
	if g.r.IntN(4) == 0 {
		key := lib + "/up"
		from := g.m.sources[key]
		to := from + uint64(g.r.IntN(5))
		s.group.Source = &engine.SourceMove{Library: lib, Name: "up", From: from, To: to}
		effects = append(effects, func(m *model) { m.sources[key] = to })
	}
	s.effect = func(m *model) {
		for _, e := range effects {
			e(m)
		}
	}
}

func (l *modelLib) clone() *modelLib {
	out := &modelLib{dim: l.dim, docs: map[string]*modelDoc{}}
	for id, d := range l.docs {
		c := *d
		c.chunks = slices.Clone(d.chunks)
		out.docs[id] = &c
	}
	return out
}

func (g *generator) chunk(lib, id string) (change.Chunk, modelChunk) {
	vec := make([]float32, dimOf(lib))
	for i := range vec {
		vec[i] = g.r.Float32() + 0.01
	}
	raw := change.AppendRaw(nil, vec)
	text := strings.Repeat(fmt.Sprintf("text %d ", g.r.IntN(1000)), g.r.IntN(8))
	metadata := ""
	if g.r.IntN(3) == 0 {
		metadata = fmt.Sprintf(`{"page":%d}`, g.r.IntN(100))
	}
	return change.Chunk{ID: id, Text: text, Metadata: []byte(metadata), Vectors: []change.Vector{{Raw: raw}}},
		modelChunk{id: id, text: text, metadata: metadata, vector: string(raw)}
}

func (g *generator) document(lib, id string) (*docjson.Document, modelDoc) {
	d := &docjson.Document{ID: id, Title: fmt.Sprintf("title %d", g.n), Metadata: fmt.Appendf(nil, `{"n":%d,"keep":true}`, g.n)}
	md := modelDoc{title: d.Title, metadata: string(d.Metadata)}
	for i := range 1 + g.r.IntN(3) {
		ch, mc := g.chunk(lib, change.DefaultChunkID(i))
		d.Chunks = append(d.Chunks, ch)
		md.chunks = append(md.chunks, mc)
	}
	return d, md
}

func (g *generator) op(l *modelLib, lib string) (engine.Op, func(*model)) {
	id := fmt.Sprintf("doc-%02d", g.r.IntN(25))
	cur := l.docs[id]
	kind := g.r.IntN(10)
	switch {
	case cur == nil || kind < 4:
		doc, md := g.document(lib, id)
		op := engine.Op{Kind: engine.OpPut, Library: lib, ID: id, Doc: doc}
		if cur != nil && g.r.IntN(4) == 0 {
			op.Mode = engine.Skip
			return op, func(*model) {}
		}
		if cur == nil && g.r.IntN(3) == 0 {
			op.Mode = engine.Insert
		}
		return op, func(m *model) {
			d := md
			d.seq = m.next()
			d.chunks = slices.Clone(md.chunks)
			m.libs[lib].docs[id] = &d
			m.libs[lib].dim = dimOf(lib)
		}
	case kind < 6:
		title := fmt.Sprintf("patched %d", g.n)
		n := g.n
		return engine.Op{Kind: engine.OpPatch, Library: lib, ID: id, Patch: &engine.Patch{Title: &title, Metadata: fmt.Appendf(nil, `{"n":%d,"gone":null}`, n)}},
			func(m *model) {
				d := m.libs[lib].docs[id]
				d.seq, d.title, d.metadata = m.next(), title, fmt.Sprintf(`{"n":%d,"keep":true}`, n)
			}
	case kind < 8:
		return engine.Op{Kind: engine.OpDelete, Library: lib, ID: id}, func(m *model) {
			m.next()
			delete(m.libs[lib].docs, id)
		}
	case kind == 8 || len(cur.chunks) == 1:
		cid := fmt.Sprintf("extra-%d", g.n*10+g.r.IntN(10))
		if slices.ContainsFunc(cur.chunks, func(c modelChunk) bool { return c.id == cid }) {
			cid += "x" + fmt.Sprint(len(cur.chunks))
		}
		ch, mc := g.chunk(lib, cid)
		return engine.Op{Kind: engine.OpAddChunks, Library: lib, ID: id, Doc: &docjson.Document{Chunks: []change.Chunk{ch}}}, func(m *model) {
			d := m.libs[lib].docs[id]
			d.seq = m.next()
			d.chunks = append(d.chunks, mc)
		}
	}
	at := g.r.IntN(len(cur.chunks))
	cid := cur.chunks[at].id
	return engine.Op{Kind: engine.OpDeleteChunk, Library: lib, ID: id, Chunk: cid}, func(m *model) {
		d := m.libs[lib].docs[id]
		d.seq = m.next()
		d.chunks = slices.Delete(slices.Clone(d.chunks), at, at+1)
	}
}

// dump writes the model, and dumpDB the database, in one form.
func (m *model) dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "head %d\n", m.seq)
	for _, lib := range sorted(m.libs) {
		l := m.libs[lib]
		fmt.Fprintf(&b, "library %s: %d documents, dimension %d, source up at %d\n", lib, len(l.docs), l.dim, m.sources[lib+"/up"])
		for _, id := range sorted(l.docs) {
			d := l.docs[id]
			fmt.Fprintf(&b, " %s seq %d %q %s\n", id, d.seq, d.title, d.metadata)
			for _, c := range d.chunks {
				fmt.Fprintf(&b, "  %s %q %s %x\n", c.id, c.text, c.metadata, c.vector)
			}
		}
	}
	return b.String()
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func dumpDB(t testing.TB, db *engine.DB) string {
	t.Helper()
	s := db.Snapshot()
	defer s.Close()
	pos, err := s.Position()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "head %d\n", pos.Seq)
	libs, err := s.Libraries("", 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libs {
		lines, _, err := s.Source(lib, "up")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "library %s: %d documents, dimension %d, source up at %d\n", lib.ID, lib.Stats.Documents, lib.Dimension, lines)
		chunks := 0
		err = s.Documents(lib, "", nil, engine.ReadOptions{Embeddings: true}, func(v *docjson.View) bool {
			fmt.Fprintf(&b, " %s seq %d %q %s\n", v.ID, v.Seq, v.Title, v.Metadata)
			for _, c := range v.Chunks {
				chunks++
				vec := ""
				if len(c.Vectors) > 0 {
					vec = string(c.Vectors[0].Raw)
				}
				fmt.Fprintf(&b, "  %s %q %s %x\n", c.ID, c.Text, c.Metadata, vec)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if uint64(chunks) != lib.Stats.Chunks {
			t.Errorf("library %s has %d chunks, its stats say %d", lib.ID, chunks, lib.Stats.Chunks)
		}
	}
	return b.String()
}

// diff shows the first lines in which two dumps differ.
func diff(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := 0; i < len(g) || i < len(w); i++ {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n got  %.300s\n want %.300s", i+1, a, b)
		}
	}
	return "no difference"
}

// checkLog reads the whole log and checks that it is gapless and that groups
// are whole.
func checkLog(t testing.TB, db *engine.DB) {
	t.Helper()
	next := db.EarliestSeq()
	r, err := db.ReadLog(next)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	open := false
	for {
		f, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.Records {
			rec := &f.Records[i]
			if first := rec.Flags&change.GroupFirst != 0; first == open {
				t.Fatalf("seq %d: group mark first=%v within a group=%v", rec.Seq, first, open)
			}
			open = rec.Flags&change.GroupLast == 0
			if rec.Kind.IsControl() {
				continue
			}
			if rec.Seq != next {
				t.Fatalf("seq %d follows %d", rec.Seq, next-1)
			}
			next++
		}
		if open {
			t.Fatalf("a group goes past the end of commit %d", f.Commit)
		}
	}
	if head := db.Head().Seq; next != head+1 {
		t.Fatalf("the log ends at seq %d, the head is %d", next-1, head)
	}
}

// TestModel runs random groups, closing, reopening and checking now and then.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := &generator{r: rand.New(rand.NewPCG(seed, 2)), m: newModel()}
	o := small(vfs.NewMem())
	db, err := engine.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range 1500 {
		s := g.step()
		if s.lib != nil {
			err = s.lib(db)
		} else {
			_, err = db.Commit(ctx, s.group)
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if g.r.IntN(40) == 0 {
			if got, want := dumpDB(t, db), g.m.dump(); got != want {
				t.Fatalf("step %d: %s", i, diff(got, want))
			}
			checkSearch(t, db, g.r)
		}
		if g.r.IntN(120) == 0 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if db, err = engine.Open("db", o); err != nil {
				t.Fatal(err)
			}
			if n := db.Status().Recovery.Commits; n != 0 {
				t.Fatalf("after a clean stop %d commits were replayed", n)
			}
			if got, want := dumpDB(t, db), g.m.dump(); got != want {
				t.Fatalf("step %d, reopened: %s", i, diff(got, want))
			}
			checkSearch(t, db, g.r)
		}
	}
	checkLog(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
