package e2e_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// A world is a server that the functional tests share.
type world struct {
	once sync.Once
	srv  *server
	key  string
	err  error
}

var (
	openWorld  world // no keys: every loopback request is admin
	keyedWorld world // keys, and a library of somebody else
	envCount   atomic.Int64
)

// What belongs to somebody else: its id, and a word that is in all its contents.
const (
	foreignLib  = "other-tenant"
	foreignWord = "zzforeign"
)

// An env is one test's view of a server.
type env struct {
	*client
	srv    *server
	root   *client // sees everything
	scoped bool
	names  []string // library ids that this test may use
	next   int
}

// both runs a functional test on an open server, and with a key that sees only
// the test's libraries while somebody else writes.
func both(t *testing.T, fn func(t *testing.T, e *env)) {
	t.Helper()
	t.Run("open", func(t *testing.T) { fn(t, openEnv(t)) })
	t.Run("scoped", func(t *testing.T) { fn(t, scopedEnv(t)) })
}

func openEnv(t *testing.T) *env {
	t.Helper()
	w := &openWorld
	w.once.Do(func() {
		srv := &server{dir: filepath.Join(tempDir, "open")}
		if w.err = srv.tryStart(); w.err == nil {
			w.srv = srv
		}
	})
	if w.err != nil {
		t.Fatal(w.err)
	}
	c := newClient(w.srv.base(), "")
	return &env{client: c, srv: w.srv, root: c, names: envNames()}
}

func scopedEnv(t *testing.T) *env {
	t.Helper()
	w := &keyedWorld
	w.once.Do(func() {
		srv := &server{dir: filepath.Join(tempDir, "keyed")}
		w.err = errors.New("the server with keys did not come up, see the first test that needed it")
		_, w.key = createKey(t, srv.dir, "--role", "admin")
		if err := srv.tryStart(); err != nil {
			w.err = err
			return
		}
		w.srv = srv
		makeForeign(t, newClient(srv.base(), w.key))
		w.err = nil
	})
	if w.err != nil {
		t.Fatal(w.err)
	}
	root := newClient(w.srv.base(), w.key)
	names := envNames()
	key := root.post(t, "/v1/keys", J{"role": "admin", "name": t.Name(), "libraries": names}).is(201).obj()
	c := newClient(w.srv.base(), str(key, "key"))
	c.forbidden = []string{foreignLib, foreignWord}
	var n int
	c.beforeWrite = func(t testing.TB) {
		n++
		path := fmt.Sprintf("/v1/libraries/%s/documents/%s-%d", foreignLib, foreignWord, n%20)
		root.put(t, path, foreignDoc(n)).is(200, 201)
	}
	return &env{client: c, srv: w.srv, root: root, scoped: true, names: names}
}

func envNames() []string {
	n := envCount.Add(1)
	names := make([]string, 8)
	for i := range names {
		names[i] = fmt.Sprintf("t%d-%c", n, 'a'+i)
	}
	return names
}

func makeForeign(t testing.TB, root *client) {
	root.post(t, "/v1/libraries", J{"id": foreignLib, "name": foreignWord, "embedding": J{"provider": "none"}}).is(201)
	for n := range 20 {
		root.put(t, fmt.Sprintf("/v1/libraries/%s/documents/%s-%d", foreignLib, foreignWord, n), foreignDoc(n)).is(201)
	}
}

func foreignDoc(n int) J {
	return J{"title": foreignWord, "metadata": J{"secret": foreignWord, "n": n, "year": 2017, "kind": "a"},
		"chunks": []J{{"text": foreignWord, "embedding": []float64{1, 2, 3}}}}
}

// lib creates a library whose vectors come from the client. over changes or adds
// settings.
func (e *env) lib(t *testing.T, over ...J) string {
	t.Helper()
	id := e.names[e.next]
	e.next++
	spec := J{"id": id, "embedding": J{"provider": "none"}}
	for _, o := range over {
		for k, v := range o {
			spec[k] = v
		}
	}
	e.post(t, "/v1/libraries", spec).is(201)
	t.Cleanup(func() { e.root.del(t, "/v1/libraries/"+id).is(200, 404) })
	return id
}

// docs is the path of a library's documents, doc that of one.
func docs(lib string) string    { return "/v1/libraries/" + lib + "/documents" }
func doc(lib, id string) string { return docs(lib) + "/" + id }

// simple is a document of one chunk with a vector of three.
func simple(id string, metadata J) J {
	d := J{"title": "title of " + id, "chunks": []J{{"text": "text of " + id, "embedding": []float64{1, 0.5, 0.25}}}}
	if id != "" {
		d["id"] = id
	}
	if metadata != nil {
		d["metadata"] = metadata
	}
	return d
}

// head returns the newest visible seq.
func (e *env) head(t testing.TB) uint64 {
	t.Helper()
	return num(e.get(t, "/v1/events?from=now").is(200).obj(), "head_seq")
}

// headPosition returns the position of the head.
func (e *env) headPosition(t testing.TB) string {
	t.Helper()
	return str(e.get(t, "/v1/events?from=now").is(200).obj(), "position")
}

// eventsFrom pulls all that is there from a seq on.
func (c *client) eventsFrom(t testing.TB, from uint64, query string) []any {
	t.Helper()
	var all []any
	for {
		path := fmt.Sprintf("/v1/events?limit=10000&from=%d", from)
		if query != "" {
			path += "&" + query
		}
		page := c.get(t, path).is(200).obj()
		all = append(all, list(page, "events")...)
		next := num(page, "next")
		if next <= from || next > num(page, "head_seq") {
			return all
		}
		from = next
	}
}
