package cdc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
)

// A cloudEvent is an event as a client reads it.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Sequence    string          `json:"sequence"`
	Seq         uint64          `json:"seq"`
	Library     *string         `json:"library_id"`
	Last        bool            `json:"last"`
	Data        json.RawMessage `json:"data"`
}

func decode(t *testing.T, lines []byte) (out []cloudEvent) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		var e cloudEvent
		if err := dec.Decode(&e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

func open(t *testing.T, h *cdc.Hub, q cdc.Query) *cdc.Cursor {
	t.Helper()
	c, err := h.Open(&q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// drain reads to the head.
func drain(t *testing.T, c *cdc.Cursor, l cdc.Limits) []cloudEvent {
	t.Helper()
	var all []byte
	for {
		out, b, err := c.AppendBatch(nil, cdc.NDJSON, l)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(out, []byte("\n")); n != b.Events {
			t.Fatalf("%d lines, Batch says %d", n, b.Events)
		}
		all = append(all, out...)
		if b.Caught {
			return decode(t, all)
		}
	}
}

func seqs(events []cloudEvent) (out []uint64) {
	for _, e := range events {
		out = append(out, e.Seq)
	}
	return out
}

func span(from, to uint64) (out []uint64) {
	for s := from; s <= to; s++ {
		out = append(out, s)
	}
	return out
}

var fromStart = cdc.From{Kind: cdc.FromStart}

func from(seq uint64) cdc.From { return cdc.From{Kind: cdc.FromSeq, Seq: seq} }

// everyHub runs a test with the ring and without.
func everyHub(t *testing.T, f func(t *testing.T, o cdc.Options)) {
	t.Run("ring", func(t *testing.T) { f(t, cdc.Options{}) })
	t.Run("log", func(t *testing.T) { f(t, cdc.Options{HotDistance: 1}) })
	t.Run("small ring", func(t *testing.T) { f(t, cdc.Options{RingBytes: 4000, HotDistance: 16}) })
}

func TestEventsAsWritten(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		log := newLog()
		log.commit(one(library(change.LibraryCreated, "papers")))
		log.commit([]change.Record{control(), added("papers", "doc-1", `{"year":2017}`, "a \"b\"")})
		log.commit([]change.Record{patched("papers", "doc-1", `{"year":2017}`, `{"year":2018}`), deleted("papers", "doc-1", `{"year":2018}`)})
		log.commit(one(record(change.ChunkAdded, &change.DocumentChange{Time: 1_700_000_000_000_002, NumChunks: 2, LibraryID: "papers", ID: "doc-2", Title: "T", Prev: &change.Image{Seq: 4, Title: "T"},
			Added: []change.Chunk{{Num: 9, ID: "x", Text: "new"}}})))
		log.commit(one(record(change.ChunkDeleted, &change.DocumentChange{Time: 1_700_000_000_000_002, NumChunks: 1, LibraryID: "papers", ID: "doc-2", Title: "T", Prev: &change.Image{Seq: 5, Title: "T"},
			Killed: []change.ChunkRef{{Num: 9, ID: "x", Metadata: []byte(`{"page":1}`)}}})))
		log.commit(one(library(change.LibraryDeleted, "papers")))

		head := func(seq int, chain, typ, subject, us string, last bool) string {
			return fmt.Sprintf(`{"specversion":"1.0","id":"ceirceirceirc:%d:abcd000%s","source":"/v1/libraries/papers","type":"%s","subject":"%s","time":"2023-11-14T22:13:20%sZ","datacontenttype":"application/json","sequence":"%d","seq":%d,"library_id":"papers","last":%v,"data":`,
				seq, chain, typ, subject, strings.TrimSuffix(".00000"+us, ".000000"), seq, seq, last)
		}
		want := strings.Join([]string{
			head(1, "1", "library.created", "papers", "0", true) + `{"library_id":"papers","library":{"id":"papers"},"previous":null}}`,
			head(2, "2", "document.added", "doc-1", "0", true) + `{"document_id":"doc-1","title":"T doc-1","num_chunks":1,"document":{"id":"doc-1","library_id":"papers","title":"T doc-1","metadata":{"year":2017},"chunks":[{"id":"0","text":"a \"b\"","metadata":{}}],"num_chunks":1,"seq":2,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:13:20Z"},"previous":null}}`,
			head(3, "3", "document.updated", "doc-1", "1", false) + `{"document_id":"doc-1","title":"T2","num_chunks":1,"document":{"id":"doc-1","library_id":"papers","title":"T2","metadata":{"year":2018},"num_chunks":1,"seq":3,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:13:20.000001Z","partial":true},"previous":{"title":"T1","metadata":{"year":2017},"seq":1}}}`,
			head(4, "3", "document.deleted", "doc-1", "2", true) + `{"document_id":"doc-1","title":"T","num_chunks":0,"document":null,"previous":{"title":"T","metadata":{"year":2018},"seq":2}}}`,
			head(5, "4", "chunk.added", "doc-2", "2", true) + `{"document_id":"doc-2","title":"T","num_chunks":2,"chunk":{"id":"x","text":"new","metadata":{}},"previous":{"title":"T","metadata":{},"seq":4}}}`,
			head(6, "5", "chunk.deleted", "doc-2", "2", true) + `{"document_id":"doc-2","title":"T","num_chunks":1,"chunk":{"id":"x","metadata":{"page":1}},"previous":{"title":"T","metadata":{},"seq":5}}}`,
			head(7, "6", "library.deleted", "papers", "0", true) + `{"library_id":"papers","library":null,"previous":{"title":"old","metadata":{},"seq":1,"library":{"id":"papers","name":"old"}},"documents":0,"chunks":0}}`,
		}, "\n") + "\n"
		h := cdc.NewHub(log, o)
		c := open(t, h, cdc.Query{From: fromStart})
		got, b, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{})
		if err != nil || b.Events != 7 || b.LastSeq != 7 || string(got) != want {
			t.Errorf("%+v %v\ngot  %s\nwant %s", b, err, got, want)
		}

		none := open(t, h, cdc.Query{From: from(2), Include: cdc.IncludeNone})
		got, _, _ = none.AppendBatch(nil, cdc.NDJSON, cdc.Limits{})
		for i, data := range []string{
			`{"document_id":"doc-1","title":"T doc-1","num_chunks":1,"document":null,"previous":null}`,
			`{"document_id":"doc-1","title":"T2","num_chunks":1,"document":null,"previous":{"title":"T1","metadata":{"year":2017},"seq":1}}`,
			`{"document_id":"doc-1","title":"T","num_chunks":0,"document":null,"previous":{"title":"T","metadata":{"year":2018},"seq":2}}`,
			`{"document_id":"doc-2","title":"T","num_chunks":2,"chunk":{"id":"x"},"previous":{"title":"T","metadata":{},"seq":4}}`,
			`{"document_id":"doc-2","title":"T","num_chunks":1,"chunk":{"id":"x"},"previous":{"title":"T","metadata":{},"seq":5}}`,
			`{"library_id":"papers","library":null,"previous":{"title":"old","metadata":{},"seq":1},"documents":0,"chunks":0}`} {
			if e := decode(t, got)[i]; string(e.Data) != data {
				t.Errorf("include=none, seq %d: got %s, want %s", e.Seq, e.Data, data)
			}
		}

		full := open(t, h, cdc.Query{From: from(2), Include: cdc.IncludeEmbeddings})
		got, _, _ = full.AppendBatch(nil, cdc.NDJSON, cdc.Limits{})
		if !bytes.Contains(got, []byte(`"embedding":[0.5,0]}`)) || !bytes.Contains(got, []byte(`"text":"new","metadata":{},"embedding":null}`)) {
			t.Errorf("include=embeddings: %s", got)
		}

		sse := open(t, h, cdc.Query{From: from(4)})
		got, _, _ = sse.AppendBatch(nil, cdc.SSE, cdc.Limits{Events: 1})
		if w := "id: ceirceirceirc:4:abcd0003\nevent: document.deleted\ndata: " + strings.Split(want, "\n")[3] + "\n\n"; string(got) != w {
			t.Errorf("SSE: got  %q\nwant %q", got, w)
		}
		ws := open(t, h, cdc.Query{From: from(4), Filter: contains("2018")})
		got, _, _ = ws.AppendBatch(nil, cdc.WebSocket, cdc.Limits{Events: 1})
		if w := `{"type":"event","event_type":"document.deleted","library_id":"papers","seq":4,"id":"ceirceirceirc:4:abcd0003","time":"2023-11-14T22:13:20.000002Z","last":true,"data":{"document_id":"doc-1","title":"T","num_chunks":0,"document":null,"previous":{"title":"T","metadata":{"year":2018},"seq":2},"match":"leave"}}` + "\n"; string(got) != w {
			t.Errorf("WebSocket: got  %s\nwant %s", got, w)
		}
		el := open(t, h, cdc.Query{From: from(4)})
		got, _, _ = el.AppendBatch(nil, cdc.Elements, cdc.Limits{})
		if !json.Valid([]byte("[" + strings.TrimSuffix(string(got), ",") + "]")) {
			t.Errorf("elements: %s", got)
		}
	})
}

// Where a reader may begin (API, section 7).
func TestOpen(t *testing.T) {
	log := newLog()
	log.numbered(20, 2, 1) // frames 1-2, 3-4, …
	log.lineage = change.Lineage{{Epoch: epoch1, FirstSeq: 1}, {Epoch: epoch2, FirstSeq: 11}}
	log.trim(5)
	h := cdc.NewHub(log, cdc.Options{})
	at := func(e change.Epoch, seq uint64) *change.Position { return &change.Position{Epoch: e, Seq: seq} }
	checked := func(e change.Epoch, seq uint64, check uint32) *change.Position {
		return &change.Position{Epoch: e, Seq: seq, Check: check, HasCheck: true}
	}
	for _, c := range []struct {
		name string
		q    cdc.Query
		next uint64
		code change.Code
		with map[string]any
	}{
		{"now", cdc.Query{}, 21, "", nil},
		{"start", cdc.Query{From: fromStart}, 5, "", nil},
		{"trim boundary", cdc.Query{From: from(5)}, 5, "", nil},
		{"below it", cdc.Query{From: from(4)}, 0, change.OffsetExpired, map[string]any{"earliest_seq": uint64(5), "head_seq": uint64(20), "epoch": epoch2.String()}},
		{"from 0", cdc.Query{From: from(0)}, 0, change.OffsetExpired, nil},
		{"head", cdc.Query{From: from(20)}, 20, "", nil},
		{"head+1", cdc.Query{From: from(21)}, 21, "", nil},
		{"head+2", cdc.Query{From: from(22)}, 0, change.Ahead, map[string]any{"head_seq": uint64(20)}},
		{"far ahead", cdc.Query{From: from(1<<64 - 1)}, 0, change.Ahead, nil},
		{"current epoch", cdc.Query{After: at(epoch2, 15), From: from(7)}, 16, "", nil},
		{"current epoch at head", cdc.Query{After: at(epoch2, 20)}, 21, "", nil},
		{"current epoch past head", cdc.Query{After: at(epoch2, 21)}, 0, change.Ahead, nil},
		{"past head, greatest", cdc.Query{After: at(epoch2, 1<<64-1)}, 0, change.Ahead, nil},
		{"ancestor before the fork", cdc.Query{After: at(epoch1, 9)}, 10, "", nil},
		{"ancestor at the fork", cdc.Query{After: at(epoch1, 10)}, 11, "", nil},
		{"ancestor past the fork", cdc.Query{After: at(epoch1, 11)}, 0, change.Diverged, map[string]any{"common_seq": uint64(10)}},
		{"unknown epoch", cdc.Query{After: at(epoch3, 9)}, 0, change.Diverged, map[string]any{"common_seq": uint64(0)}},
		{"unknown epoch past head", cdc.Query{After: at(epoch3, 99)}, 0, change.Diverged, nil},
		{"check", cdc.Query{After: checked(epoch2, 12, 0xabcd0006)}, 13, "", nil},
		{"check differs", cdc.Query{After: checked(epoch2, 12, 0xabcd0007)}, 0, change.Diverged, map[string]any{"common_seq": uint64(0)}},
		{"last trimmed", cdc.Query{After: at(epoch1, 4)}, 5, "", nil},
		{"trimmed", cdc.Query{After: at(epoch1, 3)}, 0, change.OffsetExpired, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cur, err := h.Open(&c.q)
			if c.code != "" {
				if err == nil || err.Code != c.code {
					t.Fatalf("got %v, want %s", err, c.code)
				}
				for k, v := range c.with {
					if err.Extra[k] != v {
						t.Errorf("%s is %v, want %v", k, err.Extra[k], v)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer cur.Close()
			if cur.NextSeq() != c.next || cur.Position().Seq != c.next-1 {
				t.Errorf("next %d, position %s; want %d", cur.NextSeq(), cur.Position(), c.next)
			}
			if got := seqs(drain(t, cur, cdc.Limits{})); !reflect.DeepEqual(got, span(c.next, 20)) {
				t.Errorf("got %v", got)
			}
		})
	}
	empty := cdc.NewHub(newLog(), cdc.Options{})
	for _, q := range []cdc.Query{{}, {From: fromStart}, {From: from(0)}, {From: from(1)}, {After: at(epoch1, 0)}} {
		if c := open(t, empty, q); c.NextSeq() != 1 {
			t.Errorf("empty log: %+v begins at %d", q, c.NextSeq())
		}
	}
}

// Ordered, unique, reliable, atomic, resumable: whatever the limits, the sizes of
// frames and groups, and wherever a reader is cut off, it gets every change once
// and in order, with the same bytes, and groups in one piece.
func TestModel(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 7))
			log := newLog()
			log.endsForGood = seed%2 == 0
			groupEnd := map[uint64]uint64{} // first seq → last seq
			commit := func() {
				var groups [][]change.Record
				for range 1 + r.IntN(4) {
					var g []change.Record
					if r.IntN(4) == 0 {
						g = append(g, control())
					}
					for range r.IntN(5) {
						g = append(g, added("papers", fmt.Sprint("d", r.IntN(9)), fmt.Sprintf(`{"n":%d}`, r.IntN(3)), "x"))
					}
					if r.IntN(4) == 0 {
						g = append(g, control())
					}
					if len(g) > 0 {
						groups = append(groups, g)
					}
				}
				before := log.head
				log.commit(groups...)
				s := before
				for _, g := range groups {
					n := uint64(0)
					for _, rec := range g {
						if !rec.Kind.IsControl() {
							n++
						}
					}
					if n > 0 {
						groupEnd[s+1] = s + n
					}
					s += n
				}
			}
			h := cdc.NewHub(log, o)
			q := cdc.Query{From: fromStart}
			filtered := seed%3 == 1
			if filtered {
				q.Filter = contains(`"n":1`)
			}
			c := open(t, h, q)
			var got []byte
			read := func() {
				for {
					p := c.Position()
					out, b, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{Events: 1 + r.IntN(7), Bytes: 1 + r.IntN(3000), Scan: 1 + r.IntN(9)})
					if err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					events := decode(t, out)
					if n := len(events); n > 0 && !events[n-1].Last {
						t.Fatalf("seed %d: a batch ends within a group: %v", seed, seqs(events))
					}
					if at := c.Position(); at.Seq < p.Seq || b.LastSeq > at.Seq || at.Seq > log.head || at.Seq+1 != c.NextSeq() {
						t.Fatalf("seed %d: position went from %s to %s, last event %d, head %d", seed, p, at, b.LastSeq, log.head)
					}
					got = append(got, out...)
					if r.IntN(8) == 0 { // cut off: resume after the position
						at := c.Position()
						c.Close()
						q.After = &at
						c = open(t, h, q)
					}
					if b.Caught {
						return
					}
				}
			}
			for range 30 {
				commit()
				if r.IntN(3) == 0 {
					read()
				}
			}
			read()
			all := open(t, cdc.NewHub(log, cdc.Options{HotDistance: 1}), cdc.Query{From: fromStart, Filter: q.Filter})
			want, _, err := all.AppendBatch(nil, cdc.NDJSON, cdc.Limits{Bytes: 1 << 30, Scan: 1 << 30})
			if err != nil || !bytes.Equal(got, want) {
				g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
				for i := range min(len(g), len(w)) {
					if g[i] != w[i] {
						t.Fatalf("seed %d: %v\ngot  %s\nwant %s", seed, err, g[i], w[i])
					}
				}
				t.Fatalf("seed %d: %v: %d lines, want %d", seed, err, len(g), len(w))
			}
			events := decode(t, got)
			if !filtered {
				if !reflect.DeepEqual(seqs(events), span(1, log.head)) && log.head > 0 {
					t.Fatalf("seed %d: got %v, head %d", seed, seqs(events), log.head)
				}
				for i := 0; i < len(events); {
					end := groupEnd[events[i].Seq]
					for ; events[i].Seq < end; i++ {
						if events[i].Last {
							t.Fatalf("seed %d: %d is last, the group ends at %d", seed, events[i].Seq, end)
						}
					}
					if !events[i].Last {
						t.Fatalf("seed %d: %d is not last", seed, events[i].Seq)
					}
					i++
				}
			}
		}
	})
}

// Every event's id resumes right after it, also within a group.
func TestResumeAfterEveryEvent(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		log := newLog()
		log.numbered(30, 6, 3)
		h := cdc.NewHub(log, o)
		for _, e := range drain(t, open(t, h, cdc.Query{From: fromStart}), cdc.Limits{}) {
			p, err := change.ParsePosition(e.ID)
			if err != nil {
				t.Fatal(err)
			}
			rest := drain(t, open(t, h, cdc.Query{After: &p}), cdc.Limits{Events: 4})
			if got := seqs(rest); e.Seq < 30 && !reflect.DeepEqual(got, span(e.Seq+1, 30)) {
				t.Errorf("after %s: %v", e.ID, got)
			}
		}
	})
}

// A group is delivered whole, and at least one group is delivered.
func TestLimit(t *testing.T) {
	log := newLog()
	log.numbered(3, 3, 1)
	log.numbered(5, 5, 5)
	log.numbered(1, 1, 1)
	c := open(t, cdc.NewHub(log, cdc.Options{}), cdc.Query{From: fromStart})
	var got []int
	for {
		_, b, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{Events: 4})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Events)
		if b.Caught {
			break
		}
	}
	if !reflect.DeepEqual(got, []int{3, 5, 1}) {
		t.Errorf("got batches of %v", got)
	}
}

func TestQueryPasses(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		log := newLog()
		log.commit(one(library(change.LibraryCreated, "a")), one(library(change.LibraryCreated, "b")))           // 1, 2
		log.commit([]change.Record{added("a", "x", `{"k":1}`, "t"), added("b", "y", `{"k":2}`, "t"), control()}) // 3, 4: one group
		log.commit(one(patched("a", "x", `{"k":1}`, `{"k":2}`)))                                                 // 5
		log.commit(one(patched("a", "x", `{"k":2}`, `{"k":2,"z":0}`)))                                           // 6
		log.commit(one(deleted("a", "x", `{"k":2,"z":0}`)))                                                      // 7
		log.commit(one(change.Record{Kind: change.JobSubmitted, Body: []byte{1}}))                               // 8
		h := cdc.NewHub(log, o)
		types := func(p ...string) cdc.TypeSet {
			s, err := cdc.ParseTypes("types", p)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for _, c := range []struct {
			name string
			q    cdc.Query
			want string
		}{
			{"all", cdc.Query{}, "1. 2. 3 4. 5. 6. 7. 8."},
			{"types", cdc.Query{Types: types("library.*", "document.deleted")}, "1. 2. 7."},
			{"star", cdc.Query{Types: types("*")}, "1. 2. 3 4. 5. 6. 7. 8."},
			{"patches are updates", cdc.Query{Types: types("document.updated")}, "5. 6."},
			{"library hides the end of a group", cdc.Query{Libraries: []string{"a", "none"}}, "1. 3. 5. 6. 7."},
			{"library hides its beginning", cdc.Query{Libraries: []string{"b"}}, "2. 4."},
			{"allow", cdc.Query{Allow: func(l string) bool { return l == "b" }}, "2. 4."},
			{"filter", cdc.Query{Filter: contains(`"k":1`)}, "3.enter 5.leave"},
			{"filter, all sides", cdc.Query{Filter: contains(`"k":2`)}, "4.enter 5.enter 6.stay 7.leave"},
			{"both", cdc.Query{Filter: contains(`"k":2`), Libraries: []string{"a"}, Types: types("document.updated")}, "5.enter 6.stay"},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.q.From = fromStart
				cur := open(t, h, c.q)
				var got []string
				for _, e := range drain(t, cur, cdc.Limits{}) {
					var data struct{ Match string }
					if err := json.Unmarshal(e.Data, &data); err != nil {
						t.Fatal(err)
					}
					s := fmt.Sprint(e.Seq)
					if e.Last {
						s += "."
					}
					got = append(got, s+data.Match)
				}
				if s := strings.Join(got, " "); s != c.want {
					t.Errorf("got %s, want %s", s, c.want)
				}
				if cur.Position().Seq != 8 {
					t.Errorf("the cursor is at %s", cur.Position())
				}
			})
		}
	})
}

// A filter sees the chunks' metadata as a search does.
func TestFilterSeesChunks(t *testing.T) {
	log := newLog()
	log.commit(one(record(change.DocumentAdded, &change.DocumentChange{LibraryID: "a", ID: "x", NumChunks: 1, Added: []change.Chunk{{ID: "0", Metadata: []byte(`{"page":1}`)}}})))
	log.commit(one(record(change.DocumentDeleted, &change.DocumentChange{LibraryID: "a", ID: "x", Prev: &change.Image{Seq: 1}, Killed: []change.ChunkRef{{ID: "0", Metadata: []byte(`{"page":1}`)}}})))
	c := open(t, cdc.NewHub(log, cdc.Options{}), cdc.Query{From: fromStart, Filter: contains(`"page":1`)})
	if got := drain(t, c, cdc.Limits{}); len(got) != 2 || !strings.Contains(string(got[0].Data), "enter") || !strings.Contains(string(got[1].Data), "leave") {
		t.Errorf("got %+v", got)
	}
}

// A reader that the trim point overtakes is told, wherever it is; nothing is
// passed over, and what was delivered is delivered.
func TestTrimmedUnderReader(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		for trimAfter := range 12 {
			log := newLog()
			log.numbered(40, 2, 1)
			h := cdc.NewHub(log, o)
			c := open(t, h, cdc.Query{From: fromStart})
			var got []uint64
			var err error
			for i := 0; ; i++ {
				if i == trimAfter {
					log.trim(31)
				}
				var out []byte
				var b cdc.Batch
				out, b, err = c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{Events: 3})
				got = append(got, seqs(decode(t, out))...)
				if err != nil || b.Caught {
					break
				}
			}
			if !reflect.DeepEqual(got, span(1, uint64(len(got)))) {
				t.Fatalf("trim after %d batches: got %v", trimAfter, got)
			}
			if err == nil {
				if len(got) != 40 {
					t.Fatalf("trim after %d batches: got %v and no error", trimAfter, got)
				}
				continue
			}
			var e *change.Error
			if !errors.As(err, &e) || e.Code != change.OffsetExpired || e.Extra["earliest_seq"] != uint64(31) {
				t.Fatalf("trim after %d batches: %v", trimAfter, err)
			}
			if c.NextSeq() != uint64(len(got))+1 {
				t.Fatalf("the cursor moved over the hole: %d", c.NextSeq())
			}
		}
	})
}

// A log that skips changes, ends early or fails is an error, never a gap; the
// cursor stays and goes on when the fault is gone.
func TestFaultsOfTheLog(t *testing.T) {
	everyHub(t, func(t *testing.T, o cdc.Options) {
		log := newLog()
		log.numbered(10, 1, 1)
		c := open(t, cdc.NewHub(log, o), cdc.Query{From: fromStart})
		log.frames = append(log.frames[:4:4], log.frames[5:]...) // change 5 is missing
		out, _, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{})
		if got := seqs(decode(t, out)); err == nil || !reflect.DeepEqual(got, span(1, 4)) {
			t.Fatalf("got %v, %v", got, err)
		}
		if e := (*change.Error)(nil); !errors.As(err, &e) || e.Code != change.Internal {
			t.Errorf("got %v", err)
		}
	})
	log := newLog()
	log.numbered(10, 1, 1)
	log.fault = errors.New("read error")
	c := open(t, cdc.NewHub(log, cdc.Options{HotDistance: 1}), cdc.Query{From: fromStart})
	if _, _, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{}); err == nil || !strings.Contains(err.Error(), "read error") {
		t.Errorf("got %v", err)
	}
	if got := seqs(drain(t, c, cdc.Limits{})); !reflect.DeepEqual(got, span(1, 10)) {
		t.Errorf("got %v", got)
	}
	// A record that cannot be read stops the reader before it.
	log.commit(one(change.Record{Kind: change.DocumentAdded, Body: []byte{9}}))
	if _, _, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{}); err == nil || c.NextSeq() != 11 {
		t.Errorf("got %v at %d", err, c.NextSeq())
	}
}

// Near the head one reader reads the log for all, and encodes once; the ring
// stays within its bytes, and a reader that it has left behind catches up.
func TestRing(t *testing.T) {
	log := newLog()
	log.numbered(10, 1, 1)
	h := cdc.NewHub(log, cdc.Options{RingBytes: 20_000})
	slow := open(t, h, cdc.Query{From: fromStart})
	drain(t, slow, cdc.Limits{})
	var readers []*cdc.Cursor
	for range 10 {
		readers = append(readers, open(t, h, cdc.Query{}))
	}
	for range 50 {
		log.numbered(4, 2, 1)
		for _, r := range readers {
			drain(t, r, cdc.Limits{})
		}
	}
	if log.opened != 1 {
		t.Errorf("%d log readers were opened, want the ring's alone", log.opened)
	}
	if got := seqs(drain(t, slow, cdc.Limits{})); !reflect.DeepEqual(got, span(11, 210)) {
		t.Errorf("the slow reader got %v", got)
	}
	if log.opened != 2 {
		t.Errorf("%d log readers were opened, want the ring's and the slow reader's", log.opened)
	}
	if s := h.Stats(); s.Subscribers != 11 || s.Published != 200 || s.Delivered != 10*200+210 || s.ByType["document.added"] != s.Delivered {
		t.Errorf("stats: %+v", s)
	}
	for _, r := range readers {
		r.Close()
		r.Close()
	}
	slow.Close()
	h.Close()
	h.Close()
	if log.open != 0 {
		t.Errorf("%d log readers are still open", log.open)
	}
	if s := h.Stats(); s.Subscribers != 0 {
		t.Errorf("stats: %+v", s)
	}
	// Without the ring, reading goes on.
	if got := seqs(drain(t, open(t, h, cdc.Query{From: from(200)}), cdc.Limits{})); !reflect.DeepEqual(got, span(200, 210)) {
		t.Errorf("got %v", got)
	}
}

// Readers, writers and trimming at once: run with -race.
func TestConcurrent(t *testing.T) {
	for _, o := range []cdc.Options{{}, {RingBytes: 3000}, {HotDistance: 5, RingBytes: 10_000}} {
		log := newLog()
		h := cdc.NewHub(log, o)
		const total = 600
		var wg sync.WaitGroup
		for i := range 8 {
			c := open(t, h, cdc.Query{From: fromStart, Include: cdc.Include(i % 3)})
			wg.Go(func() {
				next := uint64(1)
				for next <= total {
					out, b, err := c.AppendBatch(nil, cdc.NDJSON, cdc.Limits{Events: 1 + i*5})
					if err != nil {
						t.Error(err)
						return
					}
					for line := range bytes.Lines(out) {
						var e cloudEvent
						if err := json.Unmarshal(line, &e); err != nil || e.Seq != next {
							t.Errorf("reader %d: seq %d, want %d: %v", i, e.Seq, next, err)
							return
						}
						next++
					}
					if b.Caught && next <= total {
						if err := c.Wait(t.Context()); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Go(func() {
			for i := 0; i < total; i += 6 {
				log.numbered(6, 3, 1+i%3)
				h.Stats()
			}
		})
		wg.Wait()
		h.Close()
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		h := cdc.NewHub(log, cdc.Options{})
		c, _ := h.Open(&cdc.Query{})
		defer c.Close()
		done := make(chan error)
		go func() { done <- c.Wait(t.Context()) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("woken without a change")
		default:
		}
		log.numbered(1, 1, 1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.Changed():
		default:
			t.Error("there is a change, and Changed does not say so")
		}
	})
}

func TestCheckpoints(t *testing.T) {
	var k cdc.Checkpoints
	now := time.Unix(100, 0)
	k.Told(5)
	for i, s := range []struct {
		after     time.Duration
		scanned   uint64
		heartbeat bool
		want      bool
	}{
		{0, 5, false, false}, {0, 5, true, false}, // nothing passed unseen
		{0, 6, false, true},
		{time.Millisecond, 7, false, false}, {0, 7, true, true}, // within a second only with a heartbeat
		{999 * time.Millisecond, 8, false, false}, {time.Millisecond, 8, false, true},
	} {
		now = now.Add(s.after)
		if got := k.Due(now, s.scanned, s.heartbeat); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if at, ok := k.Next(8); ok {
		t.Errorf("Next: %v", at)
	}
	if at, ok := k.Next(9); !ok || !at.Equal(now.Add(time.Second)) {
		t.Errorf("Next: %v %v", at, ok)
	}
}

func TestFraming(t *testing.T) {
	p := change.Position{Epoch: epoch1, Seq: 9, Check: 1, HasCheck: true}
	for _, c := range [][2]string{
		{string(cdc.AppendOpen(nil, epoch1, 1, 2, 1)), "event: stream.open\ndata: {\"epoch\":\"ceirceirceirc\",\"from\":1,\"head_seq\":2,\"earliest_seq\":1}\n\n"},
		{string(cdc.AppendLive(nil, cdc.SSE)), "event: stream.live\ndata: {}\n\n"},
		{string(cdc.AppendLive(nil, cdc.WebSocket)), "{\"type\":\"live\"}\n"},
		{string(cdc.AppendCheckpoint(nil, cdc.SSE, p, 12)), "id: ceirceirceirc:9:00000001\nevent: stream.checkpoint\ndata: {\"seq\":9,\"head_seq\":12}\n\n"},
		{string(cdc.AppendCheckpoint(nil, cdc.WebSocket, p, 12)), "{\"type\":\"checkpoint\",\"seq\":9,\"id\":\"ceirceirceirc:9:00000001\"}\n"},
		{string(cdc.AppendHeartbeat(nil, 12)), ": hb 12\n\n"},
		{string(cdc.AppendRetry(nil, cdc.RetryMillis)), "retry: 1000\n\n"},
		{string(cdc.AppendReset(nil, []byte("{}"))), "retry: 30000\n\nevent: stream.reset\ndata: {}\n\n"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func TestParseQuery(t *testing.T) {
	parse := func(lastEventID string, kv ...string) (*cdc.Query, *change.Error) {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return cdc.ParseQuery(func(n string) string { return m[n] }, lastEventID, func(s string) (cdc.Matcher, error) {
			if s == "bad" {
				return nil, errors.New("ill-formed")
			}
			return contains(s), nil
		})
	}
	q, err := parse("", "from", "7", "types", "document.*, library.created", "library", "a,b", "include", "none", "filter", "x")
	if err != nil || q.From != from(7) || len(q.Libraries) != 2 || q.Include != cdc.IncludeNone || q.Filter != contains("x") ||
		!q.Types.Has(change.DocumentPatched) || !q.Types.Has(change.LibraryCreated) || q.Types.Has(change.LibraryDeleted) || q.Types.Has(change.ChunkAdded) {
		t.Errorf("%+v %v", q, err)
	}
	p1, p2, p3 := change.Position{Epoch: epoch1, Seq: 1}, change.Position{Epoch: epoch1, Seq: 2}, change.Position{Epoch: epoch1, Seq: 3}
	if q, _ := parse("", "after", p1.String()); *q.After != p1 {
		t.Error(q.After)
	}
	if q, _ := parse("", "after", p1.String(), "last_event_id", p2.String()); *q.After != p2 {
		t.Error(q.After)
	}
	if q, _ := parse(p3.String(), "after", p1.String(), "last_event_id", p2.String()); *q.After != p3 {
		t.Error(q.After)
	}
	for _, kv := range [][2]string{{"from", "-1"}, {"from", "soon"}, {"after", "7"}, {"last_event_id", "x:1"}, {"types", "document"}, {"types", "docs.*"}, {"types", "document.*,"}, {"include", "all"}, {"library", "A"}, {"library", "a,,b"}} {
		if _, err := parse("", kv[0], kv[1]); err == nil || err.Code != change.InvalidArgument || err.Field != kv[0] {
			t.Errorf("%v: %v", kv, err)
		}
	}
	if _, err := parse("junk"); err == nil || err.Field != "Last-Event-ID" {
		t.Error(err)
	}
	if _, err := parse("", "filter", "bad"); err == nil || err.Code != change.InvalidFilter {
		t.Error(err)
	}
}

// foreign is a frame reader of another package.
type foreign struct{ n int }

type foreignFrame struct{ records []change.Record }

func (f *foreign) Next() (*foreignFrame, error) {
	f.n++
	return &foreignFrame{records: make([]change.Record, f.n)}, nil
}
func (f *foreign) Close() error { return nil }

func TestAdapt(t *testing.T) {
	readLog := func(uint64) (*foreign, error) { return new(foreign), nil }
	r, err := cdc.Adapt(readLog(1))(func(f *foreignFrame) cdc.Frame { return cdc.Frame{Records: f.records} })
	if err != nil {
		t.Fatal(err)
	}
	if f, err := r.Next(); err != nil || len(f.Records) != 1 {
		t.Error(f, err)
	}
}
