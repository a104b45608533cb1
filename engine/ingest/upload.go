package ingest

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// An upload splits a body into lines and batches. Three goroutines carry it: one
// reads the body, the caller's splits, parses and submits, and one settles what
// was submitted.
type upload struct {
	*settler

	next uint64 // number of the line that is being read
	skip uint64 // the source has the lines up to this one
	cut  *change.Error

	// The beginning of the line that is being read, where it came in parts. over:
	// it is longer than allowed, and read over.
	part []byte
	some bool // part or over hold something of the line
	over bool

	batch  *batch // with one line at least; or nil
	slots  chan struct{}
	flight chan *batch
}

// A chunk is what one Read gave.
type chunk struct {
	buf *[]byte
	n   int
	err error
}

const (
	chunkSize = 128 << 10
	chunks    = 3
)

var chunkPool = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// read reads body into the buffers that come back. It ends after an error, or
// when back is closed.
func read(body io.Reader, back <-chan *[]byte, out chan<- chunk) {
	defer close(out)
	empty := 0
	for buf := range back {
		n, err := body.Read(*buf)
		if n == 0 && err == nil {
			if empty++; empty == 100 {
				err = io.ErrNoProgress
			}
		} else {
			empty = 0
		}
		out <- chunk{buf, n, err} // there is room for all buffers
		if err != nil {
			return
		}
	}
}

// run carries the upload to its end.
func (u *upload) run(ctx context.Context, body io.Reader) {
	var bufs [chunks]*[]byte
	back, in := make(chan *[]byte, chunks), make(chan chunk, chunks)
	for i := range bufs {
		bufs[i] = chunkPool.Get().(*[]byte)
		back <- bufs[i]
	}
	go read(body, back, in)
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		for b := range u.flight {
			u.settle(b, 0, len(b.entries), b.from, b.to, b.pending)
			b.release()
			<-u.slots
		}
	}()

	atEnd := u.split(ctx, in, back)
	if u.batch != nil {
		u.flush()
	}
	close(u.flight)
	close(back)
	if !atEnd && u.o.Interrupt != nil {
		u.o.Interrupt()
	}
	<-settled
	for range in { // until the reader has ended
	}
	for _, b := range bufs {
		chunkPool.Put(b)
	}
}

// split takes the body apart until it, or the upload, ends. It reports whether
// the body has been read to its end.
func (u *upload) split(ctx context.Context, in <-chan chunk, back chan<- *[]byte) (atEnd bool) {
	idle := time.NewTimer(batchIdle)
	idle.Stop()
	defer idle.Stop()
	for {
		select {
		case c := <-in:
			before := u.next
			more := u.scan((*c.buf)[:c.n])
			if c.err != nil {
				if more {
					u.finish(c.err)
				}
				return true
			}
			if !more {
				return false
			}
			back <- c.buf
			switch {
			case u.batch == nil:
				idle.Stop()
			case u.next != before:
				idle.Reset(batchIdle)
			}
		case <-idle.C:
			if u.batch != nil && !u.flush() {
				return false
			}
		case <-u.stop:
			return false
		case <-ctx.Done():
			u.cut = ended(ctx)
			return false
		}
	}
}

// finish deals with what is left when the body has ended with err.
func (u *upload) finish(err error) {
	if err != io.EOF { // not errors.Is: a fault may have an EOF for its reason
		u.cut = cutBody(err)
		return
	}
	if u.some {
		u.endLine(nil)
	}
}

// scan takes a piece of the body. It reports false where the upload ends.
func (u *upload) scan(data []byte) bool {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			u.keepPart(data)
			return true
		}
		if !u.endLine(data[:i]) {
			return false
		}
		data = data[i+1:]
	}
	return true
}

// keepPart takes a piece of a line that is not its end.
func (u *upload) keepPart(data []byte) {
	u.some = true
	switch {
	case u.over || u.next <= u.skip:
	case len(u.part)+len(data) > u.o.MaxLineBytes+1: // 1: a CR
		u.over, u.part = true, nil
	default:
		u.part = append(u.part, data...)
	}
}

// endLine takes the end of a line, or all of it. It reports false where the
// upload ends.
func (u *upload) endLine(data []byte) bool {
	if u.some {
		u.keepPart(data)
		data = u.part
	}
	n, over := u.next, u.over
	u.next++
	u.some, u.over = false, false
	if n <= u.skip {
		return true
	}
	if l := len(data); l > 0 && data[l-1] == '\r' {
		data = data[:l-1]
	}
	over = over || len(data) > u.o.MaxLineBytes
	if u.batch != nil && !over && u.batch.weight+len(data) > batchBytes && !u.flush() {
		return false
	}
	if u.batch == nil {
		u.batch = newBatch(n - 1)
	}
	b := u.batch
	bad := false
	switch {
	case over:
		b.entries = append(b.entries, entry{line: n, err: change.Errorf(change.TooLarge, "the line is longer than %d bytes, the most that a line may have", u.o.MaxLineBytes).
			With("limit", u.o.MaxLineBytes)})
		bad = true
	case blank(data):
	default:
		bad = b.add(n, data) != nil
	}
	if u.part = u.part[:0]; cap(u.part) > slabSize {
		u.part = nil
	}
	if bad && u.o.Abort {
		return false // b.to stays before the line; run commits what there is
	}
	b.to = n
	if b.to-b.from >= batchLines || b.weight >= batchBytes {
		return u.flush()
	}
	return true
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// flush submits the batch. It reports false where the upload has ended.
func (u *upload) flush() bool {
	b := u.batch
	u.batch = nil
	u.slots <- struct{}{} // free again once the oldest batch is settled
	select {
	case <-u.stop:
		<-u.slots
		b.release()
		return false
	default:
	}
	b.gen = u.gen.Load()
	b.pending = b.submit(u.db, u.o, 0, len(b.entries), b.from, b.to)
	u.flight <- b
	return true
}
