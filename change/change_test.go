package change_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/change"
)

func randomString(r *rand.Rand, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

func randomMetadata(r *rand.Rand) []byte {
	if r.IntN(2) == 0 {
		return nil
	}
	return fmt.Appendf(nil, `{"k":%d}`, r.IntN(1000))
}

func randomRefs(r *rand.Rand) []change.ChunkRef {
	var refs []change.ChunkRef
	for i := range r.IntN(5) {
		id := change.DefaultChunkID(i)
		if r.IntN(3) == 0 {
			id = "c" + randomString(r, 8)
		}
		refs = append(refs, change.ChunkRef{Num: r.Uint64N(1 << 40), ID: id, Metadata: randomMetadata(r)})
	}
	return refs
}

func randomChange(r *rand.Rand) *change.DocumentChange {
	c := &change.DocumentChange{
		Time: r.Int64N(1 << 52), CreatedAt: r.Int64N(1 << 52), NumChunks: r.IntN(100), LibraryID: "lib", ID: "d" + randomString(r, 20),
		Title: randomString(r, 40), Metadata: randomMetadata(r), Killed: randomRefs(r), Touched: randomRefs(r),
	}
	if r.IntN(2) == 0 {
		c.Prev = &change.Image{Seq: r.Uint64N(1 << 50), Title: randomString(r, 10), Metadata: randomMetadata(r)}
	}
	num := r.Uint64N(1 << 40)
	for i := range r.IntN(6) {
		if num++; r.IntN(4) == 0 {
			num += 1 + r.Uint64N(10)
		}
		id := change.DefaultChunkID(i)
		if r.IntN(4) == 0 {
			id = "x" + randomString(r, 5)
		}
		ch := change.Chunk{Num: num, ID: id, Text: randomString(r, 200), Metadata: randomMetadata(r), Vectors: []change.Vector{}}
		for v := range r.IntN(3) {
			floats := make([]float32, 1+r.IntN(20))
			for j := range floats {
				floats[j] = r.Float32()
			}
			ch.Vectors = append(ch.Vectors, change.Vector{Space: uint8(v), Generation: uint32(r.IntN(3)), Raw: change.AppendRaw(nil, floats)})
		}
		c.Added = append(c.Added, ch)
	}
	return c
}

func TestDocumentChangeRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var reused change.DocumentChange
	for range 2000 {
		want := randomChange(r)
		body, raw := want.Encode()
		rec := &change.Record{Kind: change.DocumentUpdated, Body: body, Raw: raw}
		got, err := change.DecodeDocument(rec)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		if err := reused.Decode(rec); err != nil || !reflect.DeepEqual(normal(&reused), normal(want)) {
			t.Fatalf("decoded again into a used change: %+v, %v\nwant %+v", reused, err, want)
		}
		for cut := range len(body) {
			if _, err := change.DecodeDocument(&change.Record{Body: body[:cut], Raw: raw}); err == nil {
				t.Fatalf("a body of %d bytes decodes when cut to %d", len(body), cut)
			}
		}
	}
}

// normal makes nil and empty slices alike.
func normal(c *change.DocumentChange) change.DocumentChange {
	out := *c
	if len(out.Added) == 0 {
		out.Added = nil
	}
	out.Added = append([]change.Chunk(nil), out.Added...)
	for i := range out.Added {
		if len(out.Added[i].Vectors) == 0 {
			out.Added[i].Vectors = nil
		}
	}
	if len(out.Killed) == 0 {
		out.Killed = nil
	}
	if len(out.Touched) == 0 {
		out.Touched = nil
	}
	return out
}

// The layout is frozen: these bytes must decode for ever, and encode the same.
func TestDocumentBodyIsFrozen(t *testing.T) {
	c := &change.DocumentChange{
		Time: 300, CreatedAt: 129, NumChunks: 2, LibraryID: "papers", ID: "doc-1", Title: "T", Metadata: []byte(`{"a":1}`),
		Prev:   &change.Image{Seq: 7, Title: "old", Metadata: []byte(`{}`)},
		Killed: []change.ChunkRef{{Num: 3, ID: "0"}, {Num: 4, ID: "b", Metadata: []byte(`{"p":2}`)}},
		Added: []change.Chunk{
			{Num: 9, ID: "0", Text: "hi", Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{1, -2})}}},
			{Num: 10, ID: "z", Text: "yo", Metadata: []byte(`{"q":3}`), Vectors: []change.Vector{{Space: 1, Generation: 5, Raw: change.AppendRaw(nil, []float32{0.5})}}},
		},
	}
	body, raw := c.Encode()
	const wantBody = "\x01\xac\x02\x81\x01\x02\x01\x07\x03old\x02{}\x02\x03\x00\x00\x04\x01b\a{\"p\":2}\x00\x01\t\x02\x06papers\x05doc-1\x01T\a{\"a\":1}\x02\x00\x02hi\x00\x01\x00\x00\x02\x01z\x02yo\a{\"q\":3}\x01\x01\x05\x01"
	const wantRaw = "\x00\x00\x80?\x00\x00\x00\xc0\x00\x00\x00?"
	if string(raw) != wantRaw {
		t.Errorf("raw %q, frozen as %q", raw, wantRaw)
	}
	if string(body) != wantBody {
		t.Errorf("body\n%q, frozen as\n%q", body, wantBody)
	}
}

func TestNewerBodyVersionIsNamed(t *testing.T) {
	c := &change.DocumentChange{LibraryID: "l", ID: "d"}
	body, _ := c.Encode()
	body[0]++
	_, err := change.DecodeDocument(&change.Record{Body: body})
	var newer *change.NewerVersionError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), "version 2") {
		t.Fatalf("got %v, want a NewerVersionError that names version 2", err)
	}
}

func TestOtherBodiesRoundTrip(t *testing.T) {
	lib := &change.LibraryChange{Time: 5, CreatedAt: 4, ID: "l", Settings: []byte(`{"id":"l"}`), PrevSeq: 3, PrevSettings: []byte(`{}`), NextChunk: 2, Documents: 9, Chunks: 10}
	if got, err := change.DecodeLibrary(&change.Record{Body: lib.Encode()}); err != nil || !reflect.DeepEqual(got, lib) {
		t.Errorf("library: %+v, %v", got, err)
	}
	src := &change.Source{Time: 5, LibraryID: "l", Name: "s", Lines: 17, Seq: 40}
	if got, err := change.DecodeSource(&change.Record{Body: src.Encode()}); err != nil || !reflect.DeepEqual(got, src) {
		t.Errorf("source: %+v, %v", got, err)
	}
	key := &change.Key{Time: 5, ID: "k", Settings: []byte(`{"role":"read"}`)}
	if got, err := change.DecodeKey(&change.Record{Body: key.Encode()}); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("key: %+v, %v", got, err)
	}
	once := &change.Idempotency{Time: 5, Key: []byte("k"), Fingerprint: []byte("f"), Status: 201, Seq: 3, Answer: []byte("{}")}
	if got, err := change.DecodeIdempotency(&change.Record{Body: once.Encode()}); err != nil || !reflect.DeepEqual(got, once) {
		t.Errorf("idempotency: %+v, %v", got, err)
	}
}

func TestPosition(t *testing.T) {
	for range 200 {
		p := change.Position{Epoch: change.NewEpoch(), Seq: rand.Uint64() >> rand.IntN(64), Check: rand.Uint32(), HasCheck: rand.IntN(2) == 0}
		if !p.HasCheck {
			p.Check = 0
		}
		got, err := change.ParsePosition(p.String())
		if err != nil || got != p {
			t.Fatalf("%s → %+v, %v; want %+v", p, got, err, p)
		}
	}
	good := change.Position{Epoch: 1, Seq: 5, Check: 0xab, HasCheck: true}.String()
	for _, bad := range []string{"", ":", "x:1", strings.ToUpper(good), good + ":1", good[:13], good[:13] + ":", good[:13] + ":-1", good[:13] + ":+1", good[:13] + ":01",
		good[:13] + ":1:abc", good[:13] + ":1:0000000g", good[:13] + ":18446744073709551616", " " + good} {
		if p, err := change.ParsePosition(bad); err == nil {
			t.Errorf("%q parses as %+v", bad, p)
		}
	}
}

func TestLineage(t *testing.T) {
	l := change.Lineage{{Epoch: 1, FirstSeq: 1}, {Epoch: 2, FirstSeq: 11}, {Epoch: 3, FirstSeq: 11}}
	for _, c := range []struct {
		epoch  change.Epoch
		seq    uint64
		common uint64
		ok     bool
	}{{1, 0, 0, true}, {1, 10, 10, true}, {1, 11, 10, false}, {2, 10, 10, true}, {2, 11, 10, false}, {3, 11, 11, true}, {3, 99, 99, true}, {4, 1, 0, false}} {
		if common, ok := l.Common(c.epoch, c.seq); common != c.common || ok != c.ok {
			t.Errorf("Common(%d, %d) = %d, %v; want %d, %v", c.epoch, c.seq, common, ok, c.common, c.ok)
		}
	}
	for seq, want := range map[uint64]change.Epoch{0: 1, 1: 1, 10: 1, 11: 3, 12: 3} {
		if got := l.At(seq); got != want {
			t.Errorf("At(%d) = %d, want %d", seq, got, want)
		}
	}
}

func TestEventTypesAreUniqueAndKnown(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range change.EventTypes() {
		if seen[n] {
			t.Errorf("event type %s is listed twice", n)
		}
		seen[n] = true
	}
	for k := 0; k < 256; k++ {
		kind := change.Kind(k)
		if kind.Known() && !kind.IsControl() && !seen[kind.EventType()] {
			t.Errorf("kind %s has no event type in the list", kind)
		}
		if kind.IsControl() && kind.EventType() != "" {
			t.Errorf("control kind %s has an event type", kind)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		body, raw := randomChange(r).Encode()
		f.Add(body, raw)
	}
	f.Add((&change.LibraryChange{ID: "l", Settings: []byte("{}")}).Encode(), []byte(nil))
	f.Add((&change.Source{LibraryID: "l", Name: "n"}).Encode(), []byte(nil))
	f.Fuzz(func(t *testing.T, body, raw []byte) {
		rec := &change.Record{Body: body, Raw: raw}
		if c, err := change.DecodeDocument(rec); err == nil {
			b2, r2 := c.Encode()
			c2, err := change.DecodeDocument(&change.Record{Body: b2, Raw: r2})
			if err != nil || !bytes.Equal(r2, raw) {
				t.Fatalf("what was decoded does not encode: %v", err)
			}
			if !reflect.DeepEqual(normal(c), normal(c2)) {
				t.Fatalf("got %+v, want %+v", c2, c)
			}
		}
		if c, err := change.DecodeLibrary(rec); err == nil {
			if c2, err := change.DecodeLibrary(&change.Record{Body: c.Encode()}); err != nil || !reflect.DeepEqual(c, c2) {
				t.Fatalf("library: %+v, %v; want %+v", c2, err, c)
			}
		}
		change.DecodeSource(rec)
		change.DecodeKey(rec)
		change.DecodeIdempotency(rec)
	})
}

func BenchmarkDecodeDocument(b *testing.B) {
	floats := make([]float32, 128)
	c := &change.DocumentChange{Time: 1 << 50, CreatedAt: 1 << 50, NumChunks: 1, LibraryID: "papers", ID: "0190f3a0-0000-7000-8000-000000000000", Title: "a title",
		Added: []change.Chunk{{Num: 1 << 20, ID: "0", Text: strings.Repeat("words and ", 65), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, floats)}}}}}
	body, raw := c.Encode()
	rec := &change.Record{Body: body, Raw: raw}
	var d change.DocumentChange
	b.SetBytes(int64(len(body) + len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(rec); err != nil {
			b.Fatal(err)
		}
	}
}
