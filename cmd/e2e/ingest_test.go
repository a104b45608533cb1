package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// ndjson joins lines; each is a string or a value.
func ndjson(lines ...any) string {
	var b strings.Builder
	for _, l := range lines {
		if s, ok := l.(string); ok {
			b.WriteString(s)
		} else {
			b.WriteString(jsonText(l))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func gzipped(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(s))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, s string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll([]byte(s), nil)
}

// counts compares the counters of a summary.
func counts(t testing.TB, s J, successful, failed, skipped, lines int) {
	t.Helper()
	same(t, "successful, failed, skipped, lines", []any{s["successful"], s["failed"], s["skipped"], s["lines"]}, []int{successful, failed, skipped, lines})
}

func TestIngestSummary(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		from := e.head(t) + 1
		s := e.ingest(t, lib, "", ndjson(simple("a", nil), "", `{"id":"bad"`, simple("b", nil), J{"id": "c", "embedding": []int{1}}, simple("a", J{"v": 2}), "   ")).is(200).obj()
		counts(t, s, 3, 2, 0, 7)
		same(t, "num_chunks", s["num_chunks"], 3)
		same(t, "complete", s["complete"], true)
		same(t, "errors_truncated", s["errors_truncated"], false)
		errs := list(s, "errors")
		if len(errs) != 2 {
			t.Fatalf("errors %v", errs)
		}
		same(t, "first error", []any{at(errs[0], "line"), at(errs[0], "code")}, []any{3, "invalid_json"})
		same(t, "second error", []any{at(errs[1], "line"), at(errs[1], "code")}, []any{5, "dimension_mismatch"})
		events := e.eventsFrom(t, from, "library="+lib+"&types=document.*")
		if len(events) != 3 {
			t.Fatalf("%d events", len(events))
		}
		same(t, "first_seq", s["first_seq"], at(events[0], "seq"))
		same(t, "last_seq", s["last_seq"], at(events[2], "seq"))
		same(t, "the second a", []string{str(events[2], "type"), str(events[2], "subject")}, []string{"document.updated", "a"})
		same(t, "stored", e.get(t, doc(lib, "a")).is(200).obj()["metadata"], J{"v": 2})
	})
}

func TestIngestModes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		for _, c := range []struct {
			mode                        string
			successful, failed, skipped int
			stored                      int
			result                      string
		}{
			{"upsert", 3, 0, 0, 2, "updated"}, {"insert", 2, 1, 0, 1, ""}, {"skip", 2, 0, 1, 1, "skipped"},
		} {
			t.Run(c.mode, func(t *testing.T) {
				lib := e.lib(t)
				old := e.put(t, doc(lib, "old"), simple("", J{"v": 1})).is(201)
				body := ndjson(simple("x", nil), simple("old", J{"v": 2}), simple("y", nil))
				r := e.ingest(t, lib, "ack=line&mode="+c.mode, body).is(200)
				lines := r.lines("IngestLine")
				sum := lines[len(lines)-1]
				counts(t, sum, c.successful, c.failed, c.skipped, 3)
				same(t, "stored", at(e.get(t, doc(lib, "old")).obj(), "metadata", "v"), c.stored)
				for _, l := range lines {
					if l["type"] == "line" && num(l, "line") == 2 {
						same(t, "result of line 2", l["result"], c.result)
						if c.mode == "skip" && num(l, "seq") > old.seq() {
							t.Errorf("a skipped line has seq %v", l["seq"])
						}
					}
				}
				if c.mode == "insert" {
					errs := list(sum, "errors")
					same(t, "error", []any{at(errs, 0, "line"), at(errs, 0, "code")}, []any{2, "already_exists"})
				}
			})
		}
	})
}

func TestIngestOnError(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		body := ndjson(simple("a", nil), simple("b", nil), "{broken", simple("c", nil))
		for _, ack := range []string{"summary", "batch", "line"} {
			lib := e.lib(t)
			r := e.ingest(t, lib, "on_error=abort&ack="+ack, body)
			var s J
			if ack == "summary" {
				s = r.is(200).obj()
			} else {
				lines := r.is(200).lines("IngestLine")
				s = lines[len(lines)-1]
			}
			same(t, ack+": successful", s["successful"], 2)
			same(t, ack+": complete", s["complete"], false)
			same(t, ack+": the line", at(s, "errors", 0, "line"), 3)
			e.get(t, doc(lib, "b")).is(200)
			e.get(t, doc(lib, "c")).problem(404, "document_not_found")
			s = e.ingest(t, lib, "on_error=continue", body).is(200).obj()
			counts(t, s, 3, 1, 0, 4)
		}
	})
}

// Every mode with every on_error and every ack tells the same story.
func TestIngestMatrix(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		n := 0
		for _, mode := range []string{"upsert", "insert", "skip"} {
			for _, onError := range []string{"continue", "abort"} {
				for _, ack := range []string{"summary", "batch", "line"} {
					n++
					id := func(i int) string { return fmt.Sprintf("x%d-%d", n, i) }
					e.put(t, doc(lib, id(2)), simple("", J{"old": true})).is(201)
					body := ndjson(simple(id(1), nil), "", simple(id(2), nil), simple(id(3), nil), "{broken", simple(id(4), nil))
					r := e.ingest(t, lib, "mode="+mode+"&on_error="+onError+"&ack="+ack, body).is(200)
					var sum J
					if ack == "summary" {
						sum = r.obj()
					} else {
						lines := r.lines("IngestLine")
						sum = lines[len(lines)-1]
						same(t, "type of the last line", sum["type"], "summary")
					}
					stopsAt := map[bool]int{true: 5, false: 99}[onError == "abort"]
					if onError == "abort" && mode == "insert" {
						stopsAt = 3
					}
					ok, failed, skipped := 0, 0, 0
					for line, what := range map[int]string{1: "new", 3: "old", 4: "new", 5: "bad", 6: "new"} {
						switch {
						case line > stopsAt:
						case what == "bad" || what == "old" && mode == "insert":
							failed++
						case what == "old" && mode == "skip":
							skipped++
						default:
							ok++
						}
					}
					where := mode + " " + onError + " " + ack
					same(t, where+": successful, failed, skipped", []any{sum["successful"], sum["failed"], sum["skipped"]}, []int{ok, failed, skipped})
					same(t, where+": complete", sum["complete"], onError == "continue")
					same(t, where+": the last document is there", e.get(t, doc(lib, id(4))).status == 200, onError == "continue")
					same(t, where+": the old one", at(e.get(t, doc(lib, id(2))).obj(), "metadata", "old") == nil, mode == "upsert")
				}
			}
		}
	})
}

func TestIngestAcks(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		lines := e.ingest(t, lib, "ack=line", ndjson(simple("a", nil), "oops", simple("b", nil), simple("a", nil))).is(200).lines("IngestLine")
		var seen []any
		var lastSeq uint64
		for _, l := range lines {
			switch l["type"] {
			case "line":
				seen = append(seen, []any{l["line"], l["id"], l["result"]})
				if s := num(l, "seq"); s <= lastSeq {
					t.Errorf("seq %d after %d", s, lastSeq)
				} else {
					lastSeq = s
				}
			case "error":
				seen = append(seen, []any{l["line"], l["code"]})
			}
		}
		same(t, "receipts", seen, []any{[]any{1, "a", "added"}, []any{2, "invalid_json"}, []any{3, "b", "added"}, []any{4, "a", "updated"}})
		last := lines[len(lines)-1]
		same(t, "last line", last["type"], "summary")
		counts(t, last, 3, 1, 0, 4)
		same(t, "last_seq", last["last_seq"], lastSeq)

		lines = e.ingest(t, lib, "ack=batch", ndjson(simple("c", nil), "oops", simple("d", nil))).is(200).lines("IngestLine")
		var acked uint64
		for _, l := range lines {
			switch l["type"] {
			case "line":
				t.Errorf("ack=batch sent a receipt: %v", l)
			case "ack":
				if n := num(l, "lines"); n < acked {
					t.Errorf("acks went from %d to %d", acked, n)
				} else {
					acked = n
				}
			}
		}
		if acked > 3 {
			t.Errorf("%d lines acknowledged of 3", acked)
		}
		counts(t, lines[len(lines)-1], 2, 1, 0, 3)
	})
}

func TestIngestLineEndings(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		one := jsonText(simple("a", nil))
		for _, c := range []struct {
			name, body        string
			successful, lines int
		}{
			{"no trailing newline", one + "\n" + one, 2, 2},
			{"CRLF", one + "\r\n" + one + "\r\n", 2, 2},
			{"blank lines", "\n\n" + one + "\n\r\n \t\n" + one + "\n\n", 2, 7},
			{"one line", one, 1, 1},
		} {
			t.Run(c.name, func(t *testing.T) {
				lib := e.lib(t)
				counts(t, e.ingest(t, lib, "", c.body).is(200).obj(), c.successful, 0, 0, c.lines)
			})
		}
	})
}

func TestIngestCompressedBodies(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		var lines []any
		for i := range 3000 {
			lines = append(lines, simple(fmt.Sprintf("d%05d", i), J{"n": i}))
		}
		body := ndjson(lines...)
		for name, raw := range map[string][]byte{"gzip": gzipped(t, body), "zstd": zstded(t, body), "identity": []byte(body)} {
			lib := e.lib(t)
			s := e.ingest(t, lib, "", raw, "Content-Encoding", name).is(200).obj()
			counts(t, s, 3000, 0, 0, 3000)
			same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 3000)
		}
		lib := e.lib(t)
		// Members one after the other are one stream.
		s := e.ingest(t, lib, "", append(gzipped(t, ndjson(simple("a", nil))), gzipped(t, ndjson(simple("b", nil)))...), "Content-Encoding", "gzip").is(200).obj()
		counts(t, s, 2, 0, 0, 2)
		s = e.ingest(t, lib, "", append(zstded(t, ndjson(simple("c", nil))), zstded(t, ndjson(simple("d", nil)))...), "Content-Encoding", "zstd").is(200).obj()
		counts(t, s, 2, 0, 0, 2)
		e.ingest(t, lib, "", body, "Content-Encoding", "br").problem(415, "unsupported_media_type")
		for _, enc := range []string{"gzip", "zstd"} {
			if r := e.ingest(t, lib, "", "this is neither", "Content-Encoding", enc); r.status < 400 || r.status >= 500 {
				t.Errorf("garbage as %s: status %d", enc, r.status)
			}
		}
	})
}

// A compressed body that is cut off, or damaged, keeps the whole lines before
// and says that it is not complete.
func TestIngestDamagedCompression(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		var lines []any
		for i := range 2000 {
			lines = append(lines, J{"id": fmt.Sprintf("d%05d", i), "embedding": []float64{float64(i) * 0.37, 1}})
		}
		for enc, raw := range map[string][]byte{"gzip": gzipped(t, ndjson(lines...)), "zstd": zstded(t, ndjson(lines...))} {
			lib := e.lib(t)
			r := e.ingest(t, lib, "", raw[:len(raw)-9], "Content-Encoding", enc)
			n := num(e.get(t, "/v1/libraries/"+lib+"/count").obj(), "count")
			if r.status == 200 {
				same(t, enc+": complete", r.obj()["complete"], false)
				same(t, enc+": successful", r.obj()["successful"], n)
			} else if n != 0 {
				t.Errorf("%s: status %d, yet %d documents were kept", enc, r.status, n)
			}
			if n > 2000 {
				t.Errorf("%d documents", n)
			}
		}
	})
}

func TestIngestErrorsAreCapped(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.ingest(t, lib, "", strings.Repeat("bad\n", 150)+ndjson(simple("a", nil))).is(200).obj()
		counts(t, s, 1, 150, 0, 151)
		same(t, "errors listed", len(list(s, "errors")), 100)
		same(t, "errors_truncated", s["errors_truncated"], true)
	})
}

func TestIngestRefusals(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		one := ndjson(simple("a", nil))
		e.ingest(t, e.names[7], "", one).problem(404, "library_not_found")
		for query, field := range map[string]string{"mode=replace": "mode", "on_error=ignore": "on_error", "ack=all": "ack", "modus=skip": "modus", "source=a%20b": "source", "source=s&first_line=0": "first_line", "source=s&first_line=x": "first_line"} {
			e.ingest(t, lib, query, one).badField(field)
		}
		e.ingest(t, lib, "", one, "Content-Type", "text/csv").problem(415, "unsupported_media_type")
		e.get(t, doc(lib, "a")).problem(404, "document_not_found")
		s := e.ingest(t, lib, "", "")
		if s.status == 200 {
			counts(t, s.obj(), 0, 0, 0, 0)
			same(t, "first_seq", s.obj()["first_seq"], nil)
		}
	})
}

func TestIngestOverlongLine(t *testing.T) {
	s := startServer(t, t.TempDir(), "--max-line-bytes", "65536")
	c := newClient(s.base(), "")
	c.post(t, "/v1/libraries", J{"id": "l", "embedding": J{"provider": "none"}}).is(201)
	long := J{"id": "long", "title": strings.Repeat("x", 100_000), "embedding": []int{1, 2, 3}}
	sum := c.ingest(t, "l", "", ndjson(simple("a", nil), long, simple("b", nil))).is(200).obj()
	counts(t, sum, 2, 1, 0, 3)
	same(t, "error", []any{at(sum, "errors", 0, "line"), at(sum, "errors", 0, "code")}, []any{2, "too_large"})
	// A bomb: a small body that unpacks to a line of 64 MiB.
	bomb := gzipped(t, ndjson(simple("c", nil))+`{"id":"bomb","title":"`+strings.Repeat("x", 64<<20)+`"}`+"\n"+ndjson(simple("d", nil)))
	sum = c.ingest(t, "l", "", bomb, "Content-Encoding", "gzip").is(200).obj()
	counts(t, sum, 2, 1, 0, 3)
	c.get(t, doc("l", "d")).is(200)
}

func TestExport(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		var want []string
		for i := range 50 {
			id := fmt.Sprintf("d%02d", 49-i)
			e.put(t, doc(lib, id), J{"title": id, "metadata": J{"n": i, "deep": J{"x": []any{1, "two", nil, 2.5}}}, "chunks": []J{{"id": "first", "text": "t " + id, "embedding": []float64{0.1 * float64(i), 1}, "metadata": J{"p": i}}, {"embedding": []float64{1e-7, float64(i)}}}}).is(201)
			want = append([]string{id}, want...)
		}
		r := e.get(t, docs(lib)+"/stream?include=embeddings").is(200)
		same(t, "Arrwdb-Documents", r.header.Get("Arrwdb-Documents"), "50")
		if ct := r.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/x-ndjson") {
			t.Errorf("content type %q", ct)
		}
		lines := r.lines("ExportLine")
		var got []string
		for _, l := range lines {
			got = append(got, str(l, "id"))
		}
		same(t, "ids", got, want)
		same(t, "as GET", lines[7], e.get(t, doc(lib, want[7])+"?include=embeddings").obj())
		plain := e.get(t, docs(lib)+"/stream").is(200).lines("ExportLine")
		same(t, "no embeddings unless asked", at(plain[0], "chunks", 0, "embedding"), nil)

		// Piped into an import it gives the same library.
		other := e.lib(t)
		counts(t, e.ingest(t, other, "", r.body).is(200).obj(), 50, 0, 0, 50)
		back := e.get(t, docs(other)+"/stream?include=embeddings").is(200).lines("ExportLine")
		if len(back) != len(lines) {
			t.Fatalf("%d lines came back, want %d", len(back), len(lines))
		}
		for i := range back {
			for _, f := range []string{"library_id", "seq", "updated_at"} {
				delete(back[i], f)
				delete(lines[i], f)
			}
			same(t, "line", back[i], lines[i])
		}
		same(t, "filtered count", e.get(t, docs(lib)+"/stream?filter="+q(`{"n":{"$lt":10}}`)).is(200).header.Get("Arrwdb-Documents"), "10")
		e.get(t, docs(e.names[7])+"/stream").problem(404, "library_not_found")
		e.get(t, docs(lib)+"/stream?inclde=x").badField("inclde")
	})
}
