package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The suite's own reader follows the grammar of the HTML standard.
func TestParseFrames(t *testing.T) {
	var got []frame
	err := parseFrames(strings.NewReader("retry: 1000\n\n: hb 7\n\nid: a:1\nevent: x\ndata: {\"a\":1}\n\nevent: y\ndata: 1\ndata: 2\n\nid: cut\ndata: off"), func(f frame) { got = append(got, f) })
	want := []frame{{retry: "1000"}, {comment: "hb 7"}, {id: "a:1", hasID: true, event: "x", data: `{"a":1}`}, {event: "y", data: "1\n2"}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\n got %v\nwant %v", err, got, want)
	}
}

func TestSSEOpensGoesLiveAndFollows(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		whole := e.eventsFrom(t, first, "library="+lib)
		s := e.sse(t, fmt.Sprintf("from=%d&library=%s", first, lib))
		f := s.next(t)
		same(t, "retry comes first", f.retry, "1000")
		open := f
		if f.event == "" {
			open = s.next(t)
		}
		if open.event != "stream.open" || open.hasID {
			t.Errorf("first event %q, id %v", open.event, open.hasID)
		}
		o := mustMatch(t, "StreamOpen", []byte(open.data))
		same(t, "from", o["from"], first)
		for i := range whole {
			f, ev := s.event(t)
			same(t, "event", ev, whole[i])
			if strings.Contains(f.data, "\n") {
				t.Error("data on more than one line")
			}
		}
		for f = s.next(t); f.event != "stream.live"; f = s.next(t) { // checkpoints and comments may come before
			if f.event != "" && f.event != "stream.checkpoint" {
				t.Fatalf("%q before stream.live", f.event)
			}
		}
		lib2 := e.lib(t)
		s2 := e.sse(t, "library="+lib2)
		s2.live(t)
		w := e.put(t, doc(lib2, "x"), simple("", nil)).is(201)
		f, ev := s2.event(t)
		same(t, "seq", ev["seq"], w.seq())
		same(t, "id is the write's position", strings.Split(f.id, ":")[:2], strings.Split(w.header.Get("Arrwdb-Position"), ":")[:2])
	})
}

func TestSSEResumes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		whole := e.eventsFrom(t, first, "library="+lib)
		for i := range len(whole) - 1 {
			id := str(whole[i], "id")
			for name, s := range map[string]*stream{
				"header":             e.sse(t, "library="+lib, "Last-Event-ID", id),
				"last_event_id":      e.sse(t, "library="+lib+"&last_event_id="+q(id)),
				"after":              e.sse(t, "library="+lib+"&after="+q(id)),
				"header wins":        e.sse(t, "library="+lib+"&from=1", "Last-Event-ID", id),
				"header beats after": e.sse(t, "library="+lib+"&after="+q(str(whole[0], "id")), "Last-Event-ID", id),
			} {
				_, ev := s.event(t)
				same(t, name, ev["seq"], at(whole[i+1], "seq"))
				s.close()
			}
		}
		// EventSource sends an empty id where it has none.
		s := e.sse(t, fmt.Sprintf("from=%d&library=%s", first, lib), "Last-Event-ID", "")
		_, ev := s.event(t)
		same(t, "without an id", ev["seq"], first)
	})
}

func TestSSESelects(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, first := e.history(t)
		s := e.sse(t, fmt.Sprintf("from=%d&library=%s&types=document.*&include=none", first, lib))
		for _, want := range []string{"document.added", "document.updated", "document.updated", "document.deleted"} {
			f, ev := s.event(t)
			same(t, "type", f.event, want)
			same(t, "no document", at(ev, "data", "document"), nil)
		}
		s = e.sse(t, fmt.Sprintf("from=%d&library=%s&types=document.*&filter=%s", first, lib, q(`{"kind":"y"}`)))
		for _, want := range []string{"enter", "stay", "leave"} {
			_, ev := s.event(t)
			same(t, "match", at(ev, "data", "match"), want)
		}
	})
}

func TestSSEHeartbeat(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.sse(t, "heartbeat=100ms&library="+lib)
		s.live(t)
		beats := 0
		for beats < 3 {
			f := s.next(t)
			if rest, ok := strings.CutPrefix(f.comment, "hb "); ok {
				var head uint64
				if n, _ := fmt.Sscan(rest, &head); n != 1 || head > e.head(t) {
					t.Errorf("heartbeat %q", f.comment)
				}
				beats++
			}
		}
		for _, bad := range []string{"soon", "-1s"} {
			if r := e.get(t, "/v1/events/stream?heartbeat="+bad); r.status != 400 {
				t.Errorf("heartbeat=%s: status %d", bad, r.status)
			}
		}
	})
}

// While writes go on that a filter does not pass, the reader's place still moves:
// at most a second old while there is something to say.
func TestSSECheckpointWhereNothingPasses(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.sse(t, "heartbeat=500ms&types=index.rebuilt&library="+lib)
		s.live(t)
		var id string
		var last uint64
		begin := time.Now()
		for points := 0; points < 2; {
			w := e.put(t, doc(lib, "a"), simple("", nil)).is(200, 201)
			select {
			case f, ok := <-s.frames:
				if !ok {
					t.Fatal("the stream ended")
				}
				if f.event != "stream.checkpoint" {
					continue
				}
				points++
				cp := mustMatch(t, "StreamCheckpoint", []byte(f.data))
				if !f.hasID || positionSeq(f.id) != num(cp, "seq") {
					t.Errorf("checkpoint at %v with id %q", cp["seq"], f.id)
				}
				if num(cp, "seq") <= last || num(cp, "seq") > w.seq() {
					t.Errorf("checkpoint at %v, before it %d, the newest write is %d", cp["seq"], last, w.seq())
				}
				last, id = num(cp, "seq"), f.id
			default:
			}
			if time.Since(begin) > 10*time.Second {
				t.Fatal("no two checkpoints in 10 s of writes")
			}
		}
		if d := time.Since(begin); d < 400*time.Millisecond {
			t.Errorf("two checkpoints in %v: at most one a second, or with a heartbeat", d)
		}
		// It can be resumed from.
		r := e.sse(t, "library="+lib, "Last-Event-ID", id)
		w := e.put(t, doc(lib, "resumed"), simple("", nil)).is(201)
		for {
			_, ev := r.event(t)
			if num(ev, "seq") <= last {
				t.Errorf("seq %v after the checkpoint at %d", ev["seq"], last)
			}
			if num(ev, "seq") == w.seq() {
				break
			}
		}
	})
}

// Also with the default heartbeat a place is at most a second old, with some
// slack for the machine, while writes go on.
func TestSSECheckpointKeepsUp(t *testing.T) {
	e := openEnv(t)
	lib := e.lib(t)
	s := e.sse(t, "types=index.rebuilt")
	s.live(t)
	for begin := time.Now(); ; {
		e.put(t, doc(lib, "a"), simple("", nil)).is(200, 201)
		select {
		case f, ok := <-s.frames:
			if !ok {
				t.Fatal("the stream ended")
			}
			if f.event == "stream.checkpoint" {
				return
			}
		default:
		}
		if time.Since(begin) > 3*time.Second {
			t.Fatal("no checkpoint in 3 s of writes that pass unseen")
		}
	}
}

// A position that cannot be served: 200, one stream.reset, the end.
func TestSSEReset(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		e.lib(t)
		pos := e.headPosition(t)
		head := e.head(t)
		epoch := strings.Split(pos, ":")[0]
		for _, c := range []struct{ name, query, id, code string }{
			{"ahead by from", fmt.Sprintf("from=%d", head+1000), "", "ahead"},
			{"ahead by after", "after=" + q(fmt.Sprintf("%s:%d", epoch, head+1000)), "", "ahead"},
			{"ahead by id", "", fmt.Sprintf("%s:%d", epoch, head+1000), "ahead"},
			{"unknown epoch", "", "aaaaaaaaaaaaa:1", "diverged"},
			{"unknown epoch by after", "after=aaaaaaaaaaaaa%3A1", "", "diverged"},
			{"wrong check", "", flipCheck(t, pos), "diverged"},
			{"wrong check by after", "after=" + q(flipCheck(t, pos)), "", "diverged"},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := e.sse(t, c.query, "Last-Event-ID", c.id)
				retry := ""
				for {
					f := s.next(t)
					if f.retry != "" {
						retry = f.retry
					}
					if f.event == "" {
						continue
					}
					if f.event != "stream.reset" || f.hasID {
						t.Fatalf("event %q, id %v", f.event, f.hasID)
					}
					p := mustMatch(t, "Problem", []byte(f.data))
					same(t, "code", p["code"], c.code)
					break
				}
				same(t, "retry", retry, "30000")
				s.ended(t, patience)
			})
		}
		// What stands is served.
		s := e.sse(t, "", "Last-Event-ID", pos)
		s.live(t)
		s = e.sse(t, "from=start")
		s.named(t, "stream.open")
	})
}

func TestSSEBadParameters(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		for query, field := range map[string]string{"from=x": "from", "after=x": "after", "last_event_id=x": "last_event_id", "include=all": "include", "frm=1": "frm"} {
			e.get(t, "/v1/events/stream?"+query).badField(field)
		}
		e.get(t, "/v1/events/stream?filter="+q(`{"$x":1}`)).problem(400, "invalid_filter")
		e.get(t, "/v1/events/stream", "Last-Event-ID", "garbage").problem(400, "invalid_argument")
	})
}

// Many readers, each with its own pace, see the same.
func TestSSEManyReaders(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		const readers, writes = 12, 60
		var streams []*stream
		for range readers {
			s := e.sse(t, "library="+lib)
			s.live(t)
			streams = append(streams, s)
		}
		var want []uint64
		for i := range writes {
			want = append(want, e.put(t, doc(lib, fmt.Sprint("d", i%7)), simple("", J{"i": i})).is(200, 201).seq())
		}
		for _, s := range streams {
			var got []uint64
			for range writes {
				_, ev := s.event(t)
				got = append(got, num(ev, "seq"))
			}
			same(t, "seqs", got, want)
			s.close()
		}
	})
}

// A reader that takes nothing costs the writers nothing, and has lost nothing
// when it reads again.
func TestSSESlowReader(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.sse(t, "library="+lib)
		s.live(t)
		filler := strings.Repeat("x", 20_000)
		const writes = 400 // 8 MB, more than sockets hold
		for i := range writes {
			e.put(t, doc(lib, fmt.Sprint("d", i)), J{"title": filler, "embedding": []int{1, 2, 3}}).is(201)
		}
		var prev uint64
		for i := range writes {
			_, ev := s.event(t)
			if str(ev, "subject") != fmt.Sprint("d", i) || num(ev, "seq") <= prev {
				t.Fatalf("event %d is %v at %v", i, ev["subject"], ev["seq"])
			}
			prev = num(ev, "seq")
		}
	})
}
