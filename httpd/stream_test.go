package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

func TestSSE(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	w.lib("m")
	c := w.sse("from=start&library=l&heartbeat=20ms")
	if e := c.event(); e["event"] != "stream.open" || e["retry"] != "1000" && e["id"] != "" {
		t.Errorf("first %v", e)
	}
	if e := c.event(); e["event"] != "library.created" || e["id"] == "" {
		t.Errorf("second %v", e)
	}
	if e := c.event(); e["event"] != "stream.live" {
		t.Errorf("third %v", e)
	}
	w.do("PUT", "/v1/libraries/l/documents/a", simple("a")).is(201)
	e := c.event()
	for e["event"] == "stream.checkpoint" {
		e = c.event()
	}
	if e["event"] != "document.added" {
		t.Errorf("%v", e)
	}
	resumed := e["id"]
	// Changes that do not pass move the reader on.
	w.do("PUT", "/v1/libraries/m/documents/a", simple("a")).is(201)
	if e := c.event(); e["event"] != "stream.checkpoint" || e["id"] == "" {
		t.Errorf("%v", e)
	}
	w.do("PUT", "/v1/libraries/l/documents/b", simple("b")).is(201)
	again := w.sse("", "Last-Event-ID: "+resumed)
	for _, want := range []string{"m", "l"} {
		var data struct {
			Library string `json:"library_id"`
		}
		if err := json.Unmarshal([]byte(again.until("document.added")["data"]), &data); err != nil || data.Library != want {
			t.Errorf("library %q, want %q (%v)", data.Library, want, err)
		}
	}
	// A position that cannot be served.
	reset := w.sse("", "Last-Event-ID: aaaaaaaaaaaaa:5")
	if e := reset.event(); e["event"] != "stream.reset" || e["retry"] != "30000" || !strings.Contains(e["data"], `"diverged"`) || e["id"] != "" {
		t.Errorf("%v", e)
	}
	reset.closed(patience)
	w.do("GET", "/v1/events/stream?from=x", nil).problem(400, "invalid_argument")
	w.do("GET", "/v1/events/stream?snapshot=true", nil).problem(400, "invalid_argument")
	w.do("GET", "/v1/events?from=999999", nil).problem(409, "ahead")
}

// A vanished client would show on a failed write only, seconds later.
func TestVanishedClientIsNoticed(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	c := w.sse("heartbeat=5m")
	c.until("stream.live")
	f := w.dial()
	f.send("GET /v1/events?follow=true&from=1 HTTP/1.1\r\nHost: " + w.addr + "\r\nAccept: application/x-ndjson\r\n\r\n")
	f.answer()
	streams := func() float64 { return w.do("GET", "/v1/status", nil).is(200).obj()["streams"].(float64) }
	if n := streams(); n != 2 {
		t.Fatalf("%v streams", n)
	}
	c.conn.Close()
	f.conn.Close()
	begin := time.Now()
	w.eventually("both are gone", func() bool { return streams() == 0 })
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestStreamLimit(t *testing.T) {
	w := newWorld(t, func(o *httpd.Options) { o.MaxStreams = 2 })
	w.lib("l")
	a := w.sse("")
	w.sse("")
	for _, path := range []string{"/v1/events/stream", "/v1/libraries/l/documents/stream"} {
		r := w.do("GET", path, nil)
		r.problem(503, "overloaded")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	a.conn.Close()
	w.eventually("there is room again", func() bool { return w.do("GET", "/v1/libraries/l/documents/stream", nil).status == 200 })
}

// A stalled client costs the others nothing, and shutdown does not wait for it.
func TestStalledReader(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	stalled := w.sse("from=1&include=embeddings")
	if err := stalled.conn.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	live := w.sse("")
	live.until("stream.live")
	pad := strings.Repeat("x", 60_000)
	for i := range 100 {
		w.do("PUT", fmt.Sprintf("/v1/libraries/l/documents/d%d", i), map[string]any{"title": pad, "embedding": []int{1, 2, 3}}).is(201)
		live.until("document.added")
	}
	if d := w.stop(time.Second); d > 3*time.Second {
		t.Errorf("stopping took %v", d)
	}
	live.closed(patience)
}

// SIGTERM's way: streams open, uploads half sent, connections idle.
func TestShutdown(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	var open []*wire
	for range 20 {
		c := w.sse("")
		c.until("stream.live")
		open = append(open, c)
	}
	f := w.dial()
	f.send("GET /v1/events?follow=true HTTP/1.1\r\nHost: " + w.addr + "\r\nAccept: application/x-ndjson\r\n\r\n")
	f.answer()
	for range 5 {
		c := w.dial()
		c.send("GET /livez HTTP/1.1\r\nHost: " + w.addr + "\r\n\r\n")
		c.answer()
	}
	ups := map[string]*wire{}
	for _, ack := range []string{"summary", "line"} {
		ups[ack] = w.upload("l", "ack="+ack+"&source="+ack)
		ups[ack].chunk(simple("d-"+ack) + `{"id":"half`)
		w.eventually("the line is taken", func() bool { return w.do("GET", "/v1/libraries/l/documents/d-"+ack, nil).status == 200 })
	}
	if d := w.stop(4 * time.Second); d > 3*time.Second {
		t.Errorf("stopping took %v", d)
	}
	for _, c := range append(open, f) {
		c.closed(patience)
	}
	for ack, c := range ups {
		res := c.answer()
		raw, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %v %s", ack, res.StatusCode, err, raw)
		}
		all := strings.Split(strings.TrimSpace(string(raw)), "\n")
		m := decoded(t, []byte(all[len(all)-1]))
		if m["complete"] != false || m["problem"].(map[string]any)["code"] != "shutting_down" {
			t.Errorf("%s: %s", ack, raw)
		}
		sums(t, m, 1, 0, 0, 1)
	}
	if _, err := net.Dial("tcp", w.addr); err == nil {
		t.Error("it still accepts connections")
	}
}

// An upload whose client never reads does not hold up the end.
func TestShutdownWithUnreadReceipts(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	c := w.upload("l", "ack=line")
	if err := c.conn.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c.chunk(many(5000))
	}
	w.eventually("lines are taken", func() bool { return w.count("l") == 5000 })
	if d := w.stop(4 * time.Second); d > 3500*time.Millisecond {
		t.Errorf("stopping took %v", d)
	}
}

// The server is up before its database is.
func TestBeforeTheDatabase(t *testing.T) {
	s := httpd.New(httpd.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	w := &world{t: t, s: s, addr: ln.Addr().String(), done: done}
	s.SetProgress(engine.RecoveryProgress{From: 7, Commit: 10, Target: 17, Records: 600, Elapsed: 2 * time.Second})
	w.do("GET", "/livez", nil).is(200)
	r := w.do("GET", "/readyz", nil).is(503)
	if m := r.obj(); m["status"] != "recovering" || m["done"] != 3.0 || m["total"] != 10.0 || m["records"] != 600.0 || m["records_per_second"] != 300.0 || m["eta_s"] != 4.7 || r.header.Get("Retry-After") == "" {
		t.Errorf("%v %v", m, r.header)
	}
	for _, path := range []string{"/v1/libraries", "/v1/status", "/metrics", "/v1/events/stream"} {
		if r := w.do("GET", path, nil).is(503); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	w.do("GET", "/openapi.json", nil).is(200)
	w.do("GET", "/docs", nil).is(200)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestExportIsWhole(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	w.ingest("l", "", many(5000)).is(200)
	a := w.do("GET", "/v1/libraries/l/documents/stream?include=embeddings", nil).is(200)
	lines := a.lines()
	if len(lines) != 5000 || a.header.Get("Arrwdb-Documents") != "5000" || a.header.Get("Arrwdb-Seq") == "" {
		t.Errorf("%d lines, headers %v", len(lines), a.header)
	}
	// HTTP/1.0 knows no chunks.
	c := w.dial()
	c.send("GET /v1/libraries/l/documents/stream HTTP/1.0\r\nHost: " + w.addr + "\r\n\r\n")
	res := c.answer()
	raw, err := io.ReadAll(res.Body)
	if err != nil || len(res.TransferEncoding) != 0 || strings.Count(string(raw), "\n") != 5000 {
		t.Errorf("%v %v %d bytes", err, res.TransferEncoding, len(raw))
	}
}

// Commit to event, the number that people will measure.
func BenchmarkCommitToSSE(b *testing.B) {
	w := newWorld(b, nil)
	w.lib("l")
	c := w.sse("library=l")
	c.until("stream.live")
	conn := w.dial()
	body := `{"embedding":[1,2,3]}`
	req := "PUT /v1/libraries/l/documents/a HTTP/1.1\r\nHost: " + w.addr + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
	var after time.Duration
	n := 0
	for b.Loop() {
		conn.send(req)
		res, err := http.ReadResponse(conn.r, nil)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		begin := time.Now()
		for {
			line, err := c.r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if strings.HasPrefix(string(line), "event: document.") {
				break
			}
		}
		after += time.Since(begin)
		n++
	}
	b.ReportMetric(float64(after.Microseconds())/float64(n), "µs-behind-answer")
}

func BenchmarkPut(b *testing.B) {
	w := newWorld(b, nil)
	w.lib("l")
	body := `{"title":"t","metadata":{"year":2017},"chunks":[{"text":"some text","embedding":[0.1,0.2,0.3,0.4]}]}`
	b.ReportAllocs()
	b.SetParallelism(16)
	var id sync.Mutex
	n := 0
	b.RunParallel(func(pb *testing.PB) {
		id.Lock()
		n++
		me := n
		id.Unlock()
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		req := []byte(fmt.Sprintf("PUT /v1/libraries/l/documents/d%d HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", me, w.addr, len(body), body))
		var res fasthttp.Response
		for pb.Next() {
			if _, err := conn.Write(req); err != nil {
				b.Error(err)
				return
			}
			if err := res.Read(r); err != nil || res.StatusCode() > 201 {
				b.Error(err, res.StatusCode())
				return
			}
		}
	})
}

// Open streams are cheap: a goroutine for writing and one for watching.
func TestManyStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	w := newWorld(t, nil)
	w.lib("l")
	var ms runtime.MemStats
	var open []*wire
	for range 200 {
		open = append(open, w.sse("library=l"))
	}
	for _, c := range open {
		c.until("stream.live")
	}
	w.do("PUT", "/v1/libraries/l/documents/a", simple("a")).is(201)
	for _, c := range open {
		c.until("document.added")
	}
	runtime.ReadMemStats(&ms)
	if os.Getenv("ARRWDB_LONG") != "" {
		t.Logf("heap %d MiB, %d goroutines", ms.HeapAlloc>>20, runtime.NumGoroutine())
	}
}
