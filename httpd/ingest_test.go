package httpd_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

func gzipped(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, s string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll([]byte(s), nil)
}

// sums compares the counters of a summary.
func sums(t testing.TB, m map[string]any, successful, failed, skipped, lines int) {
	t.Helper()
	got := fmt.Sprint(m["successful"], m["failed"], m["skipped"], m["lines"])
	if want := fmt.Sprint(successful, failed, skipped, lines); got != want {
		t.Errorf("successful, failed, skipped, lines: %s, want %s\n%v", got, want, m)
	}
}

func TestIngestSummary(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	a := w.ingest("l", "", simple("a")+"\n{broken\n"+simple("b")+simple("a")).is(200)
	m := a.obj()
	sums(t, m, 3, 1, 0, 5)
	if m["complete"] != true || m["first_seq"] == nil || fmt.Sprint(m["last_seq"]) != a.header.Get("Arrwdb-Seq") || a.header.Get("Arrwdb-Position") == "" {
		t.Errorf("%v %v", m, a.header)
	}
	m = w.ingest("l", "mode=skip", simple("a")+simple("c")).is(200).obj()
	sums(t, m, 1, 0, 1, 2)
	m = w.ingest("l", "", "").is(200).obj()
	sums(t, m, 0, 0, 0, 0)
	if m["first_seq"] != nil || m["last_seq"] != nil {
		t.Errorf("an empty upload has seqs: %v", m)
	}
}

func TestIngestCompressed(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	body := many(3000)
	for enc, raw := range map[string][]byte{"gzip": gzipped(t, body), "zstd": zstded(t, body), "GZIP": gzipped(t, body)} {
		sums(t, w.ingest("l", "", raw, "Content-Encoding", enc).is(200).obj(), 3000, 0, 0, 3000)
		for _, cut := range []int{len(raw) - 7, len(raw) / 2} {
			a := w.ingest("l", "", raw[:cut], "Content-Encoding", enc)
			if a.status == 200 && a.obj()["complete"] != false || a.status != 200 && a.status != 400 {
				t.Errorf("%s cut at %d of %d: %d %s", enc, cut, len(raw), a.status, a.body)
			}
		}
		a := w.ingest("l", "", append(bytes.Clone(raw), "rubbish behind it"...), "Content-Encoding", enc).is(200)
		if m := a.obj(); m["complete"] != false || m["problem"].(map[string]any)["code"] != "invalid_argument" {
			t.Errorf("%s with rubbish behind it: %s", enc, a.body)
		}
		w.ingest("l", "", "neither", "Content-Encoding", enc).problem(400, "invalid_argument")
		sums(t, w.ingest("l", "", "", "Content-Encoding", enc).is(200).obj(), 0, 0, 0, 0)
	}
	w.ingest("l", "", body, "Content-Encoding", "br").problem(415, "unsupported_media_type")
}

// A body that is cut off looks to fasthttp like one that has ended, both between
// two chunks and before Content-Length bytes have come.
func TestCutBodyIsNotWhole(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	whole, part := simple("a"), strings.TrimSuffix(simple("not-whole"), "\n")
	for _, ack := range []string{"summary", "line"} {
		for _, framing := range []string{"chunked", "length"} {
			head := "POST /v1/libraries/l/documents/stream?ack=" + ack + " HTTP/1.1\r\nHost: " + w.addr + "\r\n"
			c := w.dial()
			if framing == "chunked" {
				c.send(head + "Transfer-Encoding: chunked\r\n\r\n")
				c.chunk(whole + part)
			} else {
				c.send(head + "Content-Length: 100000\r\n\r\n" + whole + part)
			}
			if err := c.conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			res := c.answer()
			raw, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%s %s: %d %v %s", ack, framing, res.StatusCode, err, raw)
			}
			all := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
			m := decoded(t, all[len(all)-1])
			if m["complete"] != false || m["problem"] == nil {
				t.Errorf("%s %s: %s", ack, framing, raw)
			}
			sums(t, m, 1, 0, 0, 1)
			w.do("GET", "/v1/libraries/l/documents/not-whole", nil).problem(404, "document_not_found")
		}
	}
	// A document's body too.
	c := w.dial()
	c.send("PUT /v1/libraries/l/documents/cut HTTP/1.1\r\nHost: " + w.addr + "\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.chunk(`{"embedding":[1,2,3]}`)
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if res := c.answer(); res.StatusCode != 400 {
		t.Errorf("status %d", res.StatusCode)
	}
	w.do("GET", "/v1/libraries/l/documents/cut", nil).problem(404, "document_not_found")
}

// Each receipt comes while the body is still being sent, and what it tells of is
// visible.
func TestIngestFlows(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	for _, ack := range []string{"line", "batch"} {
		c := w.upload("l", "ack="+ack)
		c.chunk(simple("d0"))
		res := c.answer()
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
		r := bufio.NewReader(res.Body)
		for i := range 5 {
			if i > 0 {
				c.chunk(simple("d" + strconv.Itoa(i)))
			}
			for {
				line, err := r.ReadBytes('\n')
				if err != nil {
					t.Fatal(err)
				}
				m := decoded(t, line)
				if m["type"] == "line" && m["line"] == float64(i+1) || ack == "batch" && m["type"] == "ack" && m["lines"] == float64(i+1) {
					break
				}
			}
			w.do("GET", "/v1/libraries/l/documents/d"+strconv.Itoa(i), nil).is(200)
		}
		c.send("0\r\n\r\n")
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all := bytes.Split(bytes.TrimSpace(rest), []byte("\n"))
		last := decoded(t, all[len(all)-1])
		if last["type"] != "summary" || last["position"] == nil {
			t.Errorf("last line %v", last)
		}
		sums(t, last, 5, 0, 0, 5)
	}
}

// The head comes though no line was sent: the client may wait for it.
func TestFlowingHeadComesFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	c := w.upload("l", "ack=line")
	if res := c.answer(); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	ask := func(path, more string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: " + w.addr + "\r\nExpect: 100-continue\r\n" + more + "\r\n"
	}
	for _, framing := range []string{"Transfer-Encoding: chunked\r\n", "Content-Length: " + strconv.Itoa(len(simple("a"))) + "\r\n"} {
		c := w.dial()
		c.send(ask("/v1/libraries/l/documents/stream", framing))
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("%q %v", line, err)
		}
		if _, err := c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(framing, "T") {
			c.chunk(simple("a"))
			c.send("0\r\n\r\n")
		} else {
			c.send(simple("a"))
		}
		res := c.answer()
		raw, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, raw)
		}
		sums(t, decoded(t, raw), 1, 0, 0, 1)
	}
	// What is refused is refused before the body.
	for path, status := range map[string]int{"/v1/libraries/none/documents/stream": 404, "/v1/libraries/l/documents/stream?ack=x": 400, "/v1/nothing": 404, "/v1/status": 405} {
		c := w.dial()
		c.send(ask(path, "Content-Length: 100000000\r\nContent-Type: application/x-ndjson\r\n"))
		if res := c.answer(); res.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, status)
		}
		c.closed(patience)
	}
	c := w.dial()
	c.send(ask("/v1/libraries/l/documents/stream", "Content-Length: 100\r\nContent-Type: text/csv\r\n"))
	if res := c.answer(); res.StatusCode != 415 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// A refusal comes at once, and reaches a client that goes on sending.
func TestRefusalReachesASender(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial()
	c.send("POST /v1/libraries/none/documents/stream HTTP/1.1\r\nHost: " + w.addr + "\r\nContent-Length: 50000000\r\n\r\nx")
	if res := c.answer(); res.StatusCode != 404 {
		t.Fatalf("status %d", res.StatusCode)
	}
	c = w.dial()
	c.send("POST /v1/libraries/none/documents/stream HTTP/1.1\r\nHost: " + w.addr + "\r\nContent-Length: 50000000\r\n\r\n")
	filler := strings.Repeat("x", 1<<20)
	for range 20 { // the answer is there already, and unread
		if _, err := io.WriteString(c.conn, filler); err != nil {
			t.Fatalf("the connection was cut while the client was sending: %v", err)
		}
	}
	if res := c.answer(); res.StatusCode != 404 {
		t.Fatalf("status %d", res.StatusCode)
	}
	for _, path := range []string{"/v1/libraries/none/documents/stream?ack=line", "/v1/libraries/none/documents/stream"} {
		c := w.dial()
		c.send("POST " + path + " HTTP/1.1\r\nHost: " + w.addr + "\r\nTransfer-Encoding: chunked\r\n\r\n")
		if res := c.answer(); res.StatusCode != 404 {
			t.Fatalf("%s: status %d", path, res.StatusCode)
		}
	}
}

// fasthttp does not bound bodies that it streams.
func TestBodyLimits(t *testing.T) {
	w := newWorld(t, func(o *httpd.Options) { o.MaxBodyBytes, o.MaxLineBytes = 1000, 500 })
	w.lib("l")
	big := `{"id":"big","title":"` + strings.Repeat("x", 2000) + `","embedding":[1,2,3]}`
	for _, body := range []any{big, io.MultiReader(strings.NewReader(big))} {
		if m := w.do("POST", "/v1/libraries/l/documents", body).problem(413, "too_large"); m["limit"] != 1000.0 {
			t.Errorf("limit %v", m["limit"])
		}
	}
	m := w.ingest("l", "", simple("a")+big+"\n"+simple("b")).is(200).obj()
	sums(t, m, 2, 1, 0, 3)
	if code := m["errors"].([]any)[0].(map[string]any)["code"]; code != "too_large" {
		t.Errorf("code %v", code)
	}
	sums(t, w.ingest("l", "", many(500)).is(200).obj(), 500, 0, 0, 500) // the whole is not bounded
}

func TestIngestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	for query, field := range map[string]string{"mode=x": "mode", "on_error=x": "on_error", "ack=x": "ack", "source=a%20b": "source", "first_line=0&source=s": "first_line", "first_line=2": "first_line", "acks=line": "acks", "min_seq=1": "min_seq"} {
		if m := w.ingest("l", query, simple("a")).problem(400, "invalid_argument"); m["field"] != field {
			t.Errorf("%s: field %v", query, m["field"])
		}
	}
	for _, ack := range []string{"summary", "line"} {
		w.ingest("none", "ack="+ack, simple("a")).problem(404, "library_not_found")
		w.ingest("l", "source=s&first_line=5&ack="+ack, simple("a")).problem(409, "conflict")
		w.ingest("l", "ack="+ack, "rubbish", "Content-Encoding", "gzip").problem(400, "invalid_argument")
	}
	if n := w.count("l"); n != 0 {
		t.Errorf("%d documents", n)
	}
}

func TestIngestAbortAndSource(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	body := simple("a") + "\n{broken\n" + simple("b")
	a := w.ingest("l", "on_error=abort&source=s&ack=line", body).is(200).lines()
	last := a[len(a)-1]
	if last["complete"] != false || last["problem"].(map[string]any)["line"] != 3.0 {
		t.Errorf("%v", last)
	}
	if m := w.do("GET", "/v1/libraries/l/sources/s", nil).is(200).obj(); m["lines"] != 2.0 {
		t.Errorf("%v", m)
	}
	sums(t, w.ingest("l", "source=s", simple("a")+"\n"+simple("m")+simple("b")).is(200).obj(), 2, 0, 0, 4)
	// A second upload of the source at the same time.
	c := w.upload("l", "source=s&ack=line")
	if res := c.answer(); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	w.ingest("l", "source=s", simple("a")).problem(409, "conflict")
	c.send("0\r\n\r\n")
	c.closed(patience)
	w.ingest("l", "source=s", simple("a")).is(200)
}

func TestIngestIdempotency(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	for _, ack := range []string{"summary", "line"} {
		first := w.ingest("l", "mode=insert&ack="+ack, simple("a-"+ack), "Idempotency-Key", ack).is(200).lines()
		again := w.ingest("l", "mode=insert&ack="+ack, simple("a-"+ack), "Idempotency-Key", ack).is(200)
		if again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: not a replay", ack)
		}
		lines := again.lines()
		got, want := lines[len(lines)-1], first[len(first)-1]
		delete(want, "position")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, first %v", ack, got, want)
		}
		w.ingest("l", "ack="+ack, simple("x"), "Idempotency-Key", ack).problem(409, "conflict")
		// While one goes on, a second one is refused.
		c := w.upload("l", "ack="+ack, "Idempotency-Key: open-"+ack)
		c.chunk(simple("o-" + ack))
		w.eventually("the line is taken", func() bool { return w.do("GET", "/v1/libraries/l/documents/o-"+ack, nil).status == 200 })
		w.ingest("l", "ack="+ack, simple("x"), "Idempotency-Key", "open-"+ack).problem(409, "conflict")
		// What is cut off is not remembered, and may be repeated.
		c.conn.Close()
		w.eventually("the key is free", func() bool {
			return w.ingest("l", "ack="+ack, simple("o-"+ack), "Idempotency-Key", "open-"+ack).status == 200
		})
	}
}

// readLate sends everything before it reads anything, and returns the last line
// and what the others account for.
func readLate(t *testing.T, w *world, ack string, size, filler int) (last map[string]any, receipts, ranges, failed, lines int) {
	t.Helper()
	c := w.upload("l", "ack="+ack)
	if err := c.conn.SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", filler)
	var b strings.Builder
	for sent := 0; sent < size; sent += b.Len() {
		b.Reset()
		for b.Len() < 256<<10 {
			if lines++; lines%100 == 0 {
				b.WriteString("{broken\n")
				continue
			}
			fmt.Fprintf(&b, `{"id":"d%06d","embedding":[1,2,3],"title":"%s"}`+"\n", lines%5000, pad)
		}
		c.chunk(b.String())
	}
	c.send("0\r\n\r\n")
	// A small window fills fast, and empties slowly.
	if err := c.conn.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	res := c.answer()
	sc := bufio.NewScanner(res.Body)
	sc.Buffer(nil, 1<<20)
	prev := 0.0
	for sc.Scan() {
		var l map[string]any
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, sc.Bytes())
		}
		last = l
		switch l["type"] {
		case "line":
			if n := l["line"].(float64); n <= prev {
				t.Fatalf("line %v after %v", n, prev)
			} else {
				prev = n
			}
			receipts++
		case "lines":
			if n := l["from"].(float64); n <= prev {
				t.Fatalf("lines from %v after %v", n, prev)
			}
			prev = l["to"].(float64)
			ranges++
			receipts += int(prev-l["from"].(float64)) + 1
		case "error":
			if n := l["line"].(float64); n <= prev {
				t.Fatalf("error of line %v after %v", n, prev)
			} else {
				prev = n
			}
			failed++
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return last, receipts, ranges, failed, lines
}

func TestClientThatReadsLate(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(o *httpd.Options) { o.SpoolDir = dir })
	w.lib("l")
	for _, ack := range []string{"line", "batch"} {
		last, receipts, ranges, failed, lines := readLate(t, w, ack, 12<<20, 100)
		sums(t, last, lines-lines/100, lines/100, 0, lines)
		if failed != lines/100 || ranges != 0 || ack == "line" && receipts != lines-lines/100 {
			t.Errorf("%s: %d receipts, %d ranges, %d errors for %d lines", ack, receipts, ranges, failed, lines)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v %v", left, err)
	}
}

func TestReceiptsBeyondTheSpool(t *testing.T) {
	w := newWorld(t, func(o *httpd.Options) { o.ReceiptSpool = 64 << 10 })
	w.lib("l")
	last, receipts, ranges, failed, lines := readLate(t, w, "line", 12<<20, 10)
	sums(t, last, lines-lines/100, lines/100, 0, lines)
	if ranges == 0 || receipts+failed < lines {
		t.Errorf("%d receipts, %d ranges, %d errors for %d lines", receipts, ranges, failed, lines)
	}
}

// TestLongUploadKeepsMemoryFlat sends 300 MB and reads nothing meanwhile.
func TestLongUploadKeepsMemoryFlat(t *testing.T) {
	if os.Getenv("ARRWDB_LONG") == "" {
		t.Skip("ARRWDB_LONG is not set")
	}
	w := newWorldOn(t, engine.Options{CacheBytes: 8 << 20, MemTableBytes: 8 << 20}, nil)
	w.lib("l")
	resident := func() int64 { // without the pages of files
		raw, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Skip(err)
		}
		_, rest, _ := strings.Cut(string(raw), "RssAnon:")
		n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
		return n << 10
	}
	// The database has its caches and buffers too, so an upload with receipts is
	// compared with one that has none.
	peaks := map[string]int64{}
	for _, ack := range []string{"batch", "batch", "line", "batch"} {
		runtime.GC()
		stop, peak := make(chan struct{}), make(chan int64)
		go func() {
			var most int64
			for {
				most = max(most, resident())
				select {
				case <-stop:
					peak <- most
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		last, _, _, _, lines := readLate(t, w, ack, 300<<20, 900)
		close(stop)
		peaks[ack] = max(<-peak, peaks[ack])
		sums(t, last, lines-lines/100, lines/100, 0, lines)
		t.Logf("%s: resident %d MiB at most", ack, peaks[ack]>>20)
	}
	if grown := peaks["line"] - peaks["batch"]; grown > 100<<20 {
		t.Errorf("receipts that nobody reads take %d MiB", grown>>20)
	}
}
