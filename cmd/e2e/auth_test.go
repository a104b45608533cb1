package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// key makes a key over HTTP and returns its id and a client with it.
func (e *env) newKey(t testing.TB, spec J) (string, *client) {
	t.Helper()
	k := e.root.post(t, "/v1/keys", spec).is(201).obj()
	c := newClient(e.base, str(k, "key"))
	return str(k, "id"), c
}

func TestAuthWithoutAKey(t *testing.T) {
	e := scopedEnv(t)
	lib := e.lib(t)
	for _, key := range []string{"", "wrong", strings.Repeat("x", 5000), e.key + "x", e.key[:len(e.key)-1]} {
		c := newClient(e.base, key)
		for _, r := range []*resp{
			c.get(t, "/v1/libraries"), c.get(t, doc(lib, "a")), c.post(t, docs(lib), simple("a", nil)), c.get(t, "/v1/events"), c.get(t, "/v1/events/stream"),
			c.ingest(t, lib, "", ndjson(simple("a", nil))), c.get(t, "/v1/keys"), c.get(t, "/v1/events/stats"),
			// Before validation, and before existence.
			c.post(t, docs(lib), "{broken"), c.get(t, "/v1/libraries/"+e.names[7]), c.get(t, "/v1/libraries?x=1"), c.get(t, "/v1/events/stream?from=x"),
		} {
			r.problem(401, "unauthenticated")
		}
	}
	for _, header := range []string{"Basic " + e.key, "Bearer", "Bearer ", e.key} {
		e.get(t, "/v1/libraries", "Authorization", header).problem(401, "unauthenticated")
	}
	e.get(t, "/v1/libraries", "Authorization", "bearer "+e.key).is(200) // schemes are case-insensitive (RFC 9110)
}

func TestAccessToken(t *testing.T) {
	e := scopedEnv(t)
	lib := e.lib(t)
	anon := newClient(e.base, "")
	s := anon.sse(t, "library="+lib+"&access_token="+q(e.key))
	s.live(t)
	e.put(t, doc(lib, "a"), simple("", nil)).is(201)
	s.event(t)
	anon.get(t, "/v1/events/stream?access_token=wrong").problem(401, "unauthenticated")
	if strings.Contains(e.srv.output.String(), e.key) {
		t.Error("the key is in the server's log")
	}
}

func TestRoles(t *testing.T) {
	e := scopedEnv(t)
	lib := e.lib(t)
	e.put(t, doc(lib, "a"), simple("", nil)).is(201)
	_, read := e.newKey(t, J{"role": "read", "name": "r"})
	_, write := e.newKey(t, J{"role": "write", "name": "w"})
	_, admin := e.newKey(t, J{"role": "admin", "name": "a"})

	for _, c := range []*client{read, write, admin} {
		c.get(t, "/v1/libraries").is(200)
		c.get(t, doc(lib, "a")).is(200)
		c.get(t, docs(lib)+"/stream").is(200)
		c.post(t, docs(lib)+"/get", J{"ids": []string{"a"}}).is(200)
		c.get(t, "/v1/events?from=1&limit=1").is(200)
		c.get(t, "/v1/libraries/"+lib+"/count").is(200)
	}
	for _, r := range []*resp{
		read.post(t, docs(lib), simple("x", nil)), read.put(t, doc(lib, "x"), simple("", nil)), read.patch(t, doc(lib, "a"), J{"title": "x"}), read.del(t, doc(lib, "a")),
		read.ingest(t, lib, "", ndjson(simple("x", nil))), read.post(t, "/v1/libraries/"+lib+"/batch", J{"operations": []J{}}), read.post(t, docs(lib)+"/delete", J{"ids": []string{"a"}}),
		read.post(t, "/v1/libraries", J{"id": "x", "embedding": J{"provider": "none"}}), read.del(t, "/v1/libraries/"+lib), read.del(t, "/v1/libraries/"+lib+"/sources/s"),
		read.post(t, doc(lib, "a")+"/chunks", J{"chunks": []J{}}), read.del(t, doc(lib, "a")+"/chunks/0"), read.patch(t, "/v1/libraries/"+lib, J{"name": "x"}),
		// Authorisation comes before validation.
		read.post(t, docs(lib), "{broken"), read.post(t, docs(lib)+"?nope=1", "x", "Content-Type", "text/plain"), read.put(t, doc(lib, "a"), J{}, "If-Match", `"1"`),
		read.get(t, "/v1/keys"), write.get(t, "/v1/keys"), write.post(t, "/v1/keys", J{"role": "admin"}), write.del(t, "/v1/keys/any"), write.post(t, "/v1/keys", "{broken"),
	} {
		r.problem(403, "permission_denied")
	}
	same(t, "nothing was changed", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 1)
	write.put(t, doc(lib, "x"), simple("", nil)).is(201)
	write.ingest(t, lib, "", ndjson(simple("y", nil))).is(200)
	write.del(t, doc(lib, "x")).is(200)
	admin.get(t, "/v1/keys").is(200)
}

// A scoped key sees a database of its libraries only.
func TestScope(t *testing.T) {
	e := scopedEnv(t)
	lib := e.lib(t)
	before := e.root.get(t, "/v1/libraries/"+foreignLib+"/count").obj()["count"]
	foreign := foreignWord + "-1"
	for _, r := range []*resp{
		e.get(t, "/v1/libraries/"+foreignLib), e.patch(t, "/v1/libraries/"+foreignLib, J{"name": "x"}), e.del(t, "/v1/libraries/"+foreignLib),
		e.get(t, docs(foreignLib)), e.get(t, doc(foreignLib, foreign)), e.get(t, doc(foreignLib, "none")), e.put(t, doc(foreignLib, "x"), simple("", nil)), e.del(t, doc(foreignLib, foreign)),
		e.post(t, docs(foreignLib), simple("x", nil)), e.patch(t, doc(foreignLib, foreign), J{"title": "x"}), e.get(t, "/v1/libraries/"+foreignLib+"/count"),
		e.post(t, docs(foreignLib)+"/get", J{"ids": []string{foreign}}), e.post(t, docs(foreignLib)+"/delete", J{"ids": []string{foreign}}),
		e.post(t, "/v1/libraries/"+foreignLib+"/batch", J{"operations": []J{{"op": "delete", "id": foreign}}}), e.get(t, docs(foreignLib)+"/stream"),
		e.ingest(t, foreignLib, "", ndjson(simple("x", nil))), e.ingest(t, foreignLib, "source=s&first_line=5", ndjson(simple("x", nil))), e.get(t, "/v1/libraries/"+foreignLib+"/sources/s"),
		e.get(t, "/v1/documents/"+foreign+"?library_id="+foreignLib), e.del(t, "/v1/documents/"+foreign+"?library_id="+foreignLib),
	} {
		r.problem(404, "library_not_found")
	}
	same(t, "foreign count", e.root.get(t, "/v1/libraries/"+foreignLib+"/count").obj()["count"], before)
	// That the name is taken must not show either.
	if r := e.post(t, "/v1/libraries", J{"id": foreignLib, "embedding": J{"provider": "none"}}); r.status != 403 && r.status != 404 {
		t.Errorf("creating outside the scope: status %d\n%s", r.status, clip(r.body))
	}
	same(t, "list", ids(list(e.get(t, "/v1/libraries").obj(), "libraries")), []string{lib})

	// Feeds skip foreign events, and their seqs go by.
	from := e.head(t) + 1
	s := e.sse(t, "heartbeat=200ms")
	s.live(t)
	f := e.follow(t, "from=now&follow=true")
	e.put(t, doc(lib, "a"), simple("", nil)).is(201) // a foreign write comes before each
	e.put(t, doc(lib, "b"), simple("", nil)).is(201)
	for _, id := range []string{"a", "b"} {
		_, ev := s.event(t)
		same(t, "SSE", []string{str(ev, "library_id"), str(ev, "subject")}, []string{lib, id})
		same(t, "lines", f.line(t)["subject"], id)
	}
	evs := e.eventsFrom(t, from, "")
	same(t, "pull", len(evs), 2)
	if num(evs[1], "seq") < num(evs[0], "seq")+2 {
		t.Errorf("seqs %d and %d: a foreign event lies between", num(evs[0], "seq"), num(evs[1], "seq"))
	}
	same(t, "by foreign name", len(e.eventsFrom(t, 1, "library="+foreignLib)), 0)
	same(t, "by foreign metadata", len(e.eventsFrom(t, 1, "filter="+q(`{"kind":"a"}`))), 0)
	// Totals of stats are those of the key's libraries.
	mine, all := e.get(t, "/v1/events/stats").is(200).obj(), e.root.get(t, "/v1/events/stats").is(200).obj()
	if num(mine, "by_type", "document.updated") >= num(all, "by_type", "document.updated") {
		t.Errorf("a scoped key is told of %v document.updated, all in all there are %v", at(mine, "by_type", "document.updated"), at(all, "by_type", "document.updated"))
	}
	// A scoped admin cannot reach beyond its scope by making keys.
	for _, spec := range []J{{"role": "admin"}, {"role": "read", "libraries": []string{foreignLib}}} {
		if r := e.post(t, "/v1/keys", spec); r.status < 400 {
			t.Errorf("a scoped admin made the key %v", spec)
		}
	}
	if r := e.get(t, "/v1/keys"); r.status == 200 {
		for _, k := range list(r.obj(), "keys") {
			if len(list(k, "libraries")) == 0 {
				t.Errorf("a scoped admin sees the unscoped key %v", str(k, "name"))
			}
		}
	}
}

// An Idempotency-Key that somebody else has used shows nothing of their answer.
func TestIdempotencyKeyOfSomebodyElse(t *testing.T) {
	e := scopedEnv(t)
	lib := e.lib(t)
	key, body := "shared-"+lib, J{"id": "same", "embedding": []int{1, 2, 3}}
	e.root.post(t, docs(foreignLib), body, "Idempotency-Key", key).is(201)
	t.Cleanup(func() { e.root.del(t, doc(foreignLib, "same")).is(200) })
	e.post(t, docs(foreignLib), body, "Idempotency-Key", key).problem(404, "library_not_found")
	r := e.post(t, docs(lib), body, "Idempotency-Key", key).is(201, 409)
	if r.status == 201 {
		same(t, "library_id", r.obj()["library_id"], lib)
		e.get(t, doc(lib, "same")).is(200)
	}
}

func TestKeyEndpoints(t *testing.T) {
	e := scopedEnv(t)
	k := e.root.post(t, "/v1/keys", J{"role": "read", "name": "n", "libraries": []string{"not-yet"}, "expires": "1h"}).is(201).obj()
	same(t, "role, name, libraries", []any{k["role"], k["name"], k["libraries"]}, []any{"read", "n", []string{"not-yet"}})
	expires, err := time.Parse(time.RFC3339, str(k, "expires_at"))
	if err != nil || time.Until(expires) < 50*time.Minute || time.Until(expires) > 70*time.Minute {
		t.Errorf("expires_at %v: %v", k["expires_at"], err)
	}
	secret := str(k, "key")
	all := e.root.get(t, "/v1/keys").is(200)
	if strings.Contains(string(all.body), secret) {
		t.Error("the list shows a secret")
	}
	found := false
	for _, other := range list(all.obj(), "keys") {
		if str(other, "id") == str(k, "id") {
			found = true
			delete(k, "key")
			same(t, "as listed", other, k)
		}
	}
	if !found {
		t.Error("the key is not in the list")
	}
	c := newClient(e.base, secret)
	same(t, "sees nothing", c.get(t, "/v1/libraries").is(200).obj()["libraries"], []any{})
	same(t, "DELETE", e.root.del(t, "/v1/keys/"+str(k, "id")).is(200).obj(), J{"id": k["id"]})
	c.get(t, "/v1/libraries").problem(401, "unauthenticated")
	e.root.del(t, "/v1/keys/"+str(k, "id")).problem(404, "not_found")
	for field, spec := range map[string]J{"role": {"role": "owner"}, "expires": {"role": "read", "expires": "soon"}, "roel": {"role": "read", "roel": 1}} {
		e.root.post(t, "/v1/keys", spec).badField(field)
	}
	e.root.post(t, "/v1/keys", J{}).badField("role")
}

func TestExpiredKey(t *testing.T) {
	e := scopedEnv(t)
	_, c := e.newKey(t, J{"role": "read", "expires": "1500ms"})
	c.get(t, "/v1/libraries").is(200)
	s := c.sse(t, "heartbeat=200ms")
	s.named(t, "stream.open")
	eventually(t, "the key expires", func() bool { return c.get(t, "/v1/libraries").status == 401 })
	s.ended(t, 5*time.Second+time.Second)
}

// Revocation ends open streams within 5 s, also idle ones.
func TestRevocationEndsStreams(t *testing.T) {
	e := scopedEnv(t)
	id, c := e.newKey(t, J{"role": "read"})
	s := c.sse(t, "")
	s.live(t)
	f := c.follow(t, "from=now&follow=true")
	other := e.sse(t, "heartbeat=200ms")
	other.live(t)
	begin := time.Now()
	e.root.del(t, "/v1/keys/"+id).is(200)
	s.ended(t, 5*time.Second)
	f.ended(t, 5*time.Second-time.Since(begin)+500*time.Millisecond)
	c.get(t, "/v1/libraries").problem(401, "unauthenticated")
	other.next(t) // another key's stream goes on
}
