package httpd

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/engine/ingest"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Limits of receipts that the client has not read yet.
const (
	receiptMemory  = 256 << 10 // bytes in memory before they go to the file
	receiptKernel  = 256 << 10 // bytes in the kernel's send buffer, which is memory too
	receiptWrite   = 64 << 10
	maxFlowErrors  = 10_000
	receiptPattern = "receipts-*"
)

// receipts sends what becomes of an upload's lines to a client that may read
// nothing until it has sent everything: what waits goes to a file when it is
// long, becomes ranges when the file is full, and acks collapse into the newest.
// So it costs neither memory nor a deadlock.
//
// What waits is a queue of bytes: the file first, then mem. The methods of
// ingest.Sink put in, one goroutine takes out. mu guards everything below it.
type receipts struct {
	st    *stream
	lines bool
	dir   string
	most  int64

	mu     sync.Mutex
	more   sync.Cond
	mem    []byte
	file   *os.File
	read   int64 // of the file
	wrote  int64 // to the file
	ack    bool  // an ack waits
	upTo   uint64
	last   uint64
	ranges *lineRange // lines that did not fit
	errors int
	final  []byte
	closed bool
	dead   bool // the client is gone, or nothing more is to be sent
	due    bool // the head is to go out, whatever comes
	done   chan struct{}
}

type lineRange struct{ from, to, last uint64 }

// headAfter is when the head of the answer goes out though there is nothing to
// tell yet: a client may wait for it before it sends a line. Until then an upload
// that fails at once is answered with a status.
const headAfter = 100 * time.Millisecond

func newReceipts(st *stream, lines bool, dir string, most int64) *receipts {
	r := &receipts{st: st, lines: lines, dir: dir, most: most, done: make(chan struct{})}
	r.more.L = &r.mu
	st.patience = r.patience
	if c, ok := st.raw.Conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(receiptKernel) // only a hint
	}
	time.AfterFunc(headAfter, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.due = true
		r.more.Signal()
	})
	go r.run()
	return r
}

// patience is how long the client may take to accept something: while it still
// sends, as long as it likes.
func (r *receipts) patience() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.deadline()
	}
	return time.Time{}
}

// deadline is when the client has to have accepted something, once it has only
// to read. A server that stops does not wait for one that does not read.
func (r *receipts) deadline() time.Time {
	if r.st.s.stopping.Load() {
		return time.Now().Add(endTimeout)
	}
	return inWriteTimeout()
}

// WantLines implements ingest.Sink.
func (r *receipts) WantLines() bool { return r.lines }

// Line implements ingest.Sink.
func (r *receipts) Line(line uint64, id string, seq uint64, result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ranges != nil && r.full() {
		r.ranges.to, r.ranges.last = line, max(r.ranges.last, seq)
		return
	}
	r.putRange()
	if r.full() {
		r.ranges = &lineRange{line, line, seq}
		return
	}
	b := append(make([]byte, 0, 96+len(id)), `{"type":"line","line":`...)
	b = strconv.AppendUint(b, line, 10)
	b = docjson.AppendString(append(b, `,"id":`...), id)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(append(append(b, `,"result":"`...), result...), "\"}\n"...)
	r.put(b)
}

// Error implements ingest.Sink.
func (r *receipts) Error(e ingest.LineError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errors++; r.errors > maxFlowErrors {
		return // counted, and told in the summary
	}
	r.putRange() // in the order of the lines
	b := append([]byte(nil), `{"type":"error","line":`...)
	b = strconv.AppendUint(b, e.Line, 10)
	b = docjson.AppendString(append(b, `,"code":`...), string(e.Code))
	b = docjson.AppendString(append(b, `,"detail":`...), e.Detail)
	if e.Field != "" {
		b = docjson.AppendString(append(b, `,"field":`...), e.Field)
	}
	r.put(append(b, "}\n"...))
}

// Ack implements ingest.Sink.
func (r *receipts) Ack(lines, lastSeq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ack, r.upTo, r.last = true, lines, lastSeq
	r.more.Signal()
}

// full reports whether lines have to become ranges. Callers hold mu.
func (r *receipts) full() bool {
	return len(r.mem) >= receiptMemory && (r.wrote >= r.most || r.file == nil && r.most <= 0)
}

// put queues b. Callers hold mu.
func (r *receipts) put(b []byte) {
	if r.dead {
		return
	}
	r.mem = append(r.mem, b...)
	if len(r.mem) >= receiptMemory && r.wrote < r.most {
		r.spill()
	}
	r.more.Signal()
}

// spill moves mem to the file. Without a file, what waits stays in memory, and
// lines become ranges. Callers hold mu.
func (r *receipts) spill() {
	if r.file == nil {
		f, err := os.CreateTemp(r.dir, receiptPattern)
		if err != nil {
			r.most = 0
			return
		}
		_ = os.Remove(f.Name()) // it lives as long as it is open
		r.file = f
	}
	n, err := r.file.WriteAt(r.mem, r.wrote)
	if err != nil {
		r.most = 0
		return
	}
	r.wrote += int64(n)
	r.mem = r.mem[:0]
}

// putRange queues the lines that did not fit. Callers hold mu.
func (r *receipts) putRange() {
	if r.ranges == nil {
		return
	}
	b := append([]byte(nil), `{"type":"lines","from":`...)
	b = strconv.AppendUint(b, r.ranges.from, 10)
	b = append(b, `,"to":`...)
	b = strconv.AppendUint(b, r.ranges.to, 10)
	b = append(b, `,"last_seq":`...)
	b = strconv.AppendUint(b, r.ranges.last, 10)
	r.ranges = nil
	r.mem = append(append(r.mem, b...), "}\n"...)
}

// take returns what is to be sent next, nil where all has been sent and no more
// will come.
func (r *receipts) take(buf []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.dead:
			return nil
		case r.due:
			r.due = false
			return buf[:0]
		case r.read < r.wrote:
			n, err := r.file.ReadAt(buf[:min(int64(cap(buf)), r.wrote-r.read)], r.read)
			if n == 0 && err != nil && !errors.Is(err, io.EOF) {
				return nil
			}
			if r.read += int64(n); r.read == r.wrote {
				r.read, r.wrote = 0, 0 // the file begins anew
			}
			return buf[:n]
		case len(r.mem) > 0:
			n := copy(buf[:cap(buf)], r.mem)
			r.mem = append(r.mem[:0], r.mem[n:]...)
			return buf[:n]
		case r.ranges != nil:
			r.putRange()
		case r.ack:
			r.ack = false
			b := append(buf[:0], `{"type":"ack","lines":`...)
			b = strconv.AppendUint(b, r.upTo, 10)
			b = append(b, `,"last_seq":`...)
			if r.last == 0 {
				b = append(b, "null"...)
			} else {
				b = strconv.AppendUint(b, r.last, 10)
			}
			return append(b, "}\n"...)
		case r.final != nil:
			b := r.final
			r.final = nil
			return b
		case r.closed:
			return nil
		default:
			r.more.Wait()
		}
	}
}

// run sends until there is no more, or the client is gone.
func (r *receipts) run() {
	defer close(r.done)
	buf := make([]byte, 0, receiptWrite)
	for {
		b := r.take(buf)
		if b == nil {
			break
		}
		if len(b) == 0 && r.st.head == nil {
			continue
		}
		if !r.st.write(b) {
			r.mu.Lock()
			r.dead, r.mem = true, nil
			r.mu.Unlock()
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		_ = r.file.Close() // nobody reads it again
		r.file, r.most = nil, 0
	}
}

// finish sends what waits, then the last line, and ends the answer. It reports
// whether all of it went out.
func (r *receipts) finish(last []byte) bool {
	r.close(last)
	<-r.done
	return !r.dead && r.st.end()
}

// abandon ends it without a last line. It reports whether anything of the answer
// has gone out; afterwards the stream is the caller's.
func (r *receipts) abandon() bool {
	r.close(nil)
	<-r.done
	return r.st.head == nil
}

func (r *receipts) close(last []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.final, r.closed = last, true
	if last == nil {
		r.dead = true
	}
	// From now on the client has only to read. This is for a write that waits
	// already.
	_ = r.st.raw.SetWriteDeadline(r.deadline())
	r.more.Signal()
}
