package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

// patience bounds every wait of these tests.
const patience = 10 * time.Second

// A world is a server over a database of its own.
type world struct {
	t    testing.TB
	db   *engine.DB
	s    *httpd.Server
	addr string
	key  string
	done chan error
}

func newWorld(t testing.TB, change func(*httpd.Options)) *world {
	t.Helper()
	return newWorldOn(t, engine.Options{}, change)
}

func newWorldOn(t testing.TB, eo engine.Options, change func(*httpd.Options)) *world {
	t.Helper()
	eo.Create = true
	db, err := engine.Open(t.TempDir(), eo)
	if err != nil {
		t.Fatal(err)
	}
	o := httpd.Options{Version: "test", SpoolDir: t.TempDir()}
	if change != nil {
		change(&o)
	}
	w := &world{t: t, db: db, s: httpd.New(o), done: make(chan error, 1)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	go func() { w.done <- w.s.Serve(ln) }()
	w.s.SetDB(db)
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	if w.db == nil {
		return
	}
	w.stop(4 * time.Second)
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
	w.db = nil
}

// stop ends the server and returns how long that took.
func (w *world) stop(within time.Duration) time.Duration {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := w.s.Shutdown(ctx); err != nil {
		w.t.Error(err)
	}
	select {
	case err := <-w.done:
		w.done <- err
		if err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	case <-time.After(patience):
		w.t.Error("Serve did not return")
	}
	return time.Since(begin)
}

// An answer is a whole answer.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// do sends a request; body may be nil, a string, bytes, a reader or a value.
// pairs are header names and values.
func (w *world) do(method, path string, body any, pairs ...string) *answer {
	w.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, "http://"+w.addr+path, r)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if w.key != "" {
		req.Header.Set("Authorization", "Bearer "+w.key)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "Host" {
			req.Host = pairs[i+1]
		} else {
			req.Header.Set(pairs[i], pairs[i+1])
		}
	}
	hc := &http.Client{Timeout: 3 * patience, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	res, err := hc.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	return &answer{w.t, method + " " + path, res.StatusCode, res.Header, raw}
}

func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	return a
}

func (a *answer) problem(status int, code string) map[string]any {
	a.t.Helper()
	a.is(status)
	m := a.obj()
	if m["code"] != code {
		a.t.Errorf("%s: code %v, want %s\n%s", a.what, m["code"], code, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: content type %q", a.what, got)
	}
	if m["request_id"] == "" || m["request_id"] != a.header.Get("X-Request-Id") {
		a.t.Errorf("%s: request_id %v, X-Request-Id %q", a.what, m["request_id"], a.header.Get("X-Request-Id"))
	}
	return m
}

func (a *answer) obj() map[string]any {
	a.t.Helper()
	return decoded(a.t, a.body)
}

func decoded(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return m
}

// lines decodes an NDJSON answer.
func (a *answer) lines() []map[string]any {
	a.t.Helper()
	var out []map[string]any
	for _, l := range bytes.Split(bytes.TrimSpace(a.body), []byte("\n")) {
		out = append(out, decoded(a.t, l))
	}
	return out
}

func (w *world) lib(id string) {
	w.t.Helper()
	w.do("POST", "/v1/libraries", map[string]any{"id": id, "embedding": map[string]any{"provider": "none"}}).is(201)
}

func (w *world) count(lib string) int {
	w.t.Helper()
	return int(w.do("GET", "/v1/libraries/"+lib+"/count", nil).is(200).obj()["count"].(float64))
}

func (w *world) ingest(lib, query string, body any, pairs ...string) *answer {
	w.t.Helper()
	return w.do("POST", "/v1/libraries/"+lib+"/documents/stream?"+query, body, append([]string{"Content-Type", "application/x-ndjson"}, pairs...)...)
}

// simple is a line with a document.
func simple(id string) string {
	return `{"id":"` + id + `","title":"t","chunks":[{"text":"x","embedding":[1,2,3]}]}` + "\n"
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(simple(fmt.Sprintf("d%06d", i)))
	}
	return b.String()
}

// A wire is a bare connection: the test decides when to send and when to read.
type wire struct {
	t    testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
}

func (w *world) dial() *wire {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(6 * patience)); err != nil {
		w.t.Fatal(err)
	}
	return &wire{w.t, conn.(*net.TCPConn), bufio.NewReaderSize(conn, 64<<10)}
}

func (c *wire) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

func (c *wire) chunk(s string) { c.t.Helper(); c.send(fmt.Sprintf("%x\r\n%s\r\n", len(s), s)) }

func (c *wire) answer() *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: "POST"})
	if err != nil {
		c.t.Fatalf("reading the answer: %v", err)
	}
	return res
}

// upload begins a chunked upload.
func (w *world) upload(lib, query string, headers ...string) *wire {
	w.t.Helper()
	c := w.dial()
	head := "POST /v1/libraries/" + lib + "/documents/stream?" + query + " HTTP/1.1\r\nHost: " + w.addr + "\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
	if w.key != "" {
		head += "Authorization: Bearer " + w.key + "\r\n"
	}
	for _, h := range headers {
		head += h + "\r\n"
	}
	c.send(head + "\r\n")
	return c
}

// sse opens a stream of events on a bare connection and reads its head.
func (w *world) sse(query string, headers ...string) *wire {
	w.t.Helper()
	c := w.dial()
	head := "GET /v1/events/stream?" + query + " HTTP/1.1\r\nHost: " + w.addr + "\r\n"
	if w.key != "" {
		head += "Authorization: Bearer " + w.key + "\r\n"
	}
	for _, h := range headers {
		head += h + "\r\n"
	}
	c.send(head + "\r\n")
	res := c.answer()
	if res.StatusCode != 200 {
		raw, _ := io.ReadAll(res.Body)
		w.t.Fatalf("status %d\n%s", res.StatusCode, raw)
	}
	return c
}

// event reads up to the next SSE event and returns its fields.
func (c *wire) event() map[string]string {
	c.t.Helper()
	m := map[string]string{}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading events: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if m["event"] != "" {
				return m
			}
			continue // a bare retry, or a comment
		}
		k, v, _ := strings.Cut(line, ":")
		m[k] = strings.TrimPrefix(v, " ")
	}
}

// until reads events up to one with the name.
func (c *wire) until(name string) map[string]string {
	c.t.Helper()
	for {
		if e := c.event(); e["event"] == name {
			return e
		}
	}
}

// closed waits for the end of the connection.
func (c *wire) closed(within time.Duration) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	if _, err := io.Copy(io.Discard, c.r); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Fatalf("still open after %v", within)
		}
	}
}

// eventually polls a condition that has no signal.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
