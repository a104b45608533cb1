package httpd

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/engine/ingest"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// ingestParams reads what an upload asks for.
func (c *call) ingestParams() (o ingest.Options, ack string, err error) {
	mode, err := c.oneOf("mode", "upsert", "insert", "skip")
	if err != nil {
		return o, "", err
	}
	o.Mode = map[string]engine.PutMode{"upsert": engine.Upsert, "insert": engine.Insert, "skip": engine.Skip}[mode]
	onError, err := c.oneOf("on_error", "continue", "abort")
	if err != nil {
		return o, "", err
	}
	o.Abort = onError == "abort"
	if ack, err = c.oneOf("ack", "summary", "batch", "line"); err != nil {
		return o, "", err
	}
	if c.has("source") {
		if o.Source = c.query("source"); !docjson.ValidID(o.Source) {
			return o, "", change.BadField("source", "a source's name matches %s", docjson.IDPattern)
		}
	}
	if c.has("first_line") {
		if o.FirstLine, err = strconv.ParseUint(c.query("first_line"), 10, 63); err != nil || o.FirstLine == 0 {
			return o, "", change.BadField("first_line", "%q is not a line number from 1 on", clip(c.query("first_line")))
		}
		if o.Source == "" {
			return o, "", change.BadField("first_line", "first_line goes with source=")
		}
	}
	o.MaxLineBytes = c.s.o.MaxLineBytes
	return o, ack, c.checkType("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
}

// ingestHead judges an upload by its head alone.
func (c *call) ingestHead() error {
	_, err := c.newUpload()
	return err
}

// An upload is one NDJSON request.
type upload struct {
	o        ingest.Options
	ack      string
	encoding string
	once     *engine.Once // nil without Idempotency-Key
	id       string       // of the request
	keyID    string
}

// newUpload reads what there is to know before the body.
func (c *call) newUpload() (*upload, error) {
	o, ack, err := c.ingestParams()
	if err != nil {
		return nil, err
	}
	up := &upload{o: o, ack: ack, encoding: c.contentEncoding(), id: c.requestID()}
	if c.key != nil {
		up.keyID = c.key.ID
	}
	switch up.encoding {
	case "identity", "gzip", "zstd":
	default:
		return nil, change.Errorf(change.UnsupportedMedia, "Content-Encoding %q is not identity, gzip or zstd", clip(up.encoding))
	}
	snap := c.db.Snapshot()
	defer snap.Close()
	if up.o.Library, err = snap.Library(c.vars[0]); err != nil {
		return nil, err
	}
	up.once, err = c.once([]byte(up.encoding), nil)
	return up, err
}

// ingest takes an NDJSON upload.
func (c *call) ingest() error {
	up, err := c.newUpload()
	if err != nil {
		return err
	}
	if up.once != nil {
		release, ok := c.s.running.take(string(up.once.Key))
		if !ok {
			return change.Errorf(change.Conflict, "an upload with this Idempotency-Key is going on; try again when it has ended")
		}
		defer func() { release() }()
		answer, err := c.db.Remembered(up.once)
		if err != nil {
			return err
		}
		if answer != nil {
			return c.replayUpload(up, answer)
		}
		if up.ack != "summary" {
			// The flowing answer goes on after this returns.
			held := release
			release = func() {}
			return c.ingestFlow(up, held)
		}
	}
	if up.ack == "summary" {
		return c.ingestSummary(up)
	}
	return c.ingestFlow(up, func() {})
}

// replayUpload answers an upload that was answered before, without reading it.
func (c *call) replayUpload(up *upload, answer *change.Idempotency) error {
	if up.ack != "summary" {
		again := *answer
		again.Answer = append(append([]byte(`{"type":"summary",`), answer.Answer[1:]...), '\n')
		answer = &again
	}
	err := c.replay(&engine.Receipt{Replayed: answer, Position: c.db.Head()})
	if up.ack != "summary" {
		c.ctx.Response.Header.SetContentType("application/x-ndjson")
	}
	return err
}

// run takes the lines.
func (up *upload) run(ctx context.Context, c *call, b *requestBody, sink ingest.Sink) (*ingest.Summary, error) {
	b.idle = uploadIdle
	r, release, err := b.unpacked(up.encoding)
	if err != nil {
		return nil, err
	}
	defer release()
	up.o.Interrupt = b.interrupt
	sum, err := ingest.Run(ctx, c.db, r, up.o, sink)
	if err != nil {
		return nil, err
	}
	c.countLines(sum)
	if sum.Problem != nil {
		c.logFault(sum.Problem)
		if sum.Read == 0 {
			return nil, sum.Problem
		}
	}
	up.remember(c, sum)
	return sum, nil
}

// remember keeps the answer for a repeat under the same Idempotency-Key. It goes
// into the log behind the last line: after a crash between the two a repeat
// applies the lines again, which upsert and skip bear, and insert tells. What
// ended early is not remembered, so that a repeat can finish it.
func (up *upload) remember(c *call, sum *ingest.Summary) {
	if up.once == nil || sum.Problem != nil && (sum.Problem.Transient() || !up.o.Abort) {
		return
	}
	answer := summaryJSON(sum, "", up.id)
	up.once.Render = func([]engine.Outcome) (int, []byte) { return 200, answer }
	if _, err := c.db.Commit(c.s.cut, &engine.Group{Once: up.once}); err != nil {
		c.s.o.Logger.Warn("the answer to an upload could not be remembered", "request_id", up.id, "err", err)
	}
}

// ingestSummary answers when the upload has ended.
func (c *call) ingestSummary(up *upload) error {
	ctx, cancel := context.WithCancelCause(c.s.stop)
	defer cancel(nil)
	b := c.openBody()
	me := &open{upload: true, keyID: up.keyID, end: func(why *change.Error) { cancel(why) }, cut: func() { b.raw.Close() }}
	if !c.s.open.add(me, &c.s.o) {
		return c.s.tooMany(me)
	}
	defer c.s.open.remove(me)
	sum, err := up.run(ctx, c, b, nil)
	if err != nil {
		return err
	}
	c.saw(sum.Position)
	return c.raw(200, summaryJSON(sum, "", up.id))
}

// ingestFlow answers while the body is still coming: on the hijacked connection
// one goroutine writes while the other reads.
func (c *call) ingestFlow(up *upload, release func()) error {
	b := c.openBody()
	release = sync.OnceFunc(release)
	err := c.hijack(hijackOptions{contentType: "application/x-ndjson", chunked: true, reads: true}, func(st *stream) {
		defer release()
		out := newReceipts(st, up.ack == "line", c.s.o.SpoolDir, c.s.o.ReceiptSpool)
		sum, err := up.run(st.ctx, c, b, out)
		// Before the last line goes out: whoever has read it may repeat at once.
		release()
		whole := false
		switch {
		case err == nil:
			whole = out.finish(append(summaryJSON(sum, "summary", up.id), '\n'))
		case out.abandon():
			c.logFault(err)
			st.write(append(problemJSON(asError(err), up.id, map[string]any{"type": "error", "fatal": true}), '\n'))
		default:
			c.logFault(err)
			st.head, st.chunked = nil, false
			whole = st.write(plainProblem(asError(err), up.id, st.cors))
		}
		if whole && !b.whole {
			linger(b.raw, c.s.stopping.Load())
		}
	})
	if err != nil {
		release()
	}
	return err
}

func (c *call) countLines(sum *ingest.Summary) {
	m := c.s.metric.lines
	m.WithLabelValues("successful").Add(float64(sum.Successful))
	m.WithLabelValues("failed").Add(float64(sum.Failed))
	m.WithLabelValues("skipped").Add(float64(sum.Skipped))
}

type summaryView struct {
	Type       string             `json:"type,omitempty"`
	Successful uint64             `json:"successful"`
	Failed     uint64             `json:"failed"`
	Skipped    uint64             `json:"skipped"`
	NumChunks  uint64             `json:"num_chunks"`
	Lines      uint64             `json:"lines"`
	FirstSeq   *uint64            `json:"first_seq"`
	LastSeq    *uint64            `json:"last_seq"`
	Complete   bool               `json:"complete"`
	Errors     []ingest.LineError `json:"errors"`
	Truncated  bool               `json:"errors_truncated"`
	TookMS     float64            `json:"took_ms"`
	Position   *change.Position   `json:"position,omitempty"`
	Problem    map[string]any     `json:"problem,omitempty"`
}

func summaryJSON(sum *ingest.Summary, typ, requestID string) []byte {
	v := summaryView{Type: typ, Successful: sum.Successful, Failed: sum.Failed, Skipped: sum.Skipped, NumChunks: sum.NumChunks, Lines: sum.Lines,
		Complete: sum.Complete, Errors: sum.Errors, Truncated: sum.ErrorsTruncated, TookMS: float64(sum.Took.Microseconds()) / 1000}
	if sum.FirstSeq != 0 {
		v.FirstSeq, v.LastSeq = &sum.FirstSeq, &sum.LastSeq
	}
	if typ != "" {
		v.Position = &sum.Position
	}
	if v.Errors == nil {
		v.Errors = []ingest.LineError{}
	}
	if sum.Problem != nil {
		v.Problem = problemFields(sum.Problem, requestID)
	}
	b, err := json.Marshal(&v)
	if err != nil {
		return []byte(`{"type":"error","fatal":true}`)
	}
	return b
}
