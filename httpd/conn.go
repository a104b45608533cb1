package httpd

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A trackedConn remembers that its client has sent its last byte. fasthttp's
// body of a chunked request ends in io.EOF both when its last chunk has come and
// when the connection was cut between two chunks; only the second one has seen
// the end of the connection by then.
type trackedConn struct {
	net.Conn
	ended atomic.Bool
}

func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.ended.Store(true)
	}
	return n, err
}

type trackingListener struct{ net.Listener }

func (l trackingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &trackedConn{Conn: c}, nil
}

// An uploadBody is the body of a streamed upload: it tells a whole body from one
// that was cut, and a slow client has readTimeout for each read, not for all.
type uploadBody struct {
	r     io.Reader
	conn  net.Conn
	left  int64 // of a body whose length is known, -1 of a chunked one
	moved time.Time
}

func newUploadBody(ctx *fasthttp.RequestCtx) *uploadBody {
	b := &uploadBody{r: ctx.RequestBodyStream(), conn: ctx.Conn(), left: int64(ctx.Request.Header.ContentLength())}
	return b
}

func (b *uploadBody) Read(p []byte) (int, error) {
	if b.r == nil {
		return 0, io.EOF
	}
	if now := time.Now(); now.Sub(b.moved) > time.Second {
		b.moved = now
		if err := b.conn.SetReadDeadline(now.Add(readTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := b.r.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
		if err == io.EOF && b.left > 0 {
			return n, io.ErrUnexpectedEOF
		}
		return n, err
	}
	if t, ok := b.conn.(*trackedConn); ok && err == io.EOF && t.ended.Load() {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// interrupt makes a blocked Read return, and those after it fail.
func (b *uploadBody) interrupt() {
	b.moved = time.Now().Add(time.Hour)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
}
