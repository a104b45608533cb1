package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ImportOptions says how lines are taken. Its zero value is the server's
// defaults: existing documents are replaced, a bad line is passed over.
type ImportOptions struct {
	Mode    string // upsert, insert or skip
	OnError string // continue or abort
	// Source names what is uploaded, so that the server knows how many of its
	// lines it has taken, and takes none twice.
	Source string
	// FirstLine is the number that the first line of the body has in the source;
	// 0 is 1.
	FirstLine uint64
	// ContentEncoding of the body: "", gzip or zstd.
	ContentEncoding string
	// Ack is called with what is durable by then, while the body is being sent.
	Ack func(Ack)
	// LineError is called with each line that failed, as far as the server says.
	LineError func(LineError)

	// Resumed is called by Import before it goes on after a failed attempt, with
	// why, and the lines that the server has.
	Resumed func(err error, lines uint64)
	// Patience is how long Import goes on without a line being taken; default
	// one minute.
	Patience time.Duration
}

// An Ack says how much of an upload is durable and visible.
type Ack struct {
	Lines   uint64 `json:"lines"`    // of this upload
	LastSeq uint64 `json:"last_seq"` // 0 where none made a change
}

// A LineError is a line that the server did not take.
type LineError struct {
	Line   uint64 `json:"line"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// An ImportSummary is the end of an upload.
type ImportSummary struct {
	Successful      uint64      `json:"successful"`
	Failed          uint64      `json:"failed"`
	Skipped         uint64      `json:"skipped"`
	NumChunks       uint64      `json:"num_chunks"`
	Lines           uint64      `json:"lines"`
	FirstSeq        *uint64     `json:"first_seq"`
	LastSeq         *uint64     `json:"last_seq"`
	Complete        bool        `json:"complete"`
	Errors          []LineError `json:"errors"` // at most 100
	ErrorsTruncated bool        `json:"errors_truncated"`
	TookMS          float64     `json:"took_ms"`
}

var errShort = errors.New("the answer ended before its last line")

// ImportNDJSON uploads documents, one JSON object a line, in one attempt. What
// was taken before an error is durable: the last Ack says how far at least, and
// with a Source, [Client.Source] says exactly. Memory does not grow with the
// body.
//
// A summary that is not complete comes with the error that ended the upload.
func (c *Client) ImportNDJSON(ctx context.Context, lib string, body io.Reader, o ImportOptions) (*ImportSummary, error) {
	q := url.Values{"ack": {"batch"}}
	for name, v := range map[string]string{"mode": o.Mode, "on_error": o.OnError, "source": o.Source} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if o.FirstLine > 1 {
		q.Set("first_line", strconv.FormatUint(o.FirstLine, 10))
	}
	h := http.Header{"Content-Type": {"application/x-ndjson"}}
	if o.ContentEncoding != "" {
		h.Set("Content-Encoding", o.ContentEncoding)
	}
	in := &watchedReader{r: body, err: make(chan error, 1)}
	res, err := c.Do(ctx, "POST", libraryPath(lib)+"/documents/stream", q, h, in)
	if err != nil {
		return nil, in.first(err)
	}
	defer res.Body.Close()
	sum, err := readImport(res.Body, &o)
	if err != nil && sum == nil {
		err = in.first(err)
	}
	return sum, err
}

func readImport(body io.Reader, o *ImportOptions) (*ImportSummary, error) {
	r := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := readLine(r, nil)
		if err != nil {
			if err == io.EOF {
				err = errShort
			}
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var m struct {
			Type  string `json:"type"`
			Fatal bool   `json:"fatal"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("a line of the answer is not JSON: %w", err)
		}
		switch {
		case m.Type == "ack" && o.Ack != nil:
			var a Ack
			if err := json.Unmarshal(line, &a); err != nil {
				return nil, err
			}
			o.Ack(a)
		case m.Type == "error" && m.Fatal:
			return nil, parseProblem(line)
		case m.Type == "error" && o.LineError != nil:
			var e LineError
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			o.LineError(e)
		case m.Type == "summary":
			return readSummary(line)
		}
	}
}

func readSummary(line []byte) (*ImportSummary, error) {
	var s struct {
		ImportSummary
		Problem json.RawMessage `json:"problem"`
	}
	if err := json.Unmarshal(line, &s); err != nil {
		return nil, err
	}
	if s.Complete {
		return &s.ImportSummary, nil
	}
	if len(s.Problem) == 0 {
		return &s.ImportSummary, errors.New("the upload ended before its last line")
	}
	return &s.ImportSummary, parseProblem(s.Problem)
}

// A watchedReader remembers how its reader failed, which matters more than what
// the connection made of that.
type watchedReader struct {
	r   io.Reader
	err chan error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		select {
		case w.err <- err:
		default:
		}
	}
	return n, err
}

func (w *watchedReader) first(err error) error {
	select {
	case own := <-w.err:
		return own
	default:
		return err
	}
}

// Source returns how many lines of a source the server has taken, and the seq of
// the last change that they made; zeros for one that it does not know.
func (c *Client) Source(ctx context.Context, lib, name string) (lines, seq uint64, err error) {
	var out struct {
		Lines uint64 `json:"lines"`
		Seq   uint64 `json:"seq"`
	}
	err = c.call(ctx, "GET", libraryPath(lib)+"/sources/"+url.PathEscape(name), nil, nil, &out)
	return out.Lines, out.Seq, err
}

// DeleteSource makes the server forget a source.
func (c *Client) DeleteSource(ctx context.Context, lib, name string) error {
	return c.call(ctx, "DELETE", libraryPath(lib)+"/sources/"+url.PathEscape(name), nil, nil, nil)
}

// Import uploads what open returns, which is called again for each attempt and
// always has to begin with the same first line. Where an attempt fails for a
// reason that may pass, a restart of the server among them, it goes on behind
// the last line that the server has: every line is taken exactly once. Only a
// server that was never reached is not waited for. Without a Source it uses one
// of its own and removes it at the end.
//
// The counts of the summary are those of the last attempt but for Lines, which
// are all lines of the source that are taken.
func (c *Client) Import(ctx context.Context, lib string, open func() (io.ReadCloser, error), o ImportOptions) (*ImportSummary, error) {
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	own := o.Source == ""
	if own {
		o.Source = "import-" + rand.Text()
	}
	var taken uint64
	progress, reached := time.Now(), false
	for try := 0; ; try++ {
		sum, lines, err := c.importOnce(ctx, lib, open, o, &reached)
		if lines > taken {
			taken, progress, try = lines, time.Now(), 0
		}
		if err == nil {
			sum.Lines = max(taken, sum.Lines)
			if own {
				err = c.DeleteSource(ctx, lib, o.Source)
			}
			return sum, err
		}
		// The server may still be at work on the attempt whose connection broke.
		busy := try > 0 && IsCode(err, "conflict")
		var in *inputError
		if errors.As(err, &in) || ctx.Err() != nil || !reached || !transient(err) && !busy || time.Since(progress) > o.Patience {
			return sum, err
		}
		if o.Resumed != nil {
			o.Resumed(err, taken)
		}
		if err := sleep(ctx, backoff(try)); err != nil {
			return sum, err
		}
	}
}

// An inputError is a fault of what is to be uploaded, which no repetition mends.
type inputError struct{ err error }

func (e *inputError) Error() string { return e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

// importOnce makes one attempt. lines are the lines of the source that are known
// to be taken.
func (c *Client) importOnce(ctx context.Context, lib string, open func() (io.ReadCloser, error), o ImportOptions, reached *bool) (sum *ImportSummary, lines uint64, err error) {
	begin, _, err := c.Source(ctx, lib, o.Source)
	if e := (*Error)(nil); err == nil || errors.As(err, &e) {
		*reached = true
	}
	if err != nil {
		return nil, 0, err
	}
	lines = begin
	body, err := open()
	if err != nil {
		return nil, lines, &inputError{err}
	}
	defer body.Close()
	r := bufio.NewReaderSize(inputReader{body}, 256<<10)
	if err := skipLines(r, begin); err != nil && err != io.EOF {
		return nil, lines, err
	}
	ack := o.Ack
	o.FirstLine = begin + 1
	o.Ack = func(a Ack) {
		a.Lines += begin
		lines = max(lines, a.Lines)
		if ack != nil {
			ack(a)
		}
	}
	sum, err = c.ImportNDJSON(ctx, lib, r, o)
	if sum != nil {
		lines = max(lines, begin+sum.Lines)
	}
	return sum, lines, err
}

type inputReader struct{ r io.Reader }

func (i inputReader) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		err = &inputError{err}
	}
	return n, err
}

func skipLines(r *bufio.Reader, n uint64) error {
	for n > 0 {
		_, err := r.ReadSlice('\n')
		switch err {
		case nil:
			n--
		case bufio.ErrBufferFull:
		default:
			return err
		}
	}
	return nil
}

// readLine appends a line of any length to buf, without its end. At the end of
// the input the error is io.EOF; a line that is cut off is io.ErrUnexpectedEOF.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(buf, "\r\n"), nil
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(buf) > 0:
			return buf, io.ErrUnexpectedEOF
		default:
			return buf, err
		}
	}
}
