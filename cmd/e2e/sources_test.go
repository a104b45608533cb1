package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

func (e *env) source(t testing.TB, lib, name string) J {
	t.Helper()
	return e.get(t, "/v1/libraries/"+lib+"/sources/"+name).is(200).obj()
}

func TestSourceResumes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		same(t, "unknown", e.source(t, lib, "s"), J{"lines": 0, "seq": 0})
		from := e.head(t) + 1
		// Blank, failed and skipped lines count as taken.
		body := ndjson(simple("a", nil), "", "{broken", simple("a", J{"v": 2}), simple("b", nil))
		s := e.ingest(t, lib, "source=s&mode=skip", body).is(200).obj()
		counts(t, s, 2, 1, 1, 5)
		src := e.source(t, lib, "s")
		same(t, "lines", src["lines"], 5)
		same(t, "seq", src["seq"], s["last_seq"])

		// From line 1 again: all is passed over, nothing is written.
		e.ingest(t, lib, "source=s", body).is(200)
		same(t, "events", len(e.eventsFrom(t, from, "library="+lib)), 2)
		same(t, "lines", e.source(t, lib, "s")["lines"], 5)

		// With more behind it, only the new lines are taken, and errors keep their numbers.
		s = e.ingest(t, lib, "source=s", body+ndjson(simple("c", nil), "{broken", simple("d", nil))).is(200).obj()
		same(t, "successful", s["successful"], 2)
		same(t, "line of the error", at(s, "errors", 0, "line"), 7)
		same(t, "events", len(e.eventsFrom(t, from, "library="+lib)), 4)
		same(t, "lines", e.source(t, lib, "s")["lines"], 8)

		// From line K: overlap is passed over, numbers are those of the source.
		s = e.ingest(t, lib, "source=s&first_line=8", ndjson(simple("d", J{"again": true}), simple("e", nil), "{broken")).is(200).obj()
		same(t, "successful", s["successful"], 1)
		same(t, "line of the error", at(s, "errors", 0, "line"), 10)
		same(t, "d is as before", e.get(t, doc(lib, "d")).obj()["metadata"], J{})
		same(t, "lines", e.source(t, lib, "s")["lines"], 10)
		s = e.ingest(t, lib, "source=s&first_line=11", ndjson(simple("f", nil))).is(200).obj()
		same(t, "successful", s["successful"], 1)

		e.ingest(t, lib, "source=s&first_line=13", ndjson(simple("g", nil))).problem(409, "conflict")
		e.get(t, doc(lib, "g")).problem(404, "document_not_found")
		e.ingest(t, lib, "source=new&first_line=2", ndjson(simple("g", nil))).problem(409, "conflict")

		// Another source, and another library, have positions of their own.
		same(t, "other source", e.source(t, lib, "other")["lines"], 0)
		lib2 := e.lib(t)
		same(t, "other library", e.source(t, lib2, "s")["lines"], 0)

		e.del(t, "/v1/libraries/"+lib+"/sources/s").is(200)
		same(t, "forgotten", e.source(t, lib, "s"), J{"lines": 0, "seq": 0})
		s = e.ingest(t, lib, "source=s&mode=skip", body).is(200).obj()
		same(t, "lines are taken again", num(s, "successful")+num(s, "skipped"), 3)
	})
}

func TestSourceUnderAbort(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.ingest(t, lib, "source=s&on_error=abort", ndjson(simple("a", nil), "", "{broken", simple("b", nil))).is(200).obj()
		same(t, "complete", s["complete"], false)
		same(t, "the bad line is not taken", e.source(t, lib, "s")["lines"], 2)
		// Mended, it goes on from there.
		s = e.ingest(t, lib, "source=s&on_error=abort", ndjson(simple("a", nil), "", simple("mended", nil), simple("b", nil))).is(200).obj()
		same(t, "successful", s["successful"], 2)
		same(t, "lines", e.source(t, lib, "s")["lines"], 4)
	})
}

func TestSourceThatOnlyFails(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.ingest(t, lib, "source=s", ndjson("x", "", "y")).is(200, 400)
		n := num(e.source(t, lib, "s"), "lines")
		if n != 3 {
			t.Errorf("%d lines taken, want 3: blank and failed lines count", n)
		}
	})
}

func TestSourceSurvivesAKill(t *testing.T) {
	s := startServer(t, t.TempDir())
	c := newClient(s.base(), "")
	e := &env{client: c, srv: s, root: c, names: envNames()}
	c.post(t, "/v1/libraries", J{"id": "l", "embedding": J{"provider": "none"}}).is(201)
	sum := c.ingest(t, "l", "source=s", ndjson(simple("a", nil), "bad", simple("b", nil))).is(200).obj()
	s.restart(t, true)
	same(t, "source", e.source(t, "l", "s"), J{"lines": 3, "seq": sum["last_seq"]})
	c.ingest(t, "l", "source=s", ndjson(simple("a", nil), "bad", simple("b", nil), simple("c", nil))).is(200)
	same(t, "events", len(c.eventsFrom(t, 1, "types=document.*")), 3)
}

// A second upload of a source while the first still runs is refused; when the
// first ends, the next may go on.
func TestSourceIsTakenByOneUpload(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		body, feed := io.Pipe()
		req := e.request(t, "POST", docs(lib)+"/stream?ack=line&source=s", body, "Content-Type", "application/x-ndjson")
		done := make(chan error, 1)
		started := make(chan *http.Response, 1)
		go func() {
			res, err := e.hc.Do(req)
			if err == nil {
				started <- res
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			done <- err
		}()
		fmt.Fprint(feed, ndjson(simple("a", nil)))
		eventually(t, "the first line is taken", func() bool { return num(e.source(t, lib, "s"), "lines") == 1 })
		e.ingest(t, lib, "source=s", ndjson(simple("a", nil), simple("x", nil))).problem(409, "conflict")
		e.ingest(t, lib, "source=t", ndjson(simple("y", nil))).is(200)
		feed.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		e.ingest(t, lib, "source=s", ndjson(simple("a", nil), simple("b", nil))).is(200)
		same(t, "lines", e.source(t, lib, "s")["lines"], 2)
		e.get(t, doc(lib, "x")).problem(404, "document_not_found")
	})
}

func TestSourceNames(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.get(t, "/v1/libraries/"+e.names[7]+"/sources/s").problem(404, "library_not_found")
		e.del(t, "/v1/libraries/"+e.names[7]+"/sources/s").problem(404, "library_not_found")
		e.get(t, "/v1/libraries/"+lib+"/sources/a%20b").is(400, 404)
		// A library that is made again knows nothing of the old one's sources.
		e.ingest(t, lib, "source=s", ndjson(simple("a", nil))).is(200)
		e.del(t, "/v1/libraries/"+lib).is(200)
		e.post(t, "/v1/libraries", J{"id": lib, "embedding": J{"provider": "none"}}).is(201)
		same(t, "source", e.source(t, lib, "s"), J{"lines": 0, "seq": 0})
	})
}
