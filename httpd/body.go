package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/change"
)

const (
	// pooledBody bounds the bodies whose memory is used again.
	pooledBody = 1 << 20
	// smallBody is what fasthttp reads over itself, behind an answer, to keep the
	// connection.
	smallBody = 256 << 10
	// uploadIdle ends an upload whose client sends nothing for so long: a feed
	// that is quiet at night has to say so by an empty line.
	uploadIdle = 10 * time.Minute
	// zstdWindow bounds the memory that a zstd body can ask for.
	zstdWindow = 8 << 20
)

var bodyPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// body reads the whole body, up to the limit. It stays valid until the request
// has been answered.
func (c *call) body(types ...string) ([]byte, error) {
	if err := c.checkType(types...); err != nil {
		return nil, err
	}
	if enc := c.contentEncoding(); enc != "identity" {
		return nil, change.Errorf(change.UnsupportedMedia, "Content-Encoding %q is not taken here, only by .../documents/stream", clip(enc))
	}
	limit := c.s.o.MaxBodyBytes
	tooLarge := func() error {
		return change.Errorf(change.TooLarge, "the body is larger than %d bytes", limit).With("limit", limit)
	}
	n := c.ctx.Request.Header.ContentLength()
	if int64(n) > limit {
		return nil, tooLarge()
	}
	buf := bodyPool.Get().(*bytes.Buffer)
	buf.Reset()
	c.buf = buf
	buf.Grow(max(n, 0) + bytes.MinRead)
	r := c.openBody()
	got, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, change.Errorf(change.DeadlineExceeded, "the body did not come within %s", readTimeout)
	case err != nil:
		c.ctx.SetConnectionClose()
		return nil, &change.Error{Code: change.InvalidArgument, Field: "body", Detail: "the body broke off before its end", Err: err}
	case got > limit:
		return nil, tooLarge()
	}
	return buf.Bytes(), nil
}

// releaseBody gives the body's memory back once the request is answered. What a
// write that is still on its way refers to is left to the garbage collector.
func (c *call) releaseBody(err error) {
	if c.buf == nil || c.buf.Cap() > pooledBody {
		return
	}
	var e *change.Error
	if errors.As(err, &e) && e.Code == change.OutcomeUnknown {
		return
	}
	bodyPool.Put(c.buf)
	c.buf = nil
}

// checkType refuses a body of another media type. A missing one passes.
func (c *call) checkType(types ...string) error {
	b := c.ctx.Request.Header.ContentType()
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		b = b[:i]
	}
	b = bytes.TrimSpace(b)
	if len(types) == 0 {
		types = jsonTypes
	}
	if len(b) == 0 {
		return nil
	}
	for _, t := range types {
		if strings.EqualFold(string(b), t) {
			return nil
		}
	}
	return change.Errorf(change.UnsupportedMedia, "Content-Type %q is not %s", clip(string(b)), strings.Join(types, " or "))
}

var jsonTypes = []string{"application/json"}

// contentEncoding returns how the body is compressed.
func (c *call) contentEncoding() string {
	b := bytes.TrimSpace(c.ctx.Request.Header.Peek(fasthttp.HeaderContentEncoding))
	switch {
	case len(b) == 0 || strings.EqualFold(string(b), "identity"):
		return "identity"
	case strings.EqualFold(string(b), "gzip"), strings.EqualFold(string(b), "x-gzip"):
		return "gzip"
	case strings.EqualFold(string(b), "zstd"):
		return "zstd"
	}
	return string(b)
}

// A requestBody reads the body of a request. It tells a body that was cut off
// from one that has ended, which fasthttp does not.
type requestBody struct {
	r      io.Reader
	raw    *conn
	length int // Content-Length, -1 where it is chunked
	got    int
	whole  bool // it has been read to its end

	// idle, where it is not 0, is how long each Read may take.
	idle    time.Duration
	mu      sync.Mutex
	stopped bool // guarded by mu: no Read is to block any more
}

// openBody returns the body. Only one requestBody may be made of a request.
func (c *call) openBody() *requestBody {
	b := &requestBody{raw: rawConn(c.ctx.Conn()), length: c.ctx.Request.Header.ContentLength()}
	c.opened = b
	if s := c.ctx.RequestBodyStream(); s != nil {
		b.r = s
	} else {
		b.r, b.length = bytes.NewReader(c.ctx.Request.Body()), len(c.ctx.Request.Body())
	}
	return b
}

var errBodyCut = fmt.Errorf("the connection was closed before the end of the body: %w", io.ErrUnexpectedEOF)

func (b *requestBody) Read(p []byte) (int, error) {
	if b.whole {
		return 0, io.EOF
	}
	if err := b.setDeadline(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	b.got += n
	switch {
	case err == io.EOF && (b.length >= 0 && b.got < b.length || b.length < 0 && b.raw.eof.Load()):
		return n, errBodyCut
	case err == io.EOF:
		b.whole = true
	}
	return n, err
}

func (b *requestBody) setDeadline() error {
	if b.idle == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return net.ErrClosed
	}
	return b.raw.SetReadDeadline(time.Now().Add(b.idle))
}

// interrupt makes a Read that is blocked return, and those after it fail.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	_ = b.raw.SetReadDeadline(time.Unix(1, 0)) // it fails where the connection is closed, which is as good
}

// unpacked returns the body as it was before it was compressed, and what gives
// the decoder back. Damage in the data is told like a connection that was cut.
func (b *requestBody) unpacked(encoding string) (io.Reader, func(), error) {
	switch encoding {
	case "identity":
		return b, func() {}, nil
	case "gzip":
		return &unpacker{b: b, open: func() (io.Reader, error) { return gzip.NewReader(b) }}, func() {}, nil
	case "zstd":
		dec, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return &unpacker{b: b, open: func() (io.Reader, error) { return dec, nil }}, dec.Close, nil
	}
	return nil, nil, change.Errorf(change.UnsupportedMedia, "Content-Encoding %q is not identity, gzip or zstd", clip(encoding))
}

// An unpacker opens its decoder with the first Read, since a gzip reader reads at
// once, and says of what is wrong where it lies.
type unpacker struct {
	b    *requestBody
	open func() (io.Reader, error)
	r    io.Reader
	err  error
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.r == nil {
		r, err := u.open()
		if err != nil {
			u.err = u.fault(err)
			return 0, u.err
		}
		u.r = r
	}
	n, err := u.r.Read(p)
	if err != nil {
		u.err = u.fault(err)
	}
	return n, u.err
}

// fault turns a fault of the decoder into one that a client understands. A fault
// of the connection stays what it is.
func (u *unpacker) fault(err error) error {
	switch {
	case err == io.EOF && u.b.got == 0:
		return io.EOF // an empty body, whatever it was to be
	case err == io.EOF && u.r != nil:
		return u.drained()
	case errors.Is(err, net.ErrClosed), errors.Is(err, errBodyCut), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	return &change.Error{Code: change.InvalidArgument, Field: "body", Detail: fmt.Sprintf("the compressed body is damaged or cut off, at about byte %d of it; its whole lines before that are kept", u.b.got), Err: err}
}

// drained makes sure that the body ends where its compressed data end.
func (u *unpacker) drained() error {
	var b [1]byte
	if n, err := u.b.Read(b[:]); n > 0 {
		return change.BadField("body", "something follows the compressed data, at byte %d of the body", u.b.got)
	} else if err != io.EOF {
		return err
	}
	return io.EOF
}

// closeUnread looks after a body that the answer did not read: what is left of
// it must not be taken for the next request. A short one is read over by
// fasthttp; behind a long one the connection is closed, slowly enough for the
// answer to arrive.
func (c *call) closeUnread() {
	if c.ctx.Hijacked() || c.opened != nil && c.opened.whole || c.ctx.RequestBodyStream() == nil {
		return
	}
	n := c.ctx.Request.Header.ContentLength()
	keep := !c.ctx.Request.Header.ConnectionClose() && !c.ctx.Response.Header.ConnectionClose()
	if n == 0 || keep && n > 0 && n <= smallBody && (c.opened == nil || !c.opened.stopped) {
		return
	}
	c.ctx.SetConnectionClose()
	var answer bytes.Buffer
	if _, err := c.ctx.Response.WriteTo(&answer); err != nil {
		return // fasthttp will say so too
	}
	s := c.s
	c.ctx.HijackSetNoResponse(true)
	c.ctx.Hijack(func(hijacked net.Conn) {
		raw := rawConn(hijacked)
		me := &open{end: func(*change.Error) {}, cut: func() { raw.Close() }}
		s.open.add(me, &s.o)
		defer s.open.remove(me)
		if writeBuffers(raw, net.Buffers{answer.Bytes()}, inWriteTimeout) == nil {
			linger(raw, s.stopping.Load())
		}
		raw.Close()
	})
}
