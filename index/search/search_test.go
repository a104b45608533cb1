package search_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/index/keyword"
	"github.com/arrwdb/arrwdb/index/search"
)

var ctx = context.Background()

// A fixture is a library with what is needed to feed it. Every change is a commit.
type fixture struct {
	t      *testing.T
	l      *search.Library
	commit uint64
	next   uint64
	docs   map[string][]change.ChunkRef
	rows   map[uint64][]float32
}

func newFixture(t *testing.T, tail int) *fixture {
	l, err := search.New(config(tail))
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, l: l, next: 1, docs: map[string][]change.ChunkRef{}, rows: map[uint64][]float32{}}
}

func config(tail int) search.Config {
	return search.Config{Num: 7, Metric: index.L2, Language: "en", TailSlots: tail}
}

func (f *fixture) apply(kind change.Kind, c *change.DocumentChange) {
	f.t.Helper()
	f.commit++
	f.l.Lock()
	defer f.l.Unlock()
	if err := f.l.Apply(kind, c, change.Stamp{Seq: f.commit, Commit: f.commit}, nil); err != nil {
		f.t.Fatal(err)
	}
}

// put puts a document of one chunk, whose vector says n.
func (f *fixture) put(id, text string, n int) {
	f.t.Helper()
	v := []float32{float32(n), 1}
	ch := change.Chunk{Num: f.next, ID: "0", Text: text, Vectors: []change.Vector{{Raw: change.AppendRaw(nil, v)}}}
	f.rows[f.next] = v
	f.next++
	f.apply(change.DocumentUpdated, &change.DocumentChange{ID: id, Title: "T", Metadata: fmt.Appendf(nil, `{"n":%d}`, n), Killed: f.docs[id], Added: []change.Chunk{ch}})
	f.docs[id] = []change.ChunkRef{{Num: ch.Num, ID: "0"}}
}

func (f *fixture) patch(id, title string, n int) {
	f.t.Helper()
	f.apply(change.DocumentPatched, &change.DocumentChange{ID: id, Title: title, Metadata: fmt.Appendf(nil, `{"n":%d}`, n), Touched: f.docs[id]})
}

func (f *fixture) read(nums []uint64, dst []float32) error {
	for i, n := range nums {
		copy(dst[2*i:], f.rows[n])
	}
	return nil
}

func (f *fixture) capture(words, flt string) *search.Capture {
	return captureOf(f.t, f.l, words, flt)
}

func captureOf(t *testing.T, l *search.Library, words, flt string) *search.Capture {
	t.Helper()
	var q *keyword.Query
	if words != "" {
		q = keyword.Parse(l.Analyzer(), words)
	}
	parsed, err := filter.Parse([]byte(flt))
	if err != nil {
		t.Fatal(err)
	}
	l.RLock()
	c := l.Capture(q, parsed)
	l.RUnlock()
	c.Filter(parsed)
	return c
}

// all are the ids that a capture finds, in order.
func (f *fixture) all(c *search.Capture, words bool) string {
	f.t.Helper()
	hits, err := c.Nearest(ctx, []float32{0, 1}, index.Query{K: 1000}, f.read)
	if words {
		hits, err = c.Best(ctx, 1000)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, h := range hits {
		doc, _ := c.ID(h.Slot)
		out = append(out, doc)
	}
	return strings.Join(out, " ")
}

func (f *fixture) want(what, got, want string) {
	f.t.Helper()
	if got != want {
		f.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// A capture stays what it was, whatever is applied, built and merged after it.
func TestCaptureDoesNotChange(t *testing.T) {
	f := newFixture(t, 4)
	for i := range 10 {
		f.put(fmt.Sprint("d", i), "same words", i)
	}
	c, words, some := f.capture("", ""), f.capture("words", ""), f.capture("", `{"n":{"$lt":3}}`)
	before := "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9"
	f.put("d0", "other", 100)
	f.patch("d1", "New", 101)
	f.apply(change.DocumentDeleted, &change.DocumentChange{ID: "d2", Killed: f.docs["d2"]})
	for i := range 30 {
		f.put(fmt.Sprint("e", i), "same words", -1)
	}
	work(t, f.l)
	f.want("vectors before", f.all(c, false), before)
	f.want("words before", f.all(words, true), before)
	f.want("filter before", f.all(some, false), "d0 d1 d2")
	f.want("filter after", f.all(f.capture("", `{"n":{"$gte":3}}`), false), "d1 d3 d4 d5 d6 d7 d8 d9 d0")
	f.want("words after", f.all(f.capture("other new", ""), true), "d0 d1")
}

// work builds and merges what there is.
func work(t testing.TB, l *search.Library) {
	t.Helper()
	for _, do := range []func() (bool, error){l.Build, l.Merge} {
		for more := true; more; {
			var err error
			if more, err = do(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A document that is patched again and again, across parts, merges and a reload, is
// found once, by its last title and metadata and its text.
func TestPatches(t *testing.T) {
	f := newFixture(t, 3)
	mem := vfs.NewMem()
	dir, _, err := search.OpenDir(mem, "s", false)
	if err != nil {
		t.Fatal(err)
	}
	f.put("a", "needle in a haystack", 1)
	f.put("b", "hay", 2)
	for i := range 40 {
		f.patch("a", fmt.Sprint("title", i), 1000+i)
		if i%7 == 3 {
			work(t, f.l)
		}
		if i%9 == 5 {
			f.l = reload(t, f, dir)
		}
		f.want("by text", f.all(f.capture("needle", ""), true), "a")
		f.want("by title", f.all(f.capture(fmt.Sprint("title", i), ""), true), "a")
		f.want("by metadata", f.all(f.capture("", fmt.Sprintf(`{"n":%d}`, 1000+i)), false), "a")
		if i > 0 {
			f.want("by the old title", f.all(f.capture(fmt.Sprint("title", i-1), ""), true), "")
		}
		f.want("by vector", f.all(f.capture("", ""), false), "a b")
	}
	if s := f.l.Stats(); s.Live != 2 || s.Slots != 42 {
		t.Errorf("%+v", s)
	}
}

func reload(t *testing.T, f *fixture, dir *search.Dir) *search.Library {
	t.Helper()
	e, err := f.l.Cut(dir).Save()
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Commit(&search.Manifest{Seq: f.commit, Commit: f.commit, Libraries: []search.Entry{e}}); err != nil {
		t.Fatal(err)
	}
	l, err := search.Load(config(3), dir, &e, change.Stamp{Seq: f.commit, Commit: f.commit}, func(n uint64) bool { return f.rows[n] != nil }, f.read)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Most of a segment dies: it is written anew without the dead.
func TestDeadAreLeftOut(t *testing.T) {
	f := newFixture(t, 8)
	for i := range 64 {
		f.put(fmt.Sprint("d", i%4), strings.Repeat("word ", 50), i)
	}
	before := f.l.Stats()
	work(t, f.l)
	after := f.l.Stats()
	if after.Live != 4 || after.MemoryBytes > before.MemoryBytes/2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	f.want("words", f.all(f.capture("word", ""), true), "d0 d1 d2 d3")
	f.want("vectors", f.all(f.capture("", ""), false), "d0 d1 d2 d3")
}

func TestUnknownChunksAreNamed(t *testing.T) {
	f := newFixture(t, 4)
	f.put("a", "x", 1)
	f.l.Lock()
	defer f.l.Unlock()
	for kind, c := range map[change.Kind]*change.DocumentChange{
		change.DocumentDeleted: {ID: "z", Killed: []change.ChunkRef{{Num: 99}}},
		change.DocumentPatched: {ID: "z", Touched: []change.ChunkRef{{Num: 99}}},
	} {
		if err := f.l.Apply(kind, c, change.Stamp{Seq: 9, Commit: 9}, nil); err == nil || !strings.Contains(err.Error(), "chunk 99") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// Words that were worked out ahead give what Apply works out itself.
func TestWordsAhead(t *testing.T) {
	a, err := analysis.New("en")
	if err != nil {
		t.Fatal(err)
	}
	x := search.NewTextAnalysis(a)
	f, g := newFixture(t, 4), newFixture(t, 4)
	for i, text := range []string{"Running foxes", "", "the and of", "naïve Café, \"quotes\" — dashes", strings.Repeat("long text here ", 300)} {
		c := &change.DocumentChange{ID: fmt.Sprint("d", i), Title: "A title of foxes", Added: []change.Chunk{{Num: uint64(i + 1), ID: "0", Text: text}, {Num: uint64(i + 100), ID: "1", Text: "second " + text}}}
		c.Added[1].Num = uint64(2*i + 2)
		c.Added[0].Num = uint64(2*i + 1)
		f.apply(change.DocumentAdded, c)
		words := x.Document(c.Title, c.Added)
		g.l.Lock()
		if err := g.l.Apply(change.DocumentAdded, c, change.Stamp{Seq: uint64(i + 1), Commit: uint64(i + 1)}, &words); err != nil {
			t.Fatal(err)
		}
		g.l.Unlock()
	}
	for _, q := range []string{"fox", "title", `"running fox"`, "cafe café", "long text", "second", "quote dash"} {
		a, err := f.capture(q, "").Best(ctx, 100)
		if err != nil {
			t.Fatal(err)
		}
		b, err := g.capture(q, "").Best(ctx, 100)
		if err != nil || !slices.Equal(a, b) {
			t.Errorf("%s: %v and %v, %v", q, a, b, err)
		}
	}
}

// Every bit flip and every truncation of a saved segment is found; behind a right CRC
// nothing that is read leads outside.
func TestDamagedSegment(t *testing.T) {
	f := newFixture(t, 100)
	for i := range 20 {
		f.put(fmt.Sprint("d", i%15), fmt.Sprintf("text number %d", i), i)
	}
	f.patch("d3", "patched", 3)
	mem := vfs.NewMem()
	dir, _, err := search.OpenDir(mem, "s", false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.l.Cut(dir).Save()
	if err != nil {
		t.Fatal(err)
	}
	path := "s/" + e.Parts[0]
	good := readFile(t, mem, path)
	load := func(b []byte) (*search.Library, error) {
		writeFile(t, mem, path, b)
		return search.Load(config(100), dir, &e, change.Stamp{Seq: f.commit, Commit: f.commit}, func(n uint64) bool { return f.rows[n] != nil }, f.read)
	}
	if _, err := load(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		if _, err := load(b); err == nil {
			t.Fatalf("byte %d of %d flipped, and loaded", i, len(good))
		}
	}
	for n := range good {
		if _, err := load(good[:n]); err == nil {
			t.Fatalf("cut to %d of %d, and loaded", n, len(good))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	table := crc32.MakeTable(crc32.Castagnoli)
	for range 3000 {
		b := bytes.Clone(good)
		for range 1 + r.IntN(4) {
			b[8+r.IntN(len(b)-8)] = byte(r.Uint32())
		}
		binary.LittleEndian.PutUint32(b[56:], crc32.Checksum(b[64:], table))
		binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], table))
		l, err := load(b)
		if err != nil {
			continue
		}
		c := captureOf(t, l, "text number", `{"n":{"$gt":3}}`)
		if _, err := c.Best(ctx, 10); err != nil {
			continue
		}
		work(t, l)
	}
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(b)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
