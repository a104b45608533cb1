package e2e_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A frame is one server-sent event, a comment or a bare retry.
type frame struct {
	id      string
	hasID   bool
	event   string
	data    string
	comment string
	retry   string
}

// A stream is an answer that is read while it flows: SSE frames or lines.
type stream struct {
	c      *client
	req    *http.Request
	res    *http.Response
	cancel context.CancelFunc
	frames chan frame
	lines  chan string
	err    error // how reading ended; valid once the channel is closed
}

// open sends a request whose answer flows. The answer must be 200.
func (c *client) open(t testing.TB, path string, pairs ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req := c.request(t, "GET", path, nil, pairs...).WithContext(ctx)
	hc := &http.Client{Transport: c.hc.Transport} // no timeout
	res, err := hc.Do(req)
	if err != nil {
		cancel()
		t.Fatalf("GET %s: %v", path, err)
	}
	s := &stream{c: c, req: req, res: res, cancel: cancel, frames: make(chan frame, 64), lines: make(chan string, 64)}
	t.Cleanup(s.close)
	if res.StatusCode != 200 {
		raw, _ := io.ReadAll(res.Body)
		t.Fatalf("GET %s: status %d, want 200\n%s", path, res.StatusCode, clip(raw))
	}
	if err := checkAnswer(req, 200, res.Header, nil, true); err != nil {
		t.Errorf("GET %s: %v", path, err)
	}
	return s
}

// close ends the stream from the client's side. Safe twice.
func (s *stream) close() {
	s.cancel()
	s.res.Body.Close()
}

// sse opens a stream of server-sent events.
func (c *client) sse(t testing.TB, query string, pairs ...string) *stream {
	t.Helper()
	path := "/v1/events/stream"
	if query != "" {
		path += "?" + query
	}
	s := c.open(t, path, append([]string{"Accept", "text/event-stream"}, pairs...)...)
	if ct := s.res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/event-stream") {
		t.Fatalf("content type %q, want text/event-stream", ct)
	}
	go s.readFrames(s.res.Body)
	return s
}

// follow opens GET /v1/events as lines.
func (c *client) follow(t testing.TB, query string) *stream {
	t.Helper()
	s := c.open(t, "/v1/events?"+query, "Accept", "application/x-ndjson")
	go s.readLines(s.res.Body)
	return s
}

func (s *stream) readLines(r io.Reader) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		s.lines <- sc.Text()
	}
	s.err = sc.Err()
	close(s.lines)
}

func (s *stream) readFrames(r io.Reader) {
	defer close(s.frames)
	s.err = parseFrames(r, func(f frame) { s.frames <- f })
}

// parseFrames is the event stream grammar of the HTML standard.
func parseFrames(r io.Reader, emit func(frame)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	var f frame
	started, hasData := false, false
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			if started {
				emit(f)
			}
			f, started, hasData = frame{}, false, false
			continue
		}
		if comment, ok := strings.CutPrefix(line, ":"); ok {
			emit(frame{comment: strings.TrimPrefix(comment, " ")})
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		started = true
		switch field {
		case "id":
			f.id, f.hasID = value, true
		case "event":
			f.event = value
		case "data":
			if hasData {
				f.data += "\n"
			}
			f.data += value
			hasData = true
		case "retry":
			f.retry = value
		}
	}
	return sc.Err()
}

// next returns the next frame, comments too.
func (s *stream) next(t testing.TB) frame {
	t.Helper()
	select {
	case f, ok := <-s.frames:
		if !ok {
			t.Fatalf("the stream ended (%v), wanted a frame", s.err)
		}
		s.c.checkLeak(t, s.req, "", []byte(f.data+f.comment))
		return f
	case <-time.After(patience):
		t.Fatalf("no frame within %v", patience)
	}
	return frame{}
}

// named returns the next frame that has one of the names, and passes over
// comments and bare retries. Any other name fails the test.
func (s *stream) named(t testing.TB, names ...string) frame {
	t.Helper()
	for {
		f := s.next(t)
		if f.event == "" {
			continue
		}
		for _, n := range names {
			if f.event == n {
				return f
			}
		}
		t.Fatalf("frame %q (%s), want %v", f.event, clip([]byte(f.data)), names)
	}
}

// event returns the next change, passing over what the stream says about itself.
func (s *stream) event(t testing.TB) (frame, J) {
	t.Helper()
	for {
		f := s.next(t)
		switch f.event {
		case "", "stream.open", "stream.live", "stream.checkpoint":
			continue
		case "stream.reset":
			t.Fatalf("the stream was reset: %s", f.data)
		}
		ev := mustMatch(t, "Event", []byte(f.data))
		if str(ev, "type") != f.event || str(ev, "id") != f.id {
			t.Errorf("frame says event %q id %q, its data %q %q", f.event, f.id, str(ev, "type"), str(ev, "id"))
		}
		return f, ev
	}
}

// live reads up to and including stream.live.
func (s *stream) live(t testing.TB) {
	t.Helper()
	for s.next(t).event != "stream.live" {
	}
}

// ended waits for the end of the answer, passing over what still comes.
func (s *stream) ended(t testing.TB, within time.Duration) {
	t.Helper()
	deadline := time.After(within)
	for {
		select {
		case _, ok := <-s.frames:
			if !ok {
				return
			}
		case _, ok := <-s.lines:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatalf("the stream was still open after %v", within)
		}
	}
}

// line returns the next NDJSON event.
func (s *stream) line(t testing.TB) J {
	t.Helper()
	for {
		select {
		case l, ok := <-s.lines:
			if !ok {
				t.Fatalf("the stream ended (%v), wanted a line", s.err)
			}
			if strings.TrimSpace(l) == "" {
				continue // keeps the connection alive
			}
			s.c.checkLeak(t, s.req, "", []byte(l))
			return mustMatch(t, "Event", []byte(l))
		case <-time.After(patience):
			t.Fatalf("no line within %v", patience)
		}
	}
}
