package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/engine"
)

// These tests show what fasthttp does on its own, and that this package does not
// depend on it. Where one of the first kind fails after an update, what was built
// around the trap can go.

// bare serves h with plain fasthttp.
func bare(t *testing.T, s *fasthttp.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// ours serves a database of its own. The returned server's fasthttp may be
// changed by before.
func ours(t *testing.T, before func(*Server)) (s *Server, addr string) {
	t.Helper()
	db, err := engine.Open(t.TempDir(), engine.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s = New(Options{SpoolDir: t.TempDir()})
	if before != nil {
		before(s)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	s.SetDB(db)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, ln.Addr().String()
}

func dial(t *testing.T, addr, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func get(addr, path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"
}

const short = 150 * time.Millisecond

// Trap: one write deadline holds for a whole streamed answer.
func TestTrapOneWriteDeadline(t *testing.T) {
	beat := func(w *bufio.Writer) {
		for range 6 {
			time.Sleep(short / 3)
			if _, err := w.WriteString(": hb\n\n"); err != nil || w.Flush() != nil {
				return
			}
		}
		_, _ = w.WriteString("end")
	}
	addr := bare(t, &fasthttp.Server{WriteTimeout: short, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyStreamWriter(beat) }})
	_, r := dial(t, addr, get(addr, "/"))
	if raw, _ := io.ReadAll(r); strings.Contains(string(raw), "end") {
		t.Log("fasthttp streams outlive the write timeout now")
	}

	_, addr = ours(t, func(s *Server) { s.http.WriteTimeout, s.http.ReadTimeout = short, short })
	_, r = dial(t, addr, get(addr, "/v1/events/stream?heartbeat=50ms"))
	beats := 0
	for begin := time.Now(); time.Since(begin) < 3*short; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %v: %v", time.Since(begin), err)
		}
		if strings.HasPrefix(line, ": hb") {
			beats++
		}
	}
	if beats < 3 {
		t.Errorf("%d heartbeats", beats)
	}
}

// Trap: the read timeout holds for a whole upload.
func TestTrapReadTimeoutOfUploads(t *testing.T) {
	_, addr := ours(t, func(s *Server) { s.http.WriteTimeout, s.http.ReadTimeout = short, short })
	body := `{"id":"l","embedding":{"provider":"none"}}`
	_, r := dial(t, addr, fmt.Sprintf("POST /v1/libraries HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", addr, len(body), body))
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 201 {
		t.Fatal(err, res)
	}
	for _, ack := range []string{"summary", "line"} {
		conn, r := dial(t, addr, "POST /v1/libraries/l/documents/stream?ack="+ack+" HTTP/1.1\r\nHost: "+addr+"\r\nTransfer-Encoding: chunked\r\n\r\n")
		line := `{"embedding":[1,2,3]}` + "\n"
		for range 6 {
			time.Sleep(short / 2)
			if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(line), line); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(raw), `"successful":6`) || !strings.Contains(string(raw), `"complete":true`) {
			t.Errorf("%s: %v %s", ack, err, raw)
		}
	}
}

// Trap: a request's context does not end with its client.
func TestTrapContextOutlivesClient(t *testing.T) {
	ended := make(chan bool, 1)
	addr := bare(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		select {
		case <-ctx.Done():
			ended <- true
		case <-time.After(short):
			ended <- false
		}
	}})
	conn, _ := dial(t, addr, get(addr, "/"))
	conn.Close()
	if <-ended {
		t.Log("fasthttp ends the context with the client now")
	}

	s, addr := ours(t, nil)
	conn, r := dial(t, addr, get(addr, "/v1/events/stream?heartbeat=5m"))
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	waitFor(t, "the stream has ended", func() bool { return s.open.count() == 0 })
}

// Trap: with StreamRequestBody a body may be of any length.
func TestTrapBodyLimitOfStreams(t *testing.T) {
	addr := bare(t, &fasthttp.Server{StreamRequestBody: true, MaxRequestBodySize: 1000, Handler: func(ctx *fasthttp.RequestCtx) {
		n, _ := io.Copy(io.Discard, ctx.RequestBodyStream())
		fmt.Fprint(ctx, n)
	}})
	_, r := dial(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"+strings.Repeat("x", 5000))
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		t.Log("fasthttp bounds streamed bodies now")
	}
	// Ours: TestBodyLimits.
}

// Trap: a chunked body that is cut between two chunks ends in a plain io.EOF, and
// so does one that is shorter than its Content-Length.
func TestTrapCutBodyLooksWhole(t *testing.T) {
	got := make(chan error, 1)
	addr := bare(t, &fasthttp.Server{StreamRequestBody: true, MaxRequestBodySize: 1, Handler: func(ctx *fasthttp.RequestCtx) {
		_, err := io.ReadAll(ctx.RequestBodyStream())
		got <- err
	}})
	for _, request := range []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"} {
		conn, _ := dial(t, addr, request)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Logf("fasthttp tells a cut body now: %v", err)
		}
	}
	// Ours: TestCutBodyIsNotWhole.
}

// Trap: Close of a hijacked connection does nothing, and its reader goes to
// another connection when the handler returns.
func TestTrapHijackedClose(t *testing.T) {
	s, addr := ours(t, nil)
	before := runtime.NumGoroutine()
	for range 20 {
		conn, r := dial(t, addr, get(addr, "/v1/events/stream"))
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		s.open.cutAll()
		if _, err := io.Copy(io.Discard, r); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection is still open")
			}
		}
		conn.Close()
	}
	waitFor(t, "writers and watchers have ended", func() bool { return s.open.count() == 0 && runtime.NumGoroutine() <= before+10 })
}

// Trap: what a request's context gives out is overwritten by the next request of
// the connection.
func TestTrapValuesAlias(t *testing.T) {
	_, addr := ours(t, nil)
	var b strings.Builder
	post := func(method, path, body string) {
		fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, addr, len(body), body)
	}
	post("POST", "/v1/libraries", `{"id":"l","embedding":{"provider":"none"}}`)
	const n = 200
	for i := range n {
		post("PUT", fmt.Sprintf("/v1/libraries/l/documents/doc-%03d", i), fmt.Sprintf(`{"title":"title-%03d","metadata":{"n":%d},"chunks":[{"id":"c-%03d","text":"text-%03d","embedding":[%d,1]}]}`, i, i, i, i, i))
	}
	for i := range n {
		b.WriteString(get(addr, fmt.Sprintf("/v1/libraries/l/documents/doc-%03d", i)))
	}
	conn, r := dial(t, addr, "")
	go io.WriteString(conn, b.String()) // pipelined
	for i := range 2*n + 1 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if k := i - 1; k >= 0 {
			for _, want := range []string{"doc-%03d", "title-%03d", "c-%03d", "text-%03d"} {
				if w := fmt.Sprintf(want, k%n); !strings.Contains(string(raw), w) {
					t.Fatalf("answer %d lacks %s: %s", i, w, raw)
				}
			}
		}
	}
}

// Trap: a handler waits for the first 8 KiB of a body that has a length, also
// where it would refuse it.
func TestTrapHandlerWaitsForTheBody(t *testing.T) {
	_, addr := ours(t, nil)
	_, r := dial(t, addr, "POST /v1/libraries/none/documents/stream HTTP/1.1\r\nHost: "+addr+"\r\nContent-Length: 8000\r\n\r\nx")
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 404 {
		t.Fatal(err, res)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
