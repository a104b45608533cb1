package e2e_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// alone starts a server without keys that belongs to this test.
func alone(t *testing.T, args ...string) *env {
	t.Helper()
	s := startServer(t, t.TempDir(), args...)
	c := newClient(s.base(), "")
	return &env{client: c, srv: s, root: c, names: envNames()}
}

// SIGTERM ends a server with open streams, idle connections and a half-sent
// upload, in good order and soon.
func TestStopWithOpenConnections(t *testing.T) {
	e := alone(t)
	lib := e.lib2(t)
	s := e.sse(t, "")
	s.live(t)
	f := e.follow(t, "from=1&follow=true")
	f.line(t)
	for range 3 { // idle keep-alive
		conn, err := net.Dial("tcp", e.srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: "+e.srv.addr+"\r\n\r\n")
	}
	up := e.upload(t, lib, "source=s")
	up.send(ndjson(simple("a", nil)) + `{"id":"half`)
	eventually(t, "the line is taken", func() bool { return num(e.source(t, lib, "s"), "lines") == 1 })

	begin := time.Now()
	if code := e.srv.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, e.srv.log())
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("stopping took %v", d)
	}
	s.ended(t, patience)
	f.ended(t, patience)
	res := up.answer()
	raw, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 {
		t.Fatalf("the upload got %d\n%s", res.StatusCode, raw)
	}
	sum := mustMatch(t, "IngestSummary", raw)
	same(t, "complete", sum["complete"], false)
	same(t, "successful", sum["successful"], 1)
	same(t, "the problem", at(sum, "problem", "code"), "shutting_down")

	e.srv.start(t)
	e.get(t, doc(lib, "a")).is(200)
	e.get(t, doc(lib, "half")).problem(404, "document_not_found")
}

// lib2 creates a library that is not deleted at the end: the server will be gone.
func (e *env) lib2(t *testing.T) string {
	t.Helper()
	e.post(t, "/v1/libraries", J{"id": "l", "embedding": J{"provider": "none"}}).is(201)
	return "l"
}

func TestInterruptEndsTheServerToo(t *testing.T) {
	e := alone(t)
	_ = e.srv.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-e.srv.exited:
		if e.srv.code != 0 {
			t.Errorf("exit code %d\n%s", e.srv.code, e.srv.log())
		}
	case <-time.After(patience):
		t.Error("still running")
	}
}

// What a reader holds stays valid over a restart, clean or not: epoch, positions
// with their checks, bodies, versions.
func TestRestartKeepsEverything(t *testing.T) {
	for name, hard := range map[string]bool{"SIGTERM": false, "SIGKILL": true} {
		t.Run(name, func(t *testing.T) {
			e := alone(t, "--log-segment-size", "65536")
			lib := e.lib2(t)
			for i := range 200 {
				e.put(t, doc(lib, fmt.Sprint("d", i%150)), simple("", J{"i": i, "pad": strings.Repeat("p", 1000)})).is(200, 201)
			}
			e.del(t, doc(lib, "d7")).is(200)
			e.patch(t, doc(lib, "d8"), J{"title": "patched", "metadata": J{"pad": nil}}).is(200)
			events := e.eventsFrom(t, 1, "include=embeddings")
			library := e.get(t, "/v1/libraries/"+lib).obj()
			export := e.get(t, docs(lib)+"/stream?include=embeddings").is(200)
			pos := e.headPosition(t)

			for range 2 {
				e.srv.restart(t, hard)
				same(t, "position of the head", e.headPosition(t), pos)
				same(t, "events", e.eventsFrom(t, 1, "include=embeddings"), events)
				same(t, "export", string(e.get(t, docs(lib)+"/stream?include=embeddings").is(200).body), string(export.body))
				now := e.get(t, "/v1/libraries/"+lib).obj()
				delete(now, "stats") // sizes may differ
				delete(library, "stats")
				same(t, "library", now, library)
				s := e.sse(t, "", "Last-Event-ID", str(events[100], "id"))
				_, ev := s.event(t)
				same(t, "resumed", ev, e.eventsFrom(t, 102, "")[0])
				s.close()
			}
			w := e.put(t, doc(lib, "after"), simple("", nil)).is(201)
			same(t, "the next seq", w.seq(), positionSeq(pos)+1)
		})
	}
}

// The directory came back from an older copy: readers that are ahead are told.
func TestOlderCopyIsNoticed(t *testing.T) {
	e := alone(t)
	lib := e.lib2(t)
	e.put(t, doc(lib, "a"), simple("", J{"v": 1})).is(201)
	if code := e.srv.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	backup := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(backup, os.DirFS(e.srv.dir)); err != nil {
		t.Fatal(err)
	}
	e.srv.start(t)
	ahead := e.put(t, doc(lib, "a"), simple("", J{"v": 2})).is(200).header.Get("Arrwdb-Position")
	e.srv.kill()

	old := startServer(t, backup)
	c := newClient(old.base(), "")
	c.get(t, "/v1/events?after="+q(ahead)).is(409) // ahead, as long as nothing was written
	c.put(t, doc(lib, "a"), simple("", J{"v": "other"})).is(200)
	c.get(t, "/v1/events?after="+q(ahead)).problem(409, "diverged") // the same seq, another change: the check tells
}

func TestRefusesToStartOpenToTheWorld(t *testing.T) {
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	port := addr[strings.LastIndex(addr, ":"):]
	for _, listen := range []string{"0.0.0.0" + port, port, "[::]" + port} {
		r := cli(t, "", "serve", "--data", t.TempDir(), "--listen", listen)
		if r.code != 2 {
			t.Errorf("--listen %s without keys: exit %d, want 2\n%s", listen, r.code, r.stderr)
		}
		if !strings.Contains(r.stderr, "key") {
			t.Errorf("--listen %s: the message does not say what to do: %s", listen, r.stderr)
		}
	}
	dir := t.TempDir()
	_, key := createKey(t, dir, "--role", "admin")
	s := &server{dir: dir, addr: addr, args: []string{"--listen", "0.0.0.0" + port}}
	t.Cleanup(s.kill)
	s.start(t)
	newClient(s.base(), key).get(t, "/v1/libraries").is(200)
	newClient(s.base(), "").get(t, "/v1/libraries").problem(401, "unauthenticated")
}

func TestAdminKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	secret := "a-long-enough-secret-of-the-operators-choice-0123456789"
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{dir: t.TempDir(), env: []string{"ARRWDB_ADMIN_KEY_FILE=" + file}}
	t.Cleanup(s.kill)
	s.start(t)
	for range 2 { // also when it is there already
		c := newClient(s.base(), secret)
		c.get(t, "/v1/libraries").is(200)
		same(t, "one key", len(list(c.get(t, "/v1/keys").is(200).obj(), "keys")), 1)
		newClient(s.base(), "").get(t, "/v1/libraries").problem(401, "unauthenticated")
		s.restart(t, false)
	}
}

func TestSecondServerOnTheSameDirectory(t *testing.T) {
	e := alone(t)
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := cli(t, "", "serve", "--data", e.srv.dir, "--listen", addr)
	if r.code != 3 {
		t.Errorf("exit %d, want 3\n%s", r.code, r.stderr)
	}
	if pid := fmt.Sprint(e.srv.cmd.Process.Pid); !strings.Contains(r.stderr, pid) {
		t.Errorf("standard error does not name the process %s: %s", pid, r.stderr)
	}
	if r := cli(t, "", "keys", "create", "--role", "read", "--data", e.srv.dir); r.code != 3 {
		t.Errorf("keys create beside a server: exit %d, want 3\n%s", r.code, r.stderr)
	}
	e.lib2(t) // the first is unharmed
	// The lock ends with its holder, however that ended.
	e.srv.restart(t, true)
}
