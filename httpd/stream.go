package httpd

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// A stream is a live answer on a hijacked connection. One goroutine writes.
type stream struct {
	s       *Server
	raw     *conn
	conn    net.Conn // raw behind what fasthttp has read ahead
	chunked bool
	head    []byte // the head of the answer, until it has gone out with the first bytes
	cors    string // header lines that a page of another origin needs
	ctx     context.Context
	cancel  context.CancelCauseFunc
	done    <-chan struct{}
	// patience returns how long the client may take to accept something.
	patience func() time.Time
}

func inWriteTimeout() time.Time { return time.Now().Add(writeTimeout) }

// hijackOptions say how a connection is taken over.
type hijackOptions struct {
	contentType string
	headers     string // further header lines, each with its end
	chunked     bool   // the answer's end can be told from a failure
	reads       bool   // run reads the request's body itself
	feed        bool   // it is a reader of events
}

// hijack takes the connection over and answers 200 with a live stream that run
// writes. After it returns without error the request's context is run's.
//
// The connection is closed when run has returned: nothing tells an SSE client's
// disconnect but reading, and what was read ahead could be its next request.
func (c *call) hijack(o hijackOptions, run func(*stream)) error {
	s, raw := c.s, rawConn(c.ctx.Conn())
	cors := c.corsLines()
	st := &stream{s: s, raw: raw, head: c.streamHead(&o, cors), cors: cors, chunked: o.chunked, patience: inWriteTimeout}
	st.ctx, st.cancel = context.WithCancelCause(s.stop)
	st.done = st.ctx.Done()
	me := &open{stream: !o.reads, upload: o.reads, feed: o.feed, end: func(why *change.Error) { st.cancel(why) }, cut: func() { raw.Close() }}
	if c.key != nil {
		me.keyID = c.key.ID
	}
	if !s.open.add(me, &s.o) {
		st.cancel(nil)
		return s.tooMany(me)
	}
	c.ctx.HijackSetNoResponse(true)
	c.ctx.Hijack(func(hijacked net.Conn) {
		st.conn = hijacked
		defer s.open.remove(me)
		defer st.cancel(nil)
		// Closed here, since fasthttp gives the read buffer to another connection
		// once this function has returned: nobody may be reading by then.
		defer raw.Close()
		if o.reads {
			run(st)
			return
		}
		// A write that waits for a client which does not read ends soon too.
		stop := context.AfterFunc(st.ctx, func() { _ = raw.SetWriteDeadline(time.Now().Add(endTimeout)) })
		defer stop()
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			st.watch()
		}()
		run(st)
		if st.head != nil {
			st.write(nil)
		}
		raw.Close()
		<-watched
	})
	return nil
}

// tooMany says why o cannot be opened.
func (s *Server) tooMany(o *open) error {
	if o.upload {
		return change.Errorf(change.Overloaded, "%d uploads are going on, which is the limit", s.o.MaxUploads)
	}
	return change.Errorf(change.Overloaded, "%d live streams are open, which is the limit", s.o.MaxStreams)
}

// corsLines returns what authorise has said to a page of another origin.
func (c *call) corsLines() string {
	var b []byte
	for _, h := range []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"} {
		if v := c.ctx.Response.Header.Peek(h); len(v) > 0 {
			b = append(append(append(append(b, h...), ": "...), v...), "\r\n"...)
		}
	}
	return string(b)
}

func (c *call) streamHead(o *hijackOptions, cors string) []byte {
	if o.chunked && !c.ctx.Request.Header.IsHTTP11() {
		o.chunked = false
	}
	b := append(make([]byte, 0, 512), "HTTP/1.1 200 OK\r\nContent-Type: "...)
	b = append(append(b, o.contentType...), "\r\nConnection: close\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, httpTime)
	b = append(append(b, "\r\nX-Request-Id: "...), c.requestID()...)
	b = append(append(append(b, "\r\n"...), o.headers...), cors...)
	if o.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...)
}

const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// watch notices that the client has gone: nothing else would tell before a write
// fails, seconds later. It ends with the connection.
func (st *stream) watch() {
	var b [256]byte
	for {
		if _, err := st.conn.Read(b[:]); err != nil {
			st.cancel(err)
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

// write sends b. It reports false where the client accepts nothing any more.
func (st *stream) write(b []byte) bool {
	bufs := make(net.Buffers, 0, 5)
	if st.head != nil {
		bufs = append(bufs, st.head)
		st.head = nil
	}
	if len(b) > 0 {
		if st.chunked {
			bufs = append(bufs, append(strconv.AppendInt(nil, int64(len(b)), 16), crlf...), b, crlf)
		} else {
			bufs = append(bufs, b)
		}
	}
	return writeBuffers(st.raw, bufs, st.patience) == nil
}

var crlf = []byte("\r\n")

// end finishes a chunked stream: only a whole one has a final chunk.
func (st *stream) end() bool {
	if st.head != nil && !st.write(nil) {
		return false
	}
	return !st.chunked || writeBuffers(st.raw, net.Buffers{[]byte("0\r\n\r\n")}, st.patience) == nil
}
