package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// A conn is an HTTP/1.1 client that does next to nothing, so that what is
// measured is the server: requests are bytes that were built before, and of an
// answer only what is needed is looked at. It is for one goroutine, but one that
// writes beside one that reads.
type conn struct {
	net.Conn
	r    *bufio.Reader
	body []byte // of the last answer that was read whole
}

// ioTimeout is how long any one read or write may stand still.
const ioTimeout = 2 * time.Minute

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// appendRequest appends a request with its body.
func appendRequest(dst []byte, method, path, addr string, body []byte) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, addr...)
	if body != nil {
		dst = append(dst, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body)), 10)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// A head is what is read of the beginning of an answer.
type head struct {
	status  int
	length  int64 // -1: to the end of the connection
	chunked bool
	close   bool
}

// readHead reads the status and headers of an answer.
func (c *conn) readHead() (head, error) {
	for {
		h := head{length: -1}
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		if len(line) < 12 || string(line[:7]) != "HTTP/1." {
			return h, fmt.Errorf("not an HTTP answer: %.60q", line)
		}
		if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
			return h, fmt.Errorf("not an HTTP answer: %.60q", line)
		}
		for {
			line, err := c.r.ReadSlice('\n')
			if err != nil {
				return h, err
			}
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				break
			}
			i := bytes.IndexByte(line, ':')
			if i < 0 {
				continue
			}
			value := bytes.TrimSpace(line[i+1:])
			switch {
			case i == 14 && bytes.EqualFold(line[:i], []byte("content-length")):
				if h.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
					return h, fmt.Errorf("Content-Length: %q", value)
				}
			case i == 17 && bytes.EqualFold(line[:i], []byte("transfer-encoding")):
				h.chunked = bytes.EqualFold(value, []byte("chunked"))
			case i == 10 && bytes.EqualFold(line[:i], []byte("connection")):
				h.close = bytes.EqualFold(value, []byte("close"))
			}
		}
		if h.status >= 200 {
			return h, nil
		}
	}
}

// reader returns a reader of the answer's body.
func (c *conn) reader(h head) io.Reader {
	switch {
	case h.chunked:
		return &chunked{r: httputil.NewChunkedReader(c.r), c: c}
	case h.length >= 0:
		return io.LimitReader(c.r, h.length)
	}
	return c.r
}

// A chunked reader also takes what follows the last chunk.
type chunked struct {
	r    io.Reader
	c    *conn
	done bool
}

func (k *chunked) Read(p []byte) (int, error) {
	if k.done {
		return 0, io.EOF
	}
	n, err := k.r.Read(p)
	if err == io.EOF {
		k.done = true
		for {
			line, err := k.c.r.ReadSlice('\n')
			if err != nil {
				return n, io.ErrUnexpectedEOF
			}
			if len(bytes.TrimRight(line, "\r\n")) == 0 {
				break
			}
		}
	}
	return n, err
}

// answer reads an answer whole. The body is good until the next one.
func (c *conn) answer() (int, []byte, error) {
	h, err := c.readHead()
	if err != nil {
		return 0, nil, err
	}
	c.body = c.body[:0]
	if h.length >= 0 && !h.chunked {
		if int64(cap(c.body)) < h.length {
			c.body = make([]byte, h.length)
		}
		c.body = c.body[:h.length]
		_, err = io.ReadFull(c.r, c.body)
		return h.status, c.body, err
	}
	b := bytes.NewBuffer(c.body)
	_, err = b.ReadFrom(c.reader(h))
	c.body = b.Bytes()
	return h.status, c.body, err
}

// do sends a request and reads its answer.
func (c *conn) do(request []byte) (int, []byte, error) {
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	return c.answer()
}

// put sends a request, and fails unless it is answered with a 2xx.
func (c *conn) put(request []byte) error {
	status, answer, err := c.do(request)
	if err == nil && status/100 != 2 {
		err = &statusError{status, strings.TrimSpace(string(answer))}
	}
	if err != nil {
		return fmt.Errorf("PUT: %w", err)
	}
	return nil
}

// call makes one request on a connection of its own, and fails unless it is
// answered with a 2xx.
func call(addr, method, path string, body []byte) ([]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(ioTimeout))
	status, answer, err := c.do(appendRequest(nil, method, path, addr, body))
	if err == nil && status/100 != 2 {
		err = &statusError{status, strings.TrimSpace(string(answer))}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return answer, nil
}

type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.body) }

// An upload is a request whose body is sent in chunks while the answer may
// already flow.
type upload struct {
	c    *conn
	buf  []byte // the chunk being filled, behind room for its length
	sent int64  // bytes of the body
}

const (
	chunkBytes = 128 << 10
	chunkRoom  = 10 // for "fffffff\r\n" and to spare
)

func startUpload(c *conn, path, addr string) (*upload, error) {
	req := "POST " + path + " HTTP/1.1\r\nHost: " + addr +
		"\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(c, req); err != nil {
		return nil, err
	}
	return &upload{c: c, buf: make([]byte, chunkRoom, chunkRoom+chunkBytes+16<<10)}, nil
}

// line sends the next document of d.
func (u *upload) line(d *docs) error {
	u.buf = append(d.appendNext(u.buf), '\n')
	if len(u.buf)-chunkRoom >= chunkBytes {
		return u.flush()
	}
	return nil
}

func (u *upload) flush() error {
	n := len(u.buf) - chunkRoom
	if n == 0 {
		return nil
	}
	u.sent += int64(n)
	size := append(strconv.AppendInt(make([]byte, 0, chunkRoom), int64(n), 16), "\r\n"...)
	from := chunkRoom - len(size)
	copy(u.buf[from:], size)
	u.buf = append(u.buf, "\r\n"...)
	// A server that no longer reads because nobody reads from it is found here.
	u.c.SetWriteDeadline(time.Now().Add(ioTimeout))
	_, err := u.c.Write(u.buf[from:])
	u.buf = u.buf[:chunkRoom]
	return err
}

func (u *upload) end() error {
	if err := u.flush(); err != nil {
		return err
	}
	_, err := io.WriteString(u.c, "0\r\n\r\n")
	return err
}

// closeOnDone closes c when done is closed, so that reads and writes that wait
// fail. stop ends that.
func closeOnDone(done <-chan struct{}, c io.Closer) (stop func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-done:
			c.Close()
		case <-over:
		}
	}()
	return func() { close(over) }
}

var errShort = errors.New("the answer ended early")
