package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// history makes one event of each kind that the milestone has, and returns the
// library and the seq of the first.
func (e *env) history(t *testing.T) (lib string, first uint64) {
	t.Helper()
	lib = e.lib(t)
	first = num(e.get(t, "/v1/libraries/"+lib).obj(), "seq")
	e.patch(t, "/v1/libraries/"+lib, J{"description": "changed"}).is(200)
	e.put(t, doc(lib, "a"), simple("", J{"kind": "x"})).is(201)
	e.put(t, doc(lib, "a"), simple("", J{"kind": "y"})).is(200)
	e.patch(t, doc(lib, "a"), J{"metadata": J{"extra": 1}}).is(200)
	e.post(t, doc(lib, "a")+"/chunks", J{"chunks": []J{{"id": "c2", "text": "more", "embedding": []int{1, 2, 3}}}}).is(200, 201)
	e.del(t, doc(lib, "a")+"/chunks/c2").is(200)
	e.del(t, doc(lib, "a")).is(200)
	e.del(t, "/v1/libraries/"+lib).is(200)
	return lib, first
}

// A library's events show the dimension as the library does: null until the first
// vector has fixed it, also where the settings were given without.
func TestLibraryEventsShowTheDimension(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		first := num(e.get(t, "/v1/libraries/"+lib).is(200).obj(), "seq")
		e.put(t, doc(lib, "a"), J{"embedding": []int{1, 2, 3}}).is(201)
		e.patch(t, "/v1/libraries/"+lib, J{"description": "changed"}).is(200)
		e.del(t, "/v1/libraries/"+lib).is(200)
		evs := e.eventsFrom(t, first, "types=library.*&library="+lib)
		same(t, "types", types(evs), []string{"library.created", "library.updated", "library.deleted"})
		same(t, "created", at(evs[0], "data", "library", "dimension"), nil)
		same(t, "updated", at(evs[1], "data", "library", "dimension"), 3)
	})
}

func types(events []any) []string {
	out := make([]string, len(events))
	for i, ev := range events {
		out[i] = str(ev, "type")
	}
	return out
}

func TestEventsOfEveryKind(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		evs := e.eventsFrom(t, first, "library="+lib)
		same(t, "types", types(evs), []string{"library.created", "library.updated", "document.added", "document.updated", "document.updated", "chunk.added", "chunk.deleted", "document.deleted", "library.deleted"})
		if len(evs) != 9 {
			return
		}
		for _, ev := range evs {
			same(t, "specversion", at(ev, "specversion"), "1.0")
			same(t, "source", at(ev, "source"), "/v1/libraries/"+lib)
			same(t, "library_id", at(ev, "library_id"), lib)
			same(t, "sequence", at(ev, "sequence"), fmt.Sprint(num(ev, "seq")))
			same(t, "last", at(ev, "last"), true)
			if positionSeq(str(ev, "id")) != num(ev, "seq") {
				t.Errorf("id %q at seq %d", str(ev, "id"), num(ev, "seq"))
			}
			if when, err := time.Parse(time.RFC3339, str(ev, "time")); err != nil || time.Since(when) > time.Hour {
				t.Errorf("time %q: %v", str(ev, "time"), err)
			}
		}
		for i := 2; i <= 7; i++ {
			same(t, "subject", at(evs[i], "subject"), "a")
			same(t, "document_id", at(evs[i], "data", "document_id"), "a")
		}
		same(t, "previous of an addition", at(evs[2], "data", "previous"), nil)
		same(t, "added", at(evs[2], "data", "document", "metadata"), J{"kind": "x"})
		same(t, "its chunk", at(evs[2], "data", "document", "chunks", 0), J{"id": "0", "text": "text of ", "metadata": J{}})
		same(t, "num_chunks", at(evs[2], "data", "num_chunks"), 1)
		same(t, "replaced", at(evs[3], "data", "document", "metadata"), J{"kind": "y"})
		same(t, "previous", at(evs[3], "data", "previous"), J{"title": "title of ", "metadata": J{"kind": "x"}, "seq": at(evs[2], "seq")})
		same(t, "merged", at(evs[4], "data", "document", "metadata"), J{"kind": "y", "extra": 1})
		if at(evs[4], "data", "document", "partial") != true && at(evs[4], "data", "partial") != true {
			t.Errorf("a PATCH's event is not marked partial: %v", at(evs[4], "data"))
		}
		if at(evs[4], "data", "document", "chunks") != nil {
			t.Error("a PATCH's event holds chunks, which it did not set")
		}
		if !strings.Contains(jsonText(at(evs[5], "data", "chunk")), `"c2"`) {
			t.Errorf("data.chunk of chunk.added: %v", at(evs[5], "data", "chunk"))
		}
		same(t, "previous of a deletion", at(evs[7], "data", "previous", "metadata"), J{"kind": "y", "extra": 1})
		same(t, "document of a deletion", at(evs[7], "data", "document"), nil)
	})
}

func TestPullPages(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		whole := e.eventsFrom(t, first, "library="+lib)
		var got []any
		from := first
		for range 100 {
			page := e.get(t, fmt.Sprintf("/v1/events?from=%d&limit=2&library=%s", from, lib)).is(200).obj()
			if n := len(list(page, "events")); n > 2 {
				t.Errorf("%d events with limit=2", n)
			}
			got = append(got, list(page, "events")...)
			if positionSeq(str(page, "position"))+1 != num(page, "next") {
				t.Errorf("position %q and next %v are not the same place", page["position"], page["next"])
			}
			from = num(page, "next")
			if from > num(page, "head_seq") {
				break
			}
		}
		same(t, "by from", got, whole)

		got = nil
		after := str(e.get(t, fmt.Sprintf("/v1/events?from=%d&limit=1&library=%s", first, lib)).obj(), "events", 0, "id")
		got = append(got, whole[0])
		for range 100 {
			page := e.get(t, "/v1/events?limit=3&library="+lib+"&after="+q(after)).is(200).obj()
			got = append(got, list(page, "events")...)
			after = str(page, "position")
			if num(page, "next") > num(page, "head_seq") {
				break
			}
		}
		same(t, "by after", got, whole)
		// A position without its check is one too.
		parts := strings.Split(str(whole[3], "id"), ":")
		page := e.get(t, "/v1/events?limit=1&library="+lib+"&after="+q(parts[0]+":"+parts[1])).is(200).obj()
		same(t, "after without check", at(page, "events", 0), whole[4])
	})
}

// Where nothing passes, next moves past all that was looked at.
func TestPullNextPassesWhatIsFiltered(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		_, first := e.history(t)
		from := first
		for range 100 {
			page := e.get(t, fmt.Sprintf("/v1/events?from=%d&types=index.rebuilt&limit=2", from)).is(200).obj()
			same(t, "events", page["events"], []any{})
			if num(page, "next") <= from && from <= num(page, "head_seq") {
				t.Fatalf("next stays at %d below the head %d", num(page, "next"), num(page, "head_seq"))
			}
			if from = num(page, "next"); from > num(page, "head_seq") {
				return
			}
		}
		t.Error("100 pages did not reach the head")
	})
}

func TestPullStartNowAndBeyond(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		now := e.get(t, "/v1/events?library="+lib).is(200).obj()
		same(t, "from defaults to now", now["events"], []any{})
		head := num(now, "head_seq")
		same(t, "next", now["next"], head+1)
		start := e.get(t, "/v1/events?from=start&limit=10000&library="+lib).is(200).obj()
		same(t, "from=start", types(list(start, "events")), []string{"library.created"})
		e.get(t, fmt.Sprintf("/v1/events?from=%d", e.head(t)+1)).is(200)
		p := e.get(t, fmt.Sprintf("/v1/events?from=%d", e.head(t)+1000)).problem(409, "ahead")
		if p["detail"] == "" {
			t.Error("no detail")
		}
		if !e.scoped {
			all := e.eventsFrom(t, 1, "")
			for i, ev := range all {
				if num(ev, "seq") != uint64(i+1) {
					t.Fatalf("event %d has seq %d: the log has a gap", i, num(ev, "seq"))
				}
			}
		}
		same(t, "from=0 or 1", []int{e.get(t, "/v1/events?from=1").status}, []int{200})
	})
}

func TestPullSelects(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		for sel, want := range map[string]int{
			"types=document.*": 4, "types=document.added": 1, "types=document.added,chunk.*": 3, "types=library.*": 3, "types=*": 9,
			"types=index.rebuilt": 0, "types=library.created,document.deleted": 2,
		} {
			same(t, sel, len(e.eventsFrom(t, first, "library="+lib+"&"+sel)), want)
		}
		other := e.lib(t)
		e.put(t, doc(other, "o"), simple("", nil)).is(201)
		same(t, "two libraries", len(e.eventsFrom(t, first, "library="+lib+","+other)), 11)
		same(t, "a library that never was", len(e.eventsFrom(t, first, "library="+e.names[7])), 0)
		same(t, "all that the key sees", len(e.eventsFrom(t, first, "")), 11)
		if e.scoped {
			same(t, "a foreign library", len(e.eventsFrom(t, 1, "library="+foreignLib)), 0)
		}
	})
}

func TestPullInclude(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		w := e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		get := func(include string) any { return e.eventsFrom(t, w.seq(), "library="+lib+include)[0] }
		for _, dflt := range []string{"", "&include=document"} {
			ev := get(dflt)
			same(t, "chunk", at(ev, "data", "document", "chunks", 0), J{"id": "0", "text": "text of ", "metadata": J{}})
			same(t, "title", at(ev, "data", "title"), "title of ")
		}
		same(t, "embeddings", at(get("&include=embeddings"), "data", "document", "chunks", 0, "embedding"), []float64{1, 0.5, 0.25})
		same(t, "none", at(get("&include=none"), "data", "document"), nil)
		e.get(t, "/v1/events?include=all").badField("include")
	})
}

func TestPullFilterWithMatch(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		first := e.put(t, doc(lib, "a"), simple("", J{"s": "off"})).is(201).seq()
		e.put(t, doc(lib, "a"), simple("", J{"s": "on", "n": 1})).is(200)         // enter
		e.patch(t, doc(lib, "a"), J{"metadata": J{"n": 2}}).is(200)               // stay
		e.patch(t, doc(lib, "a"), J{"metadata": J{"s": "off"}}).is(200)           // leave
		e.patch(t, doc(lib, "a"), J{"metadata": J{"n": 3}}).is(200)               // not seen
		e.put(t, doc(lib, "b"), simple("", J{"s": "on"})).is(201)                 // enter
		e.del(t, doc(lib, "b")).is(200)                                           // leave
		e.post(t, docs(lib), simple("c", J{"s": "other"})).is(201)                // not seen
		e.ingest(t, lib, "", ndjson(simple("d", J{"s": "on", "v": 1}))).is(200)   // enter
		e.ingest(t, lib, "", ndjson(simple("d", J{"s": "on", "v": 2}))).is(200)   // stay
		e.ingest(t, lib, "", ndjson(simple("d", J{"s": "gone", "v": 3}))).is(200) // leave
		var got []string
		for _, ev := range e.eventsFrom(t, first, "library="+lib+"&filter="+q(`{"s":"on"}`)) {
			got = append(got, str(ev, "subject")+" "+str(ev, "type")+" "+str(ev, "data", "match"))
		}
		same(t, "matches", got, []string{"a document.updated enter", "a document.updated stay", "a document.updated leave", "b document.added enter", "b document.deleted leave", "d document.added enter", "d document.updated stay", "d document.updated leave"})
		e.get(t, "/v1/events?filter="+q(`{"$x":1}`)).problem(400, "invalid_filter")
	})
}

func TestPullWait(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		from := e.head(t) + 1
		begin := time.Now()
		page := e.get(t, fmt.Sprintf("/v1/events?from=%d&library=%s&wait=300ms", from, lib)).is(200).obj()
		same(t, "nothing came", page["events"], []any{})
		if d := time.Since(begin); d < 250*time.Millisecond {
			t.Errorf("wait=300ms came back after %v", d)
		}
		got := make(chan *resp, 1)
		go func() {
			got <- e.get(t, fmt.Sprintf("/v1/events?from=%d&library=%s&wait=20s", from, lib))
		}()
		e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		select {
		case r := <-got:
			same(t, "woken by the write", types(list(r.is(200).obj(), "events")), []string{"document.added"})
		case <-time.After(10 * time.Second):
			t.Error("a waiting pull was not woken within 10 s")
		}
		e.get(t, "/v1/events?wait=forever").badField("wait")
		e.get(t, "/v1/events?wait=-1s").badField("wait")
	})
}

func TestPullBadParameters(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		for query, field := range map[string]string{
			"from=x": "from", "from=-1": "from", "after=x": "after", "after=aaaaaaaaaaaaa:x": "after", "limit=x": "limit", "limit=-3": "limit",
			"frm=1": "frm", "follow=perhaps": "follow",
		} {
			e.get(t, "/v1/events?"+query).badField(field)
		}
		pos := e.headPosition(t)
		head := e.head(t)
		epoch := strings.Split(pos, ":")[0]
		p := e.get(t, "/v1/events?after="+q("aaaaaaaaaaaaa:1")).problem(409, "diverged")
		if _, ok := p["common_seq"]; !ok {
			t.Error("diverged without common_seq")
		}
		e.get(t, "/v1/events?after="+q(fmt.Sprintf("%s:%d", epoch, head+1_000_000))).problem(409, "ahead")
		e.get(t, "/v1/events?after="+q(flipCheck(t, pos))).problem(409, "diverged")
		e.get(t, "/v1/events?limit=1000000&from=1").is(200)
		e.get(t, "/v1/events?library=NOT+A+NAME").is(200, 400)
	})
}

// flipCheck changes a digit of a position's check.
func flipCheck(t testing.TB, pos string) string {
	t.Helper()
	if strings.Count(pos, ":") != 2 {
		t.Fatalf("position %q of a server has no check", pos)
	}
	last := pos[len(pos)-1]
	if last == '0' {
		return pos[:len(pos)-1] + "1"
	}
	return pos[:len(pos)-1] + "0"
}

func TestEventsAsLines(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		whole := e.eventsFrom(t, first, "library="+lib)
		r := e.get(t, fmt.Sprintf("/v1/events?from=%d&library=%s", first, lib), "Accept", "application/x-ndjson").is(200)
		lines := r.lines("EventLine")
		same(t, "to the head", lines, whole)

		s := e.follow(t, fmt.Sprintf("from=%d&library=%s&follow=true", first, lib))
		for i := range whole {
			same(t, "line", s.line(t), whole[i])
		}
		e.post(t, "/v1/libraries", J{"id": lib, "embedding": J{"provider": "none"}}).is(201)
		t.Cleanup(func() { e.root.del(t, "/v1/libraries/"+lib) })
		same(t, "the next change", s.line(t)["type"], "library.created")
		e.ingest(t, lib, "", ndjson(simple("x", nil), simple("y", nil))).is(200)
		same(t, "x", s.line(t)["subject"], "x")
		same(t, "y", s.line(t)["subject"], "y")
		e.get(t, fmt.Sprintf("/v1/events?from=%d", e.head(t)+1000), "Accept", "application/x-ndjson").problem(409, "ahead")
	})
}

// A group's events come in one answer, whatever limit says: last ends it.
func TestGroupsAreMarked(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		ops := make([]J, 7)
		for i := range ops {
			ops[i] = J{"op": "put", "id": fmt.Sprint("g", i), "document": simple("", nil)}
		}
		r := e.post(t, "/v1/libraries/"+lib+"/batch", J{"operations": ops}).is(200)
		first := r.seq() - 6
		evs := e.eventsFrom(t, first, "library="+lib)
		if len(evs) != 7 {
			t.Fatalf("%d events", len(evs))
		}
		for i, ev := range evs {
			same(t, "last", at(ev, "last"), i == 6)
			same(t, "seq", at(ev, "seq"), first+uint64(i))
		}
		// Resumed in the middle, the rest comes.
		rest := e.get(t, "/v1/events?library="+lib+"&after="+q(str(evs[2], "id"))).is(200).obj()
		same(t, "rest", list(rest, "events"), evs[3:])
	})
}

func TestEventStats(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		before := e.get(t, "/v1/events/stats").is(200).obj()
		s := e.sse(t, "library="+lib)
		s.live(t)
		w := e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		s.event(t)
		stats := e.get(t, "/v1/events/stats").is(200).obj()
		if num(stats, "head_seq") < w.seq() || num(stats, "durable_seq") < num(stats, "head_seq") || num(stats, "earliest_seq") > 1 {
			t.Errorf("head %v durable %v earliest %v after seq %d", stats["head_seq"], stats["durable_seq"], stats["earliest_seq"], w.seq())
		}
		if num(stats, "log_bytes") == 0 || num(stats, "subscribers") == 0 {
			t.Errorf("log_bytes %v subscribers %v", stats["log_bytes"], stats["subscribers"])
		}
		grew := num(stats, "by_type", "document.added") - num(before, "by_type", "document.added")
		same(t, "document.added since", grew, 1)
		if num(stats, "published_total") <= num(before, "published_total") {
			t.Errorf("published_total %v then %v", before["published_total"], stats["published_total"])
		}
		e.get(t, "/v1/events/stats?x=1").badField("x")
	})
}
