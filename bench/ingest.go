package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ingestWorkload is documents that come in over HTTP: as a stream, one at a
// time, and from many connections.
type ingestWorkload struct{}

func (ingestWorkload) Name() string { return "ingest" }
func (ingestWorkload) Doc() string {
	return "documents over HTTP into a server of its own: NDJSON uploads, single PUTs, PUTs of 64 connections, memory of a 300 MB upload"
}

var (
	streamDoc = docSpec{dimension: 128, words: 100}
	putDoc    = docSpec{dimension: 128, textBytes: 1024}
)

const (
	streamProbe = 1 << 20 // about a frame of a stream
	putProbe    = 2048    // about a frame of one document
)

func (w ingestWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	add := func(name string, run func(name string) (Case, error)) error {
		if !e.Match(name) {
			return nil
		}
		c, err := run(name)
		if len(c.RawSamples) > 0 {
			r.Cases = append(r.Cases, c)
		}
		return err
	}
	for _, ack := range []string{"summary", "batch"} {
		err := add("stream/ack="+ack+"/dim=128/words=100", func(name string) (Case, error) { return w.stream(ctx, e, name, ack) })
		if err != nil {
			return r, err
		}
	}
	for _, conns := range []int{1, 64} {
		err := add(fmt.Sprintf("put/conns=%d/dim=128/text=1k", conns), func(name string) (Case, error) { return w.put(ctx, e, name, conns) })
		if err != nil {
			return r, err
		}
	}
	// The control comes first: what an upload costs whatever its acks.
	for _, ack := range []string{"summary", "line"} {
		err := add(fmt.Sprintf("upload/ack=%s/read=late/bytes=%d", ack, e.UploadBytes), func(name string) (Case, error) { return w.memory(ctx, e, name, ack) })
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// stream uploads documents and counts them as they are acknowledged: to the
// end of the answer.
func (ingestWorkload) stream(ctx context.Context, e *Env, name, ack string) (Case, error) {
	t, err := e.serve(ctx)
	if err != nil {
		return Case{}, err
	}
	defer t.close()
	d := newDocs(e.Seed, streamDoc)
	run := func(n int) (rep, error) {
		lib, err := t.library(streamDoc.dimension)
		if err != nil {
			return nil, err
		}
		up, err := t.upload(ctx, lib, ack, d, false, func(sent int64) bool { return n > 0 && atMostN(&n) })
		if err != nil {
			return nil, err
		}
		took := up.answered.Seconds()
		figures := rep{"rate": float64(up.docs) / took, "body": float64(up.bytes) / 1e6 / took}
		if ack != "summary" && up.acks > 0 {
			figures["docs per ack"] = float64(up.docs) / float64(up.acks)
		}
		return figures, nil
	}
	metrics := []Metric{
		{Name: "rate", Unit: "docs/s", Goal: atLeast(15_000)},
		{Name: "body", Unit: "MB/s"},
		{Name: "docs per ack", Unit: "docs"},
	}
	return e.alternate(ctx, name, streamProbe, e.Reps, metrics,
		func() error {
			_, err := run(max(e.Docs/5, 1))
			return err
		},
		func(Sync) (rep, error) { return run(e.Docs) })
}

func atMostN(n *int) bool {
	*n--
	return *n >= 0
}

// An uploaded is what became of an upload.
type uploaded struct {
	docs     int
	bytes    int64
	acks     int           // lines of the answer that acknowledge
	sent     time.Duration // until the last byte was written
	answered time.Duration // until the answer was read to its end
}

// upload sends documents as long as more says so. With late, nothing is read
// before everything is sent.
func (t *target) upload(ctx context.Context, lib, ack string, d *docs, late bool, more func(sent int64) bool) (uploaded, error) {
	var up uploaded
	c, err := dial(t.Addr)
	if err != nil {
		return up, err
	}
	defer c.Close()
	defer closeOnDone(ctx.Done(), c)()
	start := time.Now()
	u, err := startUpload(c, lib+"/documents/stream?ack="+ack, t.Addr)
	if err != nil {
		return up, err
	}
	var end summary
	read := func() error {
		err := end.read(c, ack, &up.acks)
		up.answered = time.Since(start)
		return err
	}
	answer := make(chan error, 1)
	if !late {
		go func() { answer <- read() }()
	}
	send := func() error {
		for more(u.sent) {
			up.docs++
			if err := u.line(d); err != nil {
				return err
			}
		}
		return u.end()
	}
	sendErr := send()
	up.sent, up.bytes = time.Since(start), u.sent
	c.SetReadDeadline(time.Now().Add(ioTimeout))
	if late {
		answer <- read()
	}
	err = <-answer
	switch {
	case ctx.Err() != nil:
		return up, ctx.Err()
	case err != nil:
		return up, errors.Join(fmt.Errorf("the answer of the upload: %w", err), sendErr)
	case sendErr != nil:
		return up, fmt.Errorf("the upload: %w", sendErr)
	case end.Successful != up.docs || !end.Complete:
		return up, fmt.Errorf("of %d documents the server has taken %d: %.300s", up.docs, end.Successful, end.raw)
	}
	return up, nil
}

// A summary is the end of an upload's answer.
type summary struct {
	Successful int  `json:"successful"`
	Complete   bool `json:"complete"`
	raw        []byte
}

// read reads the answer of an upload, and counts the acknowledgements in it.
func (s *summary) read(c *conn, ack string, acks *int) error {
	h, err := c.readHead()
	if err != nil {
		return err
	}
	body := c.reader(h)
	if h.status != 200 || ack == "summary" {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if h.status != 200 {
			return &statusError{h.status, string(b)}
		}
		s.raw = b
		return json.Unmarshal(b, s)
	}
	ended := false
	err = eachLine(body, func(line []byte) error {
		switch {
		case bytes.HasPrefix(line, []byte(`{"type":"summary"`)):
			ended = true
			s.raw = bytes.Clone(line)
			return json.Unmarshal(line, s)
		case bytes.HasPrefix(line, []byte(`{"type":"error"`)):
			return fmt.Errorf("the server answers %.300s", line)
		}
		*acks++
		return nil
	})
	if err == nil && !ended {
		err = errShort
	}
	return err
}

// eachLine calls fn with each line of r, without its end.
func eachLine(r io.Reader, fn func(line []byte) error) error {
	buf := make([]byte, 0, 256<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if err := fn(rest[:i]); err != nil {
				return err
			}
			rest = rest[i+1:]
		}
		buf = buf[:copy(buf, rest)]
		if err == io.EOF {
			if len(buf) > 0 {
				return errShort
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// put makes single PUTs, one at a time on each of the connections.
func (ingestWorkload) put(ctx context.Context, e *Env, name string, conns int) (Case, error) {
	t, err := e.serve(ctx)
	if err != nil {
		return Case{}, err
	}
	defer t.close()
	lib, err := t.library(putDoc.dimension)
	if err != nil {
		return Case{}, err
	}
	p, err := newPutters(t.Addr, lib, newDocs(e.Seed, putDoc), conns)
	if err != nil {
		return Case{}, err
	}
	defer p.Close()
	defer closeOnDone(ctx.Done(), p)()

	metrics := []Metric{
		{Name: "rate", Unit: "docs/s"},
		{Name: "p50", Unit: "µs"},
		{Name: "p99", Unit: "µs"},
	}
	if conns == 1 {
		metrics = append(metrics, Metric{Name: "p50 above raw", Unit: "µs", Goal: atMost(100)})
	} else {
		metrics[0].Goal = atLeast(20_000)
	}
	metrics = append(metrics, Metric{Name: "of raw", Unit: "%"})
	return e.alternate(ctx, name, putProbe, e.Reps, metrics,
		func() error {
			_, _, err := p.run(ctx, e.Warmup)
			return err
		},
		func(raw Sync) (rep, error) {
			rate, hist, err := p.run(ctx, e.Duration)
			if err != nil {
				return nil, err
			}
			return rep{
				"rate": rate, "p50": hist.micros(50), "p99": hist.micros(99),
				"p50 above raw": hist.micros(50) - raw.P50,
				"of raw":        100 * rate * raw.Mean / 1e6 / float64(conns),
			}, nil
		})
}

// putters are connections that put documents.
type putters struct {
	addr, lib string
	d         *docs
	next      atomic.Int64
	conns     []*conn
}

func newPutters(addr, lib string, d *docs, n int) (*putters, error) {
	p := &putters{addr: addr, lib: lib, d: d}
	for range n {
		c, err := dial(addr)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.conns = append(p.conns, c)
	}
	return p, nil
}

func (p *putters) Close() error {
	for _, c := range p.conns {
		c.Close()
	}
	return nil
}

// appendPut appends the request that puts the nth document.
func (p *putters) appendPut(dst []byte, n int) []byte {
	dst = append(dst, "PUT "...)
	dst = append(dst, p.lib...)
	dst = append(dst, "/documents/"...)
	dst = appendID(dst, n)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, p.addr...)
	body := p.d.pool[n%len(p.d.pool)]
	dst = append(dst, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = fmt.Appendf(dst, "%d\r\n\r\n{", len(body))
	return append(dst, body[1:]...) // without the comma behind the id
}

// run puts documents for that long, and returns documents per second.
func (p *putters) run(ctx context.Context, d time.Duration) (float64, latency, error) {
	hists, errs := make([]latency, len(p.conns)), make([]error, len(p.conns))
	for i := range hists {
		hists[i] = newLatency()
	}
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range p.conns {
		wg.Go(func() {
			c.SetDeadline(start.Add(d + ioTimeout))
			var req []byte
			for time.Since(start) < d && errs[i] == nil {
				req = p.appendPut(req[:0], int(p.next.Add(1)))
				at := time.Now()
				errs[i] = c.put(req)
				hists[i].record(time.Since(at))
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	all := merged(hists)
	if ctx.Err() != nil {
		return 0, all, ctx.Err()
	}
	return float64(all.count()) / took.Seconds(), all, errors.Join(errs...)
}

// settle is how long a server is left alone before its memory is looked at.
const settle = 500 * time.Millisecond

// memory uploads much into a fresh server, reads nothing before all of it is
// sent, and watches the server's resident memory.
func (ingestWorkload) memory(ctx context.Context, e *Env, name, ack string) (Case, error) {
	d := newDocs(e.Seed, streamDoc)
	once := func(Sync) (rep, error) {
		t, err := e.serve(ctx)
		if err != nil {
			return nil, err
		}
		defer t.close()
		lib, err := t.library(streamDoc.dimension)
		if err != nil {
			return nil, err
		}
		_, err = t.upload(ctx, lib, ack, d, false, func(sent int64) bool { return sent < e.UploadBytes/50 })
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(settle):
		}
		before := resident(t.PID)
		stop := watchResident(t.PID)
		up, err := t.upload(ctx, lib, ack, d, true, func(sent int64) bool { return sent < e.UploadBytes })
		peak := stop()
		if err != nil {
			return nil, err
		}
		figures := rep{"send": up.sent.Seconds(), "answer": (up.answered - up.sent).Seconds(), "rate": float64(up.docs) / up.answered.Seconds()}
		if before > 0 {
			figures["memory before"] = float64(before) / 1e6
			figures["memory growth"] = float64(peak-before) / 1e6
		}
		return figures, nil
	}
	growth := Metric{Name: "memory growth", Unit: "MB"}
	if ack == "line" {
		growth.Goal = atMost(100)
	}
	metrics := []Metric{
		growth,
		{Name: "memory before", Unit: "MB"},
		{Name: "send", Unit: "s"},
		{Name: "answer", Unit: "s"},
		{Name: "rate", Unit: "docs/s"},
	}
	return e.alternate(ctx, name, streamProbe, max(e.Reps/5, 1), metrics, nil, once)
}
