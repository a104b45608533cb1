package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// A conversation is an upload over a bare connection, so that the test decides
// when to send and when to read. net/http would read on its own.
type conversation struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (e *env) upload(t testing.TB, lib, query string, headers ...string) *conversation {
	t.Helper()
	conn, err := net.Dial("tcp", e.srv.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	head := fmt.Sprintf("POST /v1/libraries/%s/documents/stream?%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n", lib, query, e.srv.addr)
	if e.key != "" {
		head += "Authorization: Bearer " + e.key + "\r\n"
	}
	for _, h := range headers {
		head += h + "\r\n"
	}
	c := &conversation{t: t, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	c.raw(head + "\r\n")
	return c
}

func (c *conversation) raw(s string) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(3 * patience))
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// send sends one chunk of the body.
func (c *conversation) send(s string) { c.t.Helper(); c.raw(fmt.Sprintf("%x\r\n%s\r\n", len(s), s)) }

// finish ends the body.
func (c *conversation) finish() { c.t.Helper(); c.raw("0\r\n\r\n") }

// answer reads the head of the answer.
func (c *conversation) answer() *http.Response {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(3 * patience))
	res, err := http.ReadResponse(c.r, &http.Request{Method: "POST"})
	if err != nil {
		c.t.Fatalf("reading the answer: %v", err)
	}
	return res
}

// With ack=line each receipt comes while the body is still being sent.
func TestIngestFlows(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		for _, ack := range []string{"line", "batch"} {
			lib := e.lib(t)
			c := e.upload(t, lib, "ack="+ack)
			c.send(ndjson(simple("d0", nil)))
			res := c.answer()
			if res.StatusCode != 200 {
				t.Fatalf("status %d", res.StatusCode)
			}
			answer := bufio.NewReader(res.Body)
			for i := range 10 {
				if i > 0 {
					c.send(ndjson(simple(fmt.Sprint("d", i), nil)))
				}
				line, err := answer.ReadBytes('\n')
				for err == nil && ack == "line" && strings.Contains(string(line), `"ack"`) {
					line, err = answer.ReadBytes('\n')
				}
				if err != nil {
					t.Fatal(err)
				}
				l := mustMatch(t, "IngestLine", line)
				if ack == "line" {
					same(t, "receipt", []any{l["type"], l["line"], l["id"]}, []any{"line", i + 1, fmt.Sprint("d", i)})
				} else if l["type"] != "ack" || num(l, "lines") != uint64(i+1) {
					t.Errorf("line %d: %v", i+1, l)
				}
				// Visible before the request ends.
				e.get(t, doc(lib, fmt.Sprint("d", i))).is(200)
			}
			c.finish()
			rest, err := io.ReadAll(answer)
			if err != nil {
				t.Fatal(err)
			}
			all := bytes.Split(bytes.TrimSpace(rest), []byte("\n"))
			counts(t, mustMatch(t, "IngestLine", all[len(all)-1]), 10, 0, 0, 10)
		}
	})
}

// A batch closes after 10 ms without a further line: a line that the client has
// sent is visible though the upload goes on and nothing follows.
func TestIngestSummaryIsVisibleBeforeItEnds(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		s := e.sse(t, "types=document.*&library="+lib)
		s.live(t)
		c := e.upload(t, lib, "")
		c.send(ndjson(simple("a", nil)) + `{"id":"half","embed`)
		_, ev := s.event(t)
		same(t, "subject", ev["subject"], "a")
		c.send(`ding":[1,2,3]}` + "\n")
		_, ev = s.event(t)
		same(t, "subject", ev["subject"], "half")
		c.finish()
		if res := c.answer(); res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
	})
}

// A connection that is cut keeps whole lines only.
func TestIngestCutConnection(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		for _, ack := range []string{"summary", "line"} {
			lib := e.lib(t)
			c := e.upload(t, lib, "source=s&ack="+ack)
			c.send(ndjson(simple("a", nil), simple("b", nil)) + jsonText(simple("whole-but-no-newline", nil)))
			c.conn.Close()
			eventually(t, "two lines are taken", func() bool { return num(e.source(t, lib, "s"), "lines") >= 2 })
			// The upload has ended when the source is free again.
			eventually(t, "the source is free", func() bool {
				return e.ingest(t, lib, "source=s", ndjson(simple("a", nil), simple("b", nil), simple("c", nil))).status == 200
			})
			same(t, "lines", e.source(t, lib, "s")["lines"], 3)
			same(t, "documents", ids(list(e.get(t, docs(lib)).obj(), "documents")), []string{"a", "b", "c"})
		}
	})
}

// A client that reads nothing until it has sent everything must not deadlock.
func TestIngestClientThatReadsLate(t *testing.T) {
	e := openEnv(t)
	for _, ack := range []string{"line", "batch"} {
		t.Run(ack, func(t *testing.T) { readLate(t, e, ack, 20<<20, 900) })
	}
}

// The same with 300 MB, and the server's memory stays flat.
func TestIngestLargeUploadLong(t *testing.T) {
	if os.Getenv("ARRWDB_E2E_LONG") == "" {
		t.Skip("ARRWDB_E2E_LONG is not set")
	}
	for _, ack := range []string{"line", "batch"} {
		t.Run(ack, func(t *testing.T) {
			s := startServer(t, t.TempDir())
			c := newClient(s.base(), "")
			e := &env{client: c, srv: s, root: c, names: envNames()}
			// What the database itself needs for such a load, without an upload.
			readLate(t, e, "batch", 20<<20, 900)
			before := s.residentBytes(t)
			ctx, cancel := context.WithCancel(context.Background())
			peak := make(chan int64)
			go func() {
				var most int64
				for ctx.Err() == nil {
					most = max(most, s.residentBytes(t))
					select {
					case <-ctx.Done():
					case <-time.After(50 * time.Millisecond):
					}
				}
				peak <- most
			}()
			readLate(t, e, ack, 300<<20, 900)
			cancel()
			most := <-peak
			t.Logf("resident: %d MiB before, %d MiB at most", before>>20, most>>20)
			if most > before+(700<<20) {
				t.Errorf("memory went from %d to %d MiB", before>>20, most>>20)
			}
		})
	}
}

// Receipts beyond the spool become ranges; still each line is accounted for.
func TestIngestReceiptsBeyondTheSpool(t *testing.T) {
	e := alone(t, "--receipt-spool", "65536")
	readLate(t, e, "line", 8<<20, 60)
}

// readLate sends size bytes of lines, each with filler bytes of padding, before it
// reads anything.
func readLate(t *testing.T, e *env, ack string, size, fillerSize int) {
	t.Helper()
	lib := e.lib(t)
	c := e.upload(t, lib, "ack="+ack)
	// So that the answer piles up on the server's side. A window smaller than a
	// segment of the loopback would make the kernel send a few KB a timer.
	if err := c.conn.(*net.TCPConn).SetReadBuffer(256 << 10); err != nil {
		t.Fatal(err)
	}
	var lines int
	filler := strings.Repeat("x", fillerSize)
	var chunk strings.Builder
	for sent := 0; sent < size; {
		chunk.Reset()
		for chunk.Len() < 256<<10 {
			lines++
			if lines%100 == 0 {
				chunk.WriteString("{broken\n")
				continue
			}
			fmt.Fprintf(&chunk, `{"id":"d%06d","embedding":[1,2,3],"title":"%s"}`+"\n", lines%5000, filler)
		}
		c.send(chunk.String())
		sent += chunk.Len()
	}
	c.finish()
	res := c.answer()
	if res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	sc := bufio.NewScanner(res.Body)
	sc.Buffer(nil, 8<<20)
	receipts, failed, prev := 0, 0, uint64(0)
	var last J
	for sc.Scan() {
		var l J
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, clip(sc.Bytes()))
		}
		last = l
		switch l["type"] {
		case "line":
			receipts++
			if n := num(l, "line"); n <= prev {
				t.Fatalf("receipt of line %d after %d", n, prev)
			} else {
				prev = n
			}
		case "lines":
			receipts += int(num(l, "to")-num(l, "from")) + 1
			prev = num(l, "to")
		case "error":
			failed++
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	mustMatch(t, "IngestLine", []byte(jsonText(last)))
	counts(t, last, lines-lines/100, lines/100, 0, lines)
	if ack == "line" && receipts+failed < lines {
		t.Errorf("%d receipts and %d errors for %d lines", receipts, failed, lines)
	}
}
