package httpd

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Bounds of a lingering close: how long, and for how many bytes, the server goes
// on reading what it does not want, so that its answer reaches a client that is
// still sending. A close with unread bytes would reset the connection, and the
// client could lose the answer.
const (
	lingerTime  = 2 * time.Second
	lingerStop  = 300 * time.Millisecond // of a server that is stopping
	lingerBytes = 256 << 20
)

// A listener hands out conns.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// A conn is an accepted connection that remembers whether the client has closed
// its side. fasthttp reports a request body that was cut off as a clean end, both
// between two chunks and before Content-Length bytes; only here the two can be
// told apart.
type conn struct {
	net.Conn
	eof atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.eof.Store(true)
	}
	return n, err
}

// rawConn returns the accepted connection below fasthttp's wrapper, whose Close
// does nothing.
func rawConn(c net.Conn) *conn {
	for {
		switch v := c.(type) {
		case *conn:
			return v
		case interface{ UnsafeConn() net.Conn }:
			c = v.UnsafeConn()
		default:
			return &conn{Conn: c} // not accepted by our listener: a test's
		}
	}
}

// writeBuffers writes bufs. deadline is asked before each try; a client that
// takes something before the deadline gets a new one, so that only one that
// accepts nothing is cut off.
func writeBuffers(c *conn, bufs net.Buffers, deadline func() time.Time) error {
	for {
		if err := c.SetWriteDeadline(deadline()); err != nil {
			return err
		}
		n, err := bufs.WriteTo(c.Conn) // one system call for all, where it is TCP
		if err == nil {
			return nil
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// linger closes the connection so that what was written arrives: it says that no
// more comes, and reads on for a while.
func linger(c *conn, stopping bool) {
	patience := lingerTime
	if stopping {
		patience = lingerStop
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		if c.SetReadDeadline(time.Now().Add(patience)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // whatever comes, and however it ends
		}
	}
	c.Close()
}
