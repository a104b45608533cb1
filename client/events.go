package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An Event is one change as the feed tells of it.
type Event struct {
	Position  string          `json:"id"` // the place in the feed after it
	Type      string          `json:"type"`
	Subject   string          `json:"subject"`
	Time      time.Time       `json:"time"`
	Seq       uint64          `json:"seq"`
	LibraryID string          `json:"library_id"`
	Last      bool            `json:"last"` // of its atomic group
	Data      json.RawMessage `json:"data"`
	// Raw is the whole CloudEvent as it was sent.
	Raw json.RawMessage `json:"-"`
}

// Types of the marks that a feed holds besides changes; see EventOptions.Marks.
const (
	MarkLive       = "stream.live"       // the reader has caught up; Seq is where it stands
	MarkCheckpoint = "stream.checkpoint" // events up to Seq passed unseen by the filter
)

// EventOptions says which events are wanted. Its zero value is every event from
// now on.
type EventOptions struct {
	From      string   // a seq, "start" or "now"
	After     string   // a position; wins over From
	Types     []string // for example document.*
	Libraries []string
	Filter    string // over metadata, as JSON
	Include   string // none, document or embeddings

	// Marks makes Events yield MarkLive and MarkCheckpoint too.
	Marks bool
	// Connected is called each time the stream is open, with the position that it
	// goes on after.
	Connected func(position string)
	// Lost is called each time the connection was lost, with why; Events goes on
	// after position by itself.
	Lost func(err error, position string)
	// Heartbeat is how often an idle server says that it is there, default 15 s.
	// Three that are missing end the connection.
	Heartbeat time.Duration
}

func (o *EventOptions) query() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"from": o.From, "after": o.After, "types": strings.Join(o.Types, ","),
		"library": strings.Join(o.Libraries, ","), "filter": o.Filter, "include": o.Include} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// Events follows the feed. It ends when the loop breaks, with ctx's error when
// ctx ends, or with an [*Error] when the server refuses: a bad parameter or key,
// or a position that cannot be served any more. A lost connection or a restart
// of the server does not end it: it connects again and goes on after the last
// event, so that every event is yielded once, in order, without a gap. Only the
// first connection is not waited for, unless the server says that it is not
// ready yet.
func (c *Client) Events(ctx context.Context, o EventOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if o.Heartbeat <= 0 {
			o.Heartbeat = 15 * time.Second
		}
		f := &follower{c: c, o: &o, yield: yield}
		for try := 0; ; try++ {
			opened, err := f.connect(ctx)
			if f.stopped {
				return
			}
			if opened {
				try = 0
			}
			if ctx.Err() != nil {
				yield(Event{}, ctx.Err())
				return
			}
			var e *Error
			if errors.As(err, &e) && !e.Transient() || !f.ever && e == nil {
				yield(Event{}, err)
				return
			}
			if o.Lost != nil {
				o.Lost(err, f.position)
			}
			if err := sleep(ctx, backoff(try)); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// A follower is one run of Events.
//
// Invariant: everything up to position was yielded, or did not pass the query;
// seq is the position's, and nothing at or below it is yielded again.
type follower struct {
	c        *Client
	o        *EventOptions
	yield    func(Event, error) bool
	position string
	seq      uint64
	ever     bool // a stream was open
	stopped  bool // the loop ended
}

// connect opens the stream once and reads it to its end.
func (f *follower) connect(ctx context.Context) (opened bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A peer that is gone without a word is noticed by its missing heartbeats.
	stall := 3 * f.o.Heartbeat
	watch := time.AfterFunc(stall, cancel)
	defer watch.Stop()
	q := f.o.query()
	q.Set("heartbeat", f.o.Heartbeat.String())
	h := http.Header{"Accept": {"text/event-stream"}}
	if f.position != "" {
		q.Del("from")
		q.Del("after")
		h.Set("Last-Event-ID", f.position)
	}
	res, err := f.c.Do(ctx, "GET", "/v1/events/stream", q, h, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if t := res.Header.Get("Content-Type"); !strings.HasPrefix(t, "text/event-stream") {
		return false, &Error{Status: res.StatusCode, Code: "protocol", Detail: fmt.Sprintf("the answer is %q, not an event stream", t)}
	}
	r := bufio.NewReaderSize(res.Body, 64<<10)
	var ev sseEvent
	for {
		watch.Reset(stall)
		if err := ev.read(r); err != nil {
			return opened, err
		}
		if ev.name == "stream.open" {
			opened = true
		}
		if err := f.take(&ev); err != nil || f.stopped {
			return opened, err
		}
	}
}

// take judges one event of the stream.
func (f *follower) take(ev *sseEvent) error {
	switch ev.name {
	case "stream.open":
		var open struct {
			Epoch string `json:"epoch"`
			From  uint64 `json:"from"`
		}
		if err := json.Unmarshal(ev.data, &open); err != nil || open.From == 0 {
			return fmt.Errorf("stream.open: %.100q", ev.data)
		}
		f.ever = true
		if f.position == "" {
			f.position, f.seq = fmt.Sprintf("%s:%d", open.Epoch, open.From-1), open.From-1
		}
		if f.o.Connected != nil {
			f.o.Connected(f.position)
		}
	case "stream.reset":
		e := parseProblem(ev.data)
		if e.Transient() { // not about the position
			return errors.New(e.Error())
		}
		return e
	case MarkLive:
		f.emit(Event{Type: MarkLive, Position: f.position, Seq: f.seq}, f.o.Marks)
	case MarkCheckpoint:
		var mark struct {
			Seq uint64 `json:"seq"`
		}
		if err := json.Unmarshal(ev.data, &mark); err != nil {
			return fmt.Errorf("stream.checkpoint: %.100q", ev.data)
		}
		if mark.Seq > f.seq && ev.id != "" {
			f.position, f.seq = ev.id, mark.Seq
			f.emit(Event{Type: MarkCheckpoint, Position: f.position, Seq: f.seq}, f.o.Marks)
		}
	default:
		if ev.id == "" || len(ev.data) == 0 {
			return nil
		}
		e := Event{Raw: bytes.Clone(ev.data)}
		if err := json.Unmarshal(e.Raw, &e); err != nil {
			return fmt.Errorf("an event is not JSON: %w", err)
		}
		if e.Seq <= f.seq {
			return nil
		}
		f.position, f.seq = ev.id, e.Seq
		f.emit(e, true)
	}
	return nil
}

func (f *follower) emit(e Event, wanted bool) {
	if wanted && !f.yield(e, nil) {
		f.stopped = true
	}
}

// An sseEvent is one event of a text/event-stream.
type sseEvent struct {
	id, name string
	data     []byte
	line     []byte
}

// read reads the next event, or a comment or other block without one: then name
// is empty.
func (e *sseEvent) read(r *bufio.Reader) (err error) {
	e.id, e.name, e.data = "", "", e.data[:0]
	for first := true; ; first = false {
		if e.line, err = readLine(r, e.line[:0]); err != nil {
			if err == io.EOF {
				err = errors.New("the server ended the stream")
			}
			return err
		}
		if len(e.line) == 0 {
			if first {
				continue
			}
			return nil
		}
		field, value, _ := bytes.Cut(e.line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			if len(e.data) > 0 {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		}
	}
}

// A Page is the answer of Pull.
type Page struct {
	Events   []Event `json:"-"`
	Next     uint64  `json:"next"`     // the From to ask for next
	Position string  `json:"position"` // the After to ask for next
	HeadSeq  uint64  `json:"head_seq"`
	Epoch    string  `json:"epoch"`
}

// Pull reads up to limit events (0: the server's default) and waits up to wait
// where there is none yet.
func (c *Client) Pull(ctx context.Context, o EventOptions, limit int, wait time.Duration) (*Page, error) {
	q := o.query()
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	var out struct {
		Page
		Events []json.RawMessage `json:"events"`
	}
	if err := c.call(ctx, "GET", "/v1/events", q, nil, &out); err != nil {
		return nil, err
	}
	for _, raw := range out.Events {
		e := Event{Raw: raw}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("an event is not JSON: %w", err)
		}
		out.Page.Events = append(out.Page.Events, e)
	}
	return &out.Page, nil
}

// Waits between attempts: they double, and are drawn at random so that many
// clients do not come back at once.
const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 3 * time.Second
)

func backoff(try int) time.Duration {
	d := min(firstBackoff<<min(try, 10), maxBackoff)
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
