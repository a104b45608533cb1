package httpd

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// A stream is a live answer on a hijacked connection.
type stream struct {
	s       *Server
	conn    net.Conn
	raw     net.Conn // below fasthttp's
	keyID   string
	chunked bool
	first   []byte // the head, until it has gone out with the first bytes
	ctx     context.Context
	cancel  context.CancelFunc
	done    <-chan struct{}
}

// hijack takes the connection over and answers 200 with a live stream that run
// writes. headers are further header lines, each with its end. After it returns
// without error the request's context must not be touched any more.
func (c *call) hijack(contentType, headers string, chunked bool, run func(*stream)) error {
	s := c.s
	if s.streams.count() >= s.o.MaxStreams {
		return change.Errorf(change.Overloaded, "%d live streams are open, the limit is %d", s.o.MaxStreams, s.o.MaxStreams)
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\nConnection: close\r\nDate: " + time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") +
		"\r\nX-Request-Id: " + c.requestID() + "\r\n" + headers
	for _, h := range []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"} {
		if v := c.ctx.Response.Header.Peek(h); len(v) > 0 {
			head += h + ": " + string(v) + "\r\n"
		}
	}
	keyID := ""
	if c.key != nil {
		keyID = c.key.ID
	}
	c.ctx.HijackSetNoResponse(true)
	c.ctx.Hijack(func(conn net.Conn) {
		st := &stream{s: s, conn: conn, raw: unwrap(conn), keyID: keyID}
		st.ctx, st.cancel = context.WithCancel(s.stop)
		st.done = st.ctx.Done()
		defer st.cancel()
		if !s.streams.add(st, s.o.MaxStreams) {
			return
		}
		defer s.streams.remove(st)
		conn.SetDeadline(time.Time{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			st.watch()
		}()
		// The connection is fasthttp's again when this returns: nobody may read it
		// any more.
		defer func() {
			conn.SetReadDeadline(time.Unix(1, 0))
			<-watched
		}()
		st.chunked = chunked
		if chunked {
			head += "Transfer-Encoding: chunked\r\n"
		}
		st.first = []byte(head + "\r\n")
		run(st)
		if st.first != nil {
			st.write(nil)
		}
	})
	return nil
}

// watch notices that the client has gone: nothing else would tell before a write
// fails, seconds later. It ends with the connection.
func (st *stream) watch() {
	var b [256]byte
	for {
		if _, err := st.conn.Read(b[:]); err != nil {
			st.cancel()
			return
		}
	}
}

// gone reports whether the stream is to end.
func (st *stream) gone() bool {
	select {
	case <-st.done:
		return true
	default:
		return false
	}
}

// write sends b, with a deadline of its own. It reports false where the client
// accepts nothing any more.
func (st *stream) write(b []byte) bool {
	if err := st.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return false
	}
	bufs := make(net.Buffers, 0, 4)
	if st.first != nil {
		bufs = append(bufs, st.first)
		st.first = nil
	}
	if st.chunked && len(b) > 0 {
		bufs = append(bufs, strconv.AppendInt(nil, int64(len(b)), 16), crlf, b, crlf)
	} else if len(b) > 0 {
		bufs = append(bufs, b)
	}
	if len(bufs) == 1 {
		_, err := st.conn.Write(bufs[0])
		return err == nil
	}
	_, err := bufs.WriteTo(st.raw)
	return err == nil
}

// unwrap returns the connection below fasthttp's, so that several buffers go out
// in one system call. Only reading goes through fasthttp's buffer.
func unwrap(conn net.Conn) net.Conn {
	if u, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
		conn = u.UnsafeConn()
	}
	if t, ok := conn.(*trackedConn); ok {
		conn = t.Conn
	}
	return conn
}

var crlf = []byte("\r\n")

// end finishes a chunked stream: only a whole one has a final chunk.
func (st *stream) end() {
	if st.first != nil && !st.write(nil) {
		return
	}
	if st.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil {
		_, _ = st.conn.Write([]byte("0\r\n\r\n"))
	}
}
