package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/arrwdb/arrwdb/wal"
)

// feedWorkload is changes that go out: how soon after a write, and how many in a
// replay.
type feedWorkload struct{}

func (feedWorkload) Name() string { return "feed" }
func (feedWorkload) Doc() string {
	return "changes going out: from a PUT to an SSE subscriber at 500 writes a second, and replay from the start"
}

var (
	feedDoc   = docSpec{dimension: 4, textBytes: 200}
	replayDoc = docSpec{dimension: 4, textBytes: 1024}
)

const (
	feedProbe = 512
	feedEvery = 2 * time.Millisecond
)

func (w feedWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	for _, c := range []struct {
		name string
		run  func(context.Context, *Env, string) (Case, error)
	}{
		{"sse/subscribers=1/writes=500/s", w.sse},
		{"replay/as=ndjson/over=http/text=1k", w.replayHTTP},
		{"replay/as=ndjson/in=process/text=1k", w.replayEncoded},
		{"replay/as=frames/in=process/text=1k", w.replayFrames},
	} {
		if !e.Match(c.name) {
			continue
		}
		done, err := c.run(ctx, e, c.name)
		if len(done.RawSamples) > 0 {
			r.Cases = append(r.Cases, done)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// sse writes at a fixed rate on one connection, and takes the time from before a
// PUT is sent to when the subscriber has its event whole.
func (feedWorkload) sse(ctx context.Context, e *Env, name string) (Case, error) {
	t, err := e.serve(ctx)
	if err != nil {
		return Case{}, err
	}
	defer t.close()
	lib, err := t.library(feedDoc.dimension)
	if err != nil {
		return Case{}, err
	}
	p, err := newPutters(t.Addr, lib, newDocs(e.Seed, feedDoc), 1)
	if err != nil {
		return Case{}, err
	}
	defer p.Close()
	defer closeOnDone(ctx.Done(), p)()
	s, err := subscribe(t.Addr)
	if err != nil {
		return Case{}, err
	}
	defer s.Close()
	defer closeOnDone(ctx.Done(), s)()

	probe, err := NewProbe(t.dir)
	if err != nil {
		return Case{}, err
	}
	defer probe.Close()

	metrics := []Metric{
		{Name: "event p50", Unit: "µs"},
		{Name: "event p99", Unit: "µs"},
		{Name: "event p50 above raw", Unit: "µs"},
		{Name: "event p99 above raw", Unit: "µs", Goal: atMost(1000)},
		{Name: "raw p50 at this pace", Unit: "µs"},
		{Name: "ack p50", Unit: "µs"},
		{Name: "ack p99", Unit: "µs"},
		{Name: "event after ack p50", Unit: "µs"},
		{Name: "event after ack p99", Unit: "µs"},
		{Name: "rate", Unit: "docs/s"},
	}
	return e.alternate(ctx, name, feedProbe, e.Reps, metrics,
		func() error {
			_, err := s.measure(ctx, p, e.Warmup)
			return err
		},
		func(raw Sync) (rep, error) {
			paced, err := probe.measure(feedProbe, feedEvery, e.probeFor)
			if err != nil {
				return nil, err
			}
			m, err := s.measure(ctx, p, e.Duration)
			if err != nil {
				return nil, err
			}
			return rep{
				"raw p50 at this pace": paced.P50,
				"event p50":            m.event.micros(50), "event p99": m.event.micros(99),
				"event p50 above raw": m.event.micros(50) - raw.P50,
				"event p99 above raw": m.event.micros(99) - raw.P50,
				"ack p50":             m.ack.micros(50), "ack p99": m.ack.micros(99),
				"event after ack p50": Percentile(m.lag, 50), "event after ack p99": Percentile(m.lag, 99),
				"rate": m.rate,
			}, nil
		})
}

// A subscriber is a reader of the feed as SSE.
type subscriber struct {
	*conn
	events chan received
}

type received struct {
	doc int
	at  time.Time
	err error
}

func subscribe(addr string) (*subscriber, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(c, "GET /v1/events/stream?from=now HTTP/1.1\r\nHost: "+addr+"\r\nAccept: text/event-stream\r\n\r\n")
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(ioTimeout))
	h, err := c.readHead()
	if err == nil && h.status != 200 {
		err = &statusError{status: h.status}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	c.SetReadDeadline(time.Time{})
	s := &subscriber{conn: c, events: make(chan received, 1<<16)}
	r := bufio.NewReaderSize(c.reader(h), 256<<10)
	// What is written after stream.open is delivered.
	if name, _, err := nextEvent(r); err != nil || name != "stream.open" {
		c.Close()
		return nil, fmt.Errorf("subscribing: the first event is %q: %w", name, errors.Join(err))
	}
	go s.receive(r)
	return s, nil
}

func (s *subscriber) receive(r *bufio.Reader) {
	for {
		name, doc, err := nextEvent(r)
		at := time.Now()
		if err != nil {
			s.events <- received{err: err}
			close(s.events)
			return
		}
		if name == "document.added" || name == "document.updated" {
			s.events <- received{doc: doc, at: at}
		}
	}
}

// nextEvent reads one event of SSE, and returns its type and the number of the
// document that it is about, -1 where it is about none.
func nextEvent(r *bufio.Reader) (name string, doc int, err error) {
	doc = -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", -1, err
		}
		line = line[:len(line)-1]
		switch {
		case len(line) == 0:
			if name != "" {
				return name, doc, nil
			}
		case bytes.HasPrefix(line, []byte("event: ")):
			name = string(line[7:])
		case bytes.HasPrefix(line, []byte("data: ")):
			doc = subject(line)
		}
	}
}

// subject finds the document's number in an event.
func subject(data []byte) int {
	const key = `"subject":"d`
	i := bytes.Index(data, []byte(key))
	if i < 0 || len(data) < i+len(key)+idDigits {
		return -1
	}
	n, err := strconv.Atoi(string(data[i+len(key):][:idDigits]))
	if err != nil {
		return -1
	}
	return n
}

type measured struct {
	event, ack latency
	lag        []float64 // from the answer to the event, µs; below 0 where the event was first
	rate       float64
}

// measure writes for that long and waits for the events.
func (s *subscriber) measure(ctx context.Context, p *putters, d time.Duration) (measured, error) {
	m := measured{event: newLatency(), ack: newLatency()}
	type write struct{ sent, acked time.Time }
	var writes []write
	first := int(p.next.Load()) + 1
	c := p.conns[0]
	c.SetDeadline(time.Now().Add(d + ioTimeout))
	var req []byte
	start := time.Now()
	for due := start; due.Sub(start) < d; due = due.Add(feedEvery) {
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		} else if wait < -feedEvery {
			continue // a write took longer: its successors are left out, not made up for
		}
		req = p.appendPut(req[:0], int(p.next.Add(1)))
		w := write{sent: time.Now()}
		err := c.put(req)
		w.acked = time.Now()
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		if err != nil {
			return m, err
		}
		writes = append(writes, w)
	}
	m.rate = float64(len(writes)) / time.Since(start).Seconds()
	late := time.After(ioTimeout)
	for i, w := range writes {
		select {
		case <-ctx.Done():
			return m, ctx.Err()
		case <-late:
			return m, fmt.Errorf("of %d events only %d have come", len(writes), i)
		case got := <-s.events:
			if got.err != nil {
				return m, fmt.Errorf("the feed ended: %w", got.err)
			}
			if got.doc != first+i {
				return m, fmt.Errorf("the event of document %d has come where that of %d was due", got.doc, first+i)
			}
			m.event.record(got.at.Sub(w.sent))
			m.ack.record(w.acked.Sub(w.sent))
			m.lag = append(m.lag, us(got.at.Sub(w.acked)))
		}
	}
	return m, nil
}

func (e *Env) replayDocs() int { return 4 * e.Docs }

// replayMetrics are those of all replays.
func replayMetrics(goal float64) []Metric {
	return []Metric{{Name: "rate", Unit: "events/s", Goal: atLeast(goal)}, {Name: "bytes", Unit: "MB/s"}}
}

func replayed(events int, bytes int64, took time.Duration) rep {
	return rep{"rate": float64(events) / took.Seconds(), "bytes": float64(bytes) / 1e6 / took.Seconds()}
}

// replayHTTP is one reader that reads the whole feed as NDJSON.
func (feedWorkload) replayHTTP(ctx context.Context, e *Env, name string) (Case, error) {
	t, err := e.serveLoaded(ctx, func(dir string) error {
		db, err := engine.Open(dir, engine.Options{Create: true, Logger: e.Logger})
		if err != nil {
			return err
		}
		return errors.Join(load(ctx, db, newDocs(e.Seed, replayDoc), e.replayDocs()), db.Close())
	})
	if err != nil {
		return Case{}, err
	}
	defer t.close()
	run := func() (rep, error) {
		c, err := dial(t.Addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		defer closeOnDone(ctx.Done(), c)()
		c.SetDeadline(time.Now().Add(ioTimeout))
		start := time.Now()
		_, err = io.WriteString(c, "GET /v1/events?from=start HTTP/1.1\r\nHost: "+t.Addr+"\r\nAccept: application/x-ndjson\r\n\r\n")
		if err != nil {
			return nil, err
		}
		h, err := c.readHead()
		if err != nil {
			return nil, err
		}
		body := c.reader(h)
		if h.status != 200 {
			b, _ := io.ReadAll(body)
			return nil, &statusError{h.status, string(b)}
		}
		lines, bytes, err := countLines(body)
		if err != nil {
			return nil, err
		}
		if lines < e.replayDocs() {
			return nil, fmt.Errorf("the replay of %d documents has %d lines", e.replayDocs(), lines)
		}
		return replayed(lines, bytes, time.Since(start)), nil
	}
	return e.alternate(ctx, name, feedProbe, e.Reps, replayMetrics(200_000),
		func() error {
			_, err := run()
			return err
		},
		func(Sync) (rep, error) { return run() })
}

// countLines reads to the end.
func countLines(r io.Reader) (lines int, size int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		size += int64(n)
		if err == io.EOF {
			return lines, size, nil
		}
		if err != nil {
			return lines, size, err
		}
	}
}

// replayFrames reads the log with the engine's reader: what decoding costs
// alone.
func (feedWorkload) replayFrames(ctx context.Context, e *Env, name string) (Case, error) {
	return e.replayInProcess(ctx, name, func(db *engine.DB) (int, int64, error) {
		r, err := db.ReadLog(1)
		if err != nil {
			return 0, 0, err
		}
		defer r.Close()
		events, size := 0, int64(0)
		for {
			f, err := r.Next()
			if err == io.EOF {
				return events, size, nil
			}
			if err != nil {
				return 0, 0, err
			}
			for i := range f.Records {
				if rec := &f.Records[i]; rec.Seq != 0 {
					events++
					size += int64(rec.Size())
				}
			}
		}
	})
}

// replayEncoded reads the feed as NDJSON without a connection.
func (feedWorkload) replayEncoded(ctx context.Context, e *Env, name string) (Case, error) {
	return e.replayInProcess(ctx, name, func(db *engine.DB) (int, int64, error) {
		h := cdc.NewHub(logView{db}, cdc.Options{})
		defer h.Close()
		c, fault := h.Open(&cdc.Query{From: cdc.From{Kind: cdc.FromStart}})
		if fault != nil {
			return 0, 0, fault
		}
		defer c.Close()
		events, size := 0, int64(0)
		var buf []byte
		for {
			var b cdc.Batch
			var err error
			if buf, b, err = c.AppendBatch(buf[:0], cdc.NDJSON, cdc.Limits{}); err != nil {
				return 0, 0, err
			}
			events += b.Events
			size += int64(len(buf))
			if b.Caught {
				return events, size, nil
			}
		}
	})
}

// logView is the engine's log as the feed wants it.
type logView struct{ *engine.DB }

func (l logView) ReadLog(from uint64) (cdc.FrameReader, error) {
	return cdc.Adapt(l.DB.ReadLog(from))(func(f *wal.Frame) cdc.Frame { return cdc.Frame{Chain: f.Chain, Records: f.Records} })
}

// replayInProcess loads a database without a server, and replays it.
func (e *Env) replayInProcess(ctx context.Context, name string, replay func(*engine.DB) (int, int64, error)) (Case, error) {
	dir, err := e.subdir()
	if err != nil {
		return Case{}, err
	}
	defer os.RemoveAll(dir)
	db, err := engine.Open(filepath.Join(dir, "data"), engine.Options{Create: true, Logger: e.Logger})
	if err != nil {
		return Case{}, err
	}
	defer db.Close()
	if err := load(ctx, db, newDocs(e.Seed, replayDoc), e.replayDocs()); err != nil {
		return Case{}, err
	}
	run := func() (rep, error) {
		start := time.Now()
		events, size, err := replay(db)
		if err == nil && events < e.replayDocs() {
			err = fmt.Errorf("the replay of %d documents has %d events", e.replayDocs(), events)
		}
		return replayed(events, size, time.Since(start)), err
	}
	return e.alternate(ctx, name, feedProbe, e.Reps, replayMetrics(1_000_000),
		func() error {
			_, err := run()
			return err
		},
		func(Sync) (rep, error) { return run() })
}

// load writes n documents in groups of 500.
func load(ctx context.Context, db *engine.DB, d *docs, n int) error {
	lib := "bench"
	spec := &engine.LibrarySpec{ID: &lib, Embedding: &engine.EmbeddingSettings{Provider: "none"}}
	if _, _, err := db.CreateLibrary(ctx, spec, nil); err != nil {
		return err
	}
	for done := 0; done < n; {
		g := &engine.Group{}
		for ; done < n && len(g.Ops) < 500; done++ {
			doc := new(docjson.Document)
			if err := docjson.Parse(doc, d.appendNext(nil), docjson.Limits{}); err != nil {
				return err
			}
			g.Ops = append(g.Ops, engine.Op{Kind: engine.OpPut, Library: lib, ID: doc.ID, Doc: doc})
		}
		r, err := db.Commit(ctx, g)
		if err != nil {
			return err
		}
		for _, o := range r.Outcomes {
			if o.Err != nil {
				return o.Err
			}
		}
	}
	return nil
}
