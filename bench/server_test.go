package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

// startHere starts servers in the test's own process.
func startHere(t *testing.T) func(context.Context, string) (*Server, error) {
	return func(_ context.Context, data string) (*Server, error) {
		db, err := engine.Open(data, engine.Options{Create: true})
		if err != nil {
			return nil, err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := httpd.New(httpd.Options{SpoolDir: t.TempDir()})
		s.SetDB(db)
		go s.Serve(ln)
		stop := sync.OnceFunc(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			s.Shutdown(ctx)
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return &Server{Addr: ln.Addr().String(), PID: os.Getpid(), Stop: stop}, nil
	}
}

func TestPut(t *testing.T) {
	got := cases(t, "ingest", quick(t, "^put/"))
	if len(got) != 2 {
		t.Fatalf("%d cases", len(got))
	}
	if _, ok := got[0].Metric("p50 above raw"); !ok {
		t.Error("the single PUT is not set against the raw sync time")
	}
}

func TestFeed(t *testing.T) {
	if got := cases(t, "feed", quick(t, "")); len(got) != 4 {
		t.Errorf("%d cases", len(got))
	}
}

// uploads is a server that takes documents only, and answers as it is asked to.
func uploads(t *testing.T, dropped int) *target {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/documents/stream") {
			http.Error(w, "no such route", 404)
			return
		}
		http.NewResponseController(w).EnableFullDuplex()
		ack := r.URL.Query().Get("ack")
		lines, seen := 0, map[string]bool{}
		sc := bufio.NewScanner(r.Body)
		for sc.Scan() {
			lines++
			seen[sc.Text()[:30]] = true
			if ack == "line" {
				fmt.Fprintf(w, `{"type":"line","line":%d,"id":"d","seq":%d,"result":"added"}`+"\n", lines, lines)
			} else if ack == "batch" && lines%100 == 0 {
				fmt.Fprintf(w, `{"type":"ack","lines":%d,"last_seq":%d}`+"\n", lines, lines)
			}
		}
		kind := `"type":"summary",`
		if ack == "summary" {
			kind = ""
		}
		fmt.Fprintf(w, `{%s"successful":%d,"failed":0,"lines":%d,"complete":true}`+"\n", kind, len(seen)-dropped, lines)
	}))
	t.Cleanup(s.Close)
	return &target{Server: &Server{Addr: s.Listener.Addr().String(), Stop: func() {}}}
}

func TestUpload(t *testing.T) {
	target := uploads(t, 0)
	for ack, acks := range map[string]int{"summary": 0, "batch": 5, "line": 500} {
		for _, late := range []bool{false, true} {
			n := 500
			up, err := target.upload(context.Background(), "/v1/libraries/x", ack, newDocs(1, streamDoc), late, func(int64) bool { return atMostN(&n) })
			if err != nil {
				t.Fatalf("ack=%s late=%v: %v", ack, late, err)
			}
			if up.docs != 500 || up.acks != acks || up.bytes < 500*1500 || up.answered < up.sent && late {
				t.Errorf("ack=%s late=%v: %+v", ack, late, up)
			}
		}
	}
	n := 10
	_, err := uploads(t, 1).upload(context.Background(), "/v1/libraries/x", "batch", newDocs(1, streamDoc), false, func(int64) bool { return atMostN(&n) })
	if err == nil || !strings.Contains(err.Error(), "of 10 documents the server has taken 9") {
		t.Errorf("a lost document: %v", err)
	}
}

// answers serves one connection with those bytes.
func answers(t *testing.T, s string) *conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	go func() {
		io.WriteString(server, s)
		server.Close()
	}()
	return &conn{Conn: client, r: bufio.NewReader(client)}
}

func TestAnswers(t *testing.T) {
	c := answers(t, "HTTP/1.1 100 Continue\r\n\r\n"+
		"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"+
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"+
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
	for _, want := range []struct {
		status int
		body   string
	}{{201, "hello"}, {200, "abcde"}, {404, ""}, {200, "to the end"}} {
		status, body, err := c.answer()
		if err != nil || status != want.status || string(body) != want.body {
			t.Errorf("%d %q %v, want %v", status, body, err, want)
		}
	}
	for _, bad := range []string{"", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
		if _, _, err := answers(t, bad).answer(); err == nil {
			t.Errorf("%q is no fault", bad)
		}
	}
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	var got []string
	err := eachLine(strings.NewReader("a\n\n"+long+"\nb\n"), func(l []byte) error {
		got = append(got, string(l))
		return nil
	})
	if err != nil || len(got) != 4 || got[0] != "a" || got[1] != "" || got[2] != long || got[3] != "b" {
		t.Errorf("%v, %d lines", err, len(got))
	}
	if err := eachLine(strings.NewReader("a\nb"), func([]byte) error { return nil }); err != errShort {
		t.Errorf("a line without an end: %v", err)
	}
}

func TestNextEvent(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("retry: 1000\n\nevent: stream.open\ndata: {}\n\n: hb 7\n\nid: e:8\nevent: document.added\n" +
		`data: {"type":"document.added","subject":"d000000000042","seq":8}` + "\n\n"))
	if name, doc, err := nextEvent(r); name != "stream.open" || doc != -1 || err != nil {
		t.Error(name, doc, err)
	}
	if name, doc, err := nextEvent(r); name != "document.added" || doc != 42 || err != nil {
		t.Error(name, doc, err)
	}
	if _, _, err := nextEvent(r); err != io.EOF {
		t.Error(err)
	}
	for _, none := range []string{"", `"subject":"d12"`, `"subject":"dabcdefghijkl"`} {
		if doc := subject([]byte(none)); doc != -1 {
			t.Errorf("%q: %d", none, doc)
		}
	}
}

func TestChildThatEnds(t *testing.T) {
	e := &Env{Dir: t.TempDir(), Program: "/bin/false"}
	e.setDefaults()
	if _, err := os.Stat(e.Program); err != nil {
		t.Skip(err)
	}
	if _, err := e.serve(context.Background()); err == nil || !strings.Contains(err.Error(), "the server ended") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestResident(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip(err)
	}
	if resident(os.Getpid()) < 1<<20 {
		t.Errorf("%d bytes", resident(os.Getpid()))
	}
	if resident(0) != 0 {
		t.Error("no process has memory")
	}
	stop := watchResident(os.Getpid())
	if peak := stop(); peak < 1<<20 {
		t.Errorf("%d bytes at most", peak)
	}
	if got := withoutPrefix([]string{"ARRWDB_X=1", "HOME=/"}, "ARRWDB_"); len(got) != 1 {
		t.Error(got)
	}
	last := &tail{}
	last.Write(bytes.Repeat([]byte("a"), tailBytes))
	last.Write([]byte("end"))
	if s := last.String(); len(s) != tailBytes || !strings.HasSuffix(s, "end") {
		t.Errorf("%d bytes", len(s))
	}
}
