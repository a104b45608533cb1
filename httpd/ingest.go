package httpd

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/engine/ingest"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// maxWindow bounds the memory that a zstd body may make its decoder take.
const maxWindow = 64 << 20

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

// decoded undoes the body's Content-Encoding. What it cannot decode ends the
// upload as a cut body does.
func (c *call) decoded(body io.Reader) (io.Reader, func(), error) {
	switch enc := string(c.ctx.Request.Header.Peek("Content-Encoding")); enc {
	case "", "identity":
		return body, func() {}, nil
	case "gzip", "x-gzip":
		return &lazyGzip{body: body}, func() {}, nil
	case "zstd":
		d, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	default:
		return nil, nil, change.Errorf(change.UnsupportedMedia, "Content-Encoding %q is not identity, gzip or zstd", clip(enc))
	}
}

// lazyGzip reads the gzip header with the first Read, so that a client which
// waits for an answer before it sends anything is not waited for.
type lazyGzip struct {
	body io.Reader
	z    *gzip.Reader
}

func (l *lazyGzip) Read(p []byte) (int, error) {
	if l.z == nil {
		z, err := gzip.NewReader(bufio.NewReaderSize(l.body, 64<<10))
		if err != nil {
			if err == io.EOF {
				return 0, io.EOF // an empty body is an empty upload
			}
			return 0, err
		}
		l.z = z
	}
	return l.z.Read(p)
}

// ingest takes an NDJSON upload.
func (c *call) ingest() error {
	o, ack, err := c.ingestParams()
	if err != nil {
		return err
	}
	raw := newUploadBody(c.ctx)
	body, closeBody, err := c.decoded(raw)
	if err != nil {
		return err
	}
	defer closeBody()
	snap := c.db.Snapshot()
	o.Library, err = snap.Library(c.vars[0])
	snap.Close()
	if err != nil {
		return err
	}
	once, err := c.once(nil, nil)
	if err != nil {
		return err
	}
	if once != nil {
		answer, err := c.db.Remembered(once)
		if err != nil {
			return err
		}
		if answer != nil {
			c.ctx.SetConnectionClose()
			return c.replay(&engine.Receipt{Replayed: answer, Position: c.db.Head()})
		}
	}
	o.Interrupt = raw.interrupt
	ctx, end := c.uploadContext()
	defer end()
	c.s.uploads.Add(1)
	defer c.s.uploads.Done()
	if ack == "summary" {
		return c.ingestSummary(ctx, body, o, once)
	}
	return c.ingestFlow(ctx, body, raw, o, ack == "line")
}

// uploadContext ends with the server, or with the caller's key.
func (c *call) uploadContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(c.s.stop, func() {
		cancel(change.Errorf(change.ShuttingDown, "the server is shutting down; the lines up to here are kept, send the rest again"))
	})
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (c *call) ingestSummary(ctx context.Context, body io.Reader, o ingest.Options, once *engine.Once) error {
	sum, err := ingest.Run(ctx, c.db, body, o, nil)
	if err != nil {
		return err
	}
	c.countLines(sum)
	if sum.Read == 0 && sum.Problem != nil {
		return sum.Problem
	}
	answer := summaryJSON(sum, "", c.requestID())
	if once != nil && sum.Complete {
		// The answer is remembered behind the last line: until then a repeat
		// applies the lines again, which the modes bear.
		once.Render = func([]engine.Outcome) (int, []byte) { return 200, answer }
		if _, err := c.db.Commit(ctx, &engine.Group{Once: once}); err != nil {
			return err
		}
	}
	if !sum.Complete {
		c.ctx.SetConnectionClose()
	}
	c.saw(sum.Position)
	return c.raw(200, answer)
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
	Problem    map[string]any     `json:"problem,omitempty"`
}

func summaryJSON(sum *ingest.Summary, typ, requestID string) []byte {
	v := summaryView{Type: typ, Successful: sum.Successful, Failed: sum.Failed, Skipped: sum.Skipped, NumChunks: sum.NumChunks, Lines: sum.Lines,
		Complete: sum.Complete, Errors: sum.Errors, Truncated: sum.ErrorsTruncated, TookMS: float64(sum.Took.Microseconds()) / 1000}
	if sum.FirstSeq != 0 {
		v.FirstSeq, v.LastSeq = &sum.FirstSeq, &sum.LastSeq
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

// ingestFlow answers while the body is still coming: it writes to the
// connection itself, beside fasthttp's reading of the body.
func (c *call) ingestFlow(ctx context.Context, body io.Reader, raw *uploadBody, o ingest.Options, lines bool) error {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-Request-Id: " + c.requestID() + "\r\n\r\n"
	if string(c.ctx.Request.Header.Peek("Connection")) == "" {
		c.ctx.SetConnectionClose()
	}
	out := newReceipts(unwrap(c.ctx.Conn()), head, lines, c.s.o.SpoolDir, c.s.o.ReceiptSpool)
	sum, err := ingest.Run(ctx, c.db, body, o, out)
	if err != nil || sum.Read == 0 && sum.Problem != nil {
		out.abandon()
		if err == nil {
			err = sum.Problem
		}
		if !out.begun() {
			return err
		}
	} else {
		c.countLines(sum)
		out.finish(summaryJSON(sum, "summary", c.requestID()))
	}
	// The answer has gone out already; the connection ends with it.
	c.ctx.HijackSetNoResponse(true)
	c.ctx.Hijack(func(net.Conn) {})
	return nil
}
