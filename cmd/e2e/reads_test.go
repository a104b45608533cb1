package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMinSeq(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		w := e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		pos := w.header.Get("Arrwdb-Position")
		for _, at := range []string{fmt.Sprint(w.seq()), pos, "0", "1"} {
			for _, path := range []string{doc(lib, "a"), docs(lib), "/v1/libraries/" + lib, "/v1/libraries", "/v1/libraries/" + lib + "/count", docs(lib) + "/stream", "/v1/documents/a?library_id=" + lib} {
				sep := "?"
				if strings.Contains(path, "?") {
					sep = "&"
				}
				if r := e.get(t, path+sep+"min_seq="+q(at)).is(200); r.seq() < positionSeq(":"+at) {
					t.Errorf("%s: Arrwdb-Seq %d", r.what, r.seq())
				}
				e.get(t, path, "Arrwdb-Min-Seq", at).is(200)
			}
		}
		// Past the head of the node that writes: at once, not after the timeout.
		begin := time.Now()
		far := fmt.Sprint(w.seq() + 1_000_000)
		e.get(t, doc(lib, "a")+"?timeout=30s&min_seq="+far).problem(409, "ahead")
		e.get(t, doc(lib, "a"), "Arrwdb-Min-Seq", far).problem(409, "ahead")
		if d := time.Since(begin); d > 4*time.Second {
			t.Errorf("ahead took %v", d)
		}
		foreign := "aaaaaaaaaaaaa:" + fmt.Sprint(w.seq())
		e.get(t, doc(lib, "a")+"?min_seq="+q(foreign)).problem(409, "diverged")
		e.get(t, docs(lib), "Arrwdb-Min-Seq", foreign).problem(409, "diverged")
		for _, bad := range []string{"x", "-1", "1.5", "abc:1", "99999999999999999999999"} {
			e.get(t, doc(lib, "a")+"?min_seq="+q(bad)).problem(400, "invalid_argument")
		}
		e.get(t, doc(lib, "a")+"?timeout=soon&min_seq=1").badField("timeout")
		e.get(t, doc(e.names[7], "a")+"?min_seq=1").problem(404, "library_not_found")
	})
}

// A read names the seq that it saw: it never falls, and holds every write that
// was acknowledged before.
func TestReadYourWritesOnAnyConnection(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		other := newClient(e.base, e.key)
		for i := range 50 {
			w := e.put(t, doc(lib, "a"), simple("", J{"n": i})).is(200, 201)
			r := other.get(t, doc(lib, "a")).is(200)
			same(t, "n", at(r.obj(), "metadata", "n"), i)
			if r.seq() < w.seq() {
				t.Errorf("the read saw %d, the write was %d", r.seq(), w.seq())
			}
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		key := "key-" + lib
		body := simple("", J{"n": 1}) // no id: the server makes one
		first := e.post(t, docs(lib), body, "Idempotency-Key", key).is(201)
		again := e.post(t, docs(lib), body, "Idempotency-Key", key).is(201)
		same(t, "the first answer", again.obj(), first.obj())
		same(t, "Arrwdb-Seq", again.header.Get("Arrwdb-Seq"), first.header.Get("Arrwdb-Seq"))
		e.post(t, docs(lib), simple("", J{"n": 2}), "Idempotency-Key", key).problem(409, "conflict")
		e.post(t, docs(lib), body, "Idempotency-Key", key+"b").is(201)
		same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 2)

		batch := J{"operations": []J{{"op": "put", "id": "b", "document": simple("", nil)}}}
		b1 := e.post(t, "/v1/libraries/"+lib+"/batch", batch, "Idempotency-Key", key+"c").is(200)
		b2 := e.post(t, "/v1/libraries/"+lib+"/batch", batch, "Idempotency-Key", key+"c").is(200)
		same(t, "batch", b2.obj(), b1.obj())
		d1 := e.post(t, docs(lib)+"/delete", J{"ids": []string{"b"}}, "Idempotency-Key", key+"d").is(200)
		d2 := e.post(t, docs(lib)+"/delete", J{"ids": []string{"b"}}, "Idempotency-Key", key+"d").is(200)
		same(t, "delete", d2.obj(), d1.obj())
		same(t, "events", len(e.eventsFrom(t, first.seq(), "library="+lib)), 4)
	})
}

// Many callers with one key at the same time: one write.
func TestIdempotencyKeyAtTheSameTime(t *testing.T) {
	e := openEnv(t)
	lib := e.lib(t)
	var wg sync.WaitGroup
	answers := make([]*resp, 8)
	for i := range answers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			answers[i] = e.post(t, docs(lib), simple("", nil), "Idempotency-Key", "same-"+lib)
		}()
	}
	wg.Wait()
	made := map[string]bool{}
	for _, r := range answers {
		if r.status == 201 {
			made[str(r.obj(), "id")] = true
		} else if r.status != 409 {
			t.Errorf("status %d: %s", r.status, r.body)
		}
	}
	if len(made) != 1 {
		t.Errorf("%d documents were made", len(made))
	}
	same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 1)
}

func TestIdempotencyKeySurvivesAKill(t *testing.T) {
	s := startServer(t, t.TempDir())
	c := newClient(s.base(), "")
	lib := J{"id": "l", "embedding": J{"provider": "none"}}
	l1 := c.post(t, "/v1/libraries", lib, "Idempotency-Key", "lib").is(201)
	first := c.post(t, docs("l"), simple("", nil), "Idempotency-Key", "k").is(201)
	s.restart(t, true)
	again := c.post(t, docs("l"), simple("", nil), "Idempotency-Key", "k").is(201)
	same(t, "the first answer", again.obj(), first.obj())
	same(t, "the library's", c.post(t, "/v1/libraries", lib, "Idempotency-Key", "lib").is(201).obj(), l1.obj())
	c.post(t, docs("l"), simple("other", nil), "Idempotency-Key", "k").problem(409, "conflict")
	same(t, "events", len(c.eventsFrom(t, 1, "")), 2)
}
