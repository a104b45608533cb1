package cdc

import (
	"context"
	"errors"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
)

// A Cursor is a reader's place in the feed. One goroutine uses it at a time.
//
// Invariant: everything up to Position().Seq was delivered or did not pass the
// query; nothing after it was delivered. Position never moves back.
type Cursor struct {
	hub *Hub
	q   Query

	next uint64          // first seq not yet looked at; next == at.Seq + 1
	at   change.Position // after the last change that was looked at

	// own reads the log while the cursor is not in the ring; nil otherwise.
	own FrameReader

	// The frame being read: of the ring (shared is set, and events once they are
	// needed) or of own. records[i] is the first record not yet looked at; no
	// frame is held where records is nil.
	shared  *frame
	events  *encodedFrame
	records []change.Record
	lineage change.Lineage
	chain   uint32
	i       int

	enc     encoder
	decoded int     // the record whose body enc.doc holds, -1 for none
	passing []match // of the group being judged, for each of its records

	closed bool
}

// Open begins a reader. The error says why its position cannot be served:
// Diverged, Ahead or OffsetExpired.
func (h *Hub) Open(q *Query) (*Cursor, *change.Error) {
	next, at, err := start(h.log, q)
	if err != nil {
		return nil, err
	}
	h.subscribers.Add(1)
	return &Cursor{hub: h, q: *q, next: next, at: at, decoded: -1}, nil
}

// Close ends the reader. It may be called twice.
func (c *Cursor) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.hub.subscribers.Add(-1)
	c.release()
	c.leaveLog()
}

// Position returns the place in the feed after everything that was looked at.
func (c *Cursor) Position() change.Position { return c.at }

// NextSeq returns the first seq that has not been looked at: the "from" to ask
// for next.
func (c *Cursor) NextSeq() uint64 { return c.next }

// Head returns the newest seq that a reader may see.
func (c *Cursor) Head() uint64 { return c.hub.log.Head().Seq }

// Changed returns a channel that is closed when it is worth looking again; it is
// closed already where there is something to read.
func (c *Cursor) Changed() <-chan struct{} {
	// The channel is taken first: a move between the two is then not missed.
	ch := c.hub.log.Notify()
	if c.next <= c.Head() {
		return always
	}
	return ch
}

var always = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Wait returns when it is worth looking again, or with ctx's error.
func (c *Cursor) Wait(ctx context.Context) error {
	for c.next > c.Head() {
		select {
		case <-c.Changed():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Limits of a batch. A field that is 0 has its default.
type Limits struct {
	// Events is the most events. Only whole groups are delivered: a group that
	// does not fit is left for the next batch, but the first of a batch is
	// delivered whatever its size. DefaultBatchEvents.
	Events int
	// Bytes ends the batch once it is that long; it may be longer by one group.
	// DefaultBatchBytes.
	Bytes int
	// Scan is the most changes that are looked at, so that a reader whom nothing
	// passes comes back to say so; it may be more by one group.
	// DefaultBatchScan.
	Scan int
}

// Defaults of Limits.
const (
	DefaultBatchEvents = 10_000
	DefaultBatchBytes  = 256 << 10
	DefaultBatchScan   = 16_384
)

func (l Limits) withDefaults() Limits {
	if l.Events <= 0 {
		l.Events = DefaultBatchEvents
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultBatchBytes
	}
	if l.Scan <= 0 {
		l.Scan = DefaultBatchScan
	}
	return l
}

// A Batch says what AppendBatch did.
type Batch struct {
	Events  int    // delivered
	Scanned int    // changes looked at
	LastSeq uint64 // of the last event delivered, 0 where there was none
	// Caught says that the cursor stands at the head as it was during the call.
	Caught bool
}

// AppendBatch appends the next events to dst in the format f and moves the
// cursor past them. It never waits for a change. On an error what was appended
// before is good, and the cursor stands after it.
//
// An error is OffsetExpired where the log was trimmed under a reader that was too
// far behind, and Internal where the log could not be read.
func (c *Cursor) AppendBatch(dst []byte, f Format, l Limits) ([]byte, Batch, error) {
	l = l.withDefaults()
	begin := len(dst)
	var b Batch
	var counts [0x80]uint32
	var err *change.Error
	head := c.Head()
	for b.Events < l.Events && len(dst)-begin < l.Bytes && b.Scanned < l.Scan {
		if c.next > head {
			if head = c.Head(); c.next > head {
				b.Caught = true
				break
			}
		}
		if c.records == nil {
			if err = c.load(head); err != nil {
				break
			}
		}
		end := c.group()
		var n int
		if n, err = c.judgeGroup(end); err != nil {
			break
		}
		if b.Events > 0 && b.Events+n > l.Events {
			break
		}
		if n > 0 {
			if dst, err = c.appendGroup(dst, f, end, n, &counts); err != nil {
				break
			}
			b.LastSeq = c.lastPassing(end)
		}
		b.Events += n
		b.Scanned += c.advance(end)
	}
	c.count(&counts, b.Events)
	// A frame of the ring is not held between batches, so that a reader that is
	// stuck in a write does not keep in memory what the ring has dropped.
	if c.shared != nil {
		c.release()
	}
	if err != nil {
		return dst, b, err
	}
	return dst, b, nil
}

func (c *Cursor) count(counts *[0x80]uint32, events int) {
	if events == 0 {
		return
	}
	c.hub.delivered.Add(uint64(events))
	for k, n := range counts {
		if n > 0 {
			c.hub.byKind[k].Add(uint64(n))
		}
	}
}

// group returns the end of the group that begins at record i.
func (c *Cursor) group() int {
	for j := c.i; j < len(c.records); j++ {
		if c.records[j].Flags&change.GroupLast != 0 { // a control record may end a group
			return j + 1
		}
	}
	return len(c.records)
}

// advance moves past the records up to end and returns how many changes they are.
func (c *Cursor) advance(end int) int {
	n := 0
	for ; c.i < end; c.i++ {
		if r := &c.records[c.i]; !r.Kind.IsControl() && r.Seq >= c.next {
			c.next = r.Seq + 1
			n++
		}
	}
	if n > 0 {
		c.at = change.Position{Epoch: c.lineage.At(c.next - 1), Seq: c.next - 1, Check: c.chain, HasCheck: true}
	}
	if c.i == len(c.records) {
		c.release()
	}
	return n
}

// judgeGroup fills passing for the records from i to end and returns how many
// pass.
func (c *Cursor) judgeGroup(end int) (n int, err *change.Error) {
	c.passing = c.passing[:0]
	for j := c.i; j < end; j++ {
		m, err := c.judge(j)
		if err != nil {
			return 0, err
		}
		if m != noMatch {
			n++
		}
		c.passing = append(c.passing, m)
	}
	return n, nil
}

func (c *Cursor) judge(j int) (match, *change.Error) {
	r := &c.records[j]
	if r.Kind.IsControl() || r.Seq < c.next || !c.q.Types.Has(r.Kind) {
		return noMatch, nil
	}
	if r.Kind.EventType() == "" {
		return noMatch, damaged(r, fmt.Errorf("kind %#02x is of a newer version of arrwDB", uint8(r.Kind)))
	}
	if len(c.q.Libraries) > 0 || c.q.Allow != nil {
		library, err := c.library(j)
		if err != nil {
			return noMatch, err
		}
		if !c.q.wants(library) {
			return noMatch, nil
		}
	}
	if c.q.Filter == nil {
		return unfiltered, nil
	}
	if !isDocument(r.Kind) {
		return noMatch, nil
	}
	if err := c.decode(j); err != nil {
		return noMatch, err
	}
	return judge(c.q.Filter, r.Kind, &c.enc.doc), nil
}

// library returns the id of the library that record j belongs to, "" for none.
func (c *Cursor) library(j int) (string, *change.Error) {
	r := &c.records[j]
	switch {
	case c.shared != nil:
		if err := c.encoded(); err != nil {
			return "", err
		}
		return c.events.events[j].library, nil
	case isDocument(r.Kind):
		err := c.decode(j)
		return c.enc.doc.LibraryID, err
	case isLibrary(r.Kind):
		d, err := change.DecodeLibrary(r)
		if err != nil {
			return "", damaged(r, err)
		}
		return d.ID, nil
	}
	return "", nil
}

func (c *Cursor) decode(j int) *change.Error {
	if c.decoded == j {
		return nil
	}
	c.decoded = -1
	if err := c.enc.decode(&c.records[j]); err != nil {
		return err
	}
	c.decoded = j
	return nil
}

// encoded fetches the events of the shared frame.
func (c *Cursor) encoded() (err *change.Error) {
	if c.events == nil {
		c.events, err = c.hub.events(c.shared, c.q.Include)
	}
	return err
}

// appendGroup appends the n events that pass of the records up to end. The last
// of them says so. On an error nothing of the group is appended.
func (c *Cursor) appendGroup(dst []byte, f Format, end, n int, counts *[0x80]uint32) ([]byte, *change.Error) {
	begin := len(dst)
	if c.shared != nil {
		if err := c.encoded(); err != nil {
			return dst, err
		}
	}
	left := n
	for j := c.i; j < end; j++ {
		m := c.passing[j-c.i]
		if m == noMatch {
			continue
		}
		left--
		r := &c.records[j]
		if c.shared != nil {
			dst = emit(dst, c.events.buf, &c.events.events[j], f, left == 0, m)
			continue
		}
		c.enc.reset()
		var ev event
		var err *change.Error
		if isDocument(r.Kind) {
			err = c.decode(j)
		}
		if err == nil {
			ev, err = c.enc.encode(r, c.q.Include)
		}
		if err != nil {
			return dst[:begin], err
		}
		dst = emit(dst, c.enc.buf, &ev, f, left == 0, m)
	}
	for j := c.i; j < end; j++ {
		if c.passing[j-c.i] != noMatch {
			counts[c.records[j].Kind]++
		}
	}
	return dst, nil
}

func (c *Cursor) lastPassing(end int) uint64 {
	for j := end - 1; j >= c.i; j-- {
		if c.passing[j-c.i] != noMatch {
			return c.records[j].Seq
		}
	}
	return 0
}

// load gets the frame that holds next, which is visible: from the ring, or else
// from the log.
func (c *Cursor) load(head uint64) *change.Error {
	f, err := c.hub.hot(c.next, head)
	if err != nil {
		return c.readError(err)
	}
	if f != nil {
		c.leaveLog()
		c.shared, c.lineage, c.chain = f, f.lineage, f.chain
		c.begin(f.records)
		return nil
	}
	fresh := c.own == nil
	for {
		if c.own == nil {
			if c.own, err = c.hub.log.ReadLog(c.next); err != nil {
				c.own = nil
				return c.readError(err)
			}
		}
		var found bool
		if found, err = c.readOwn(); found {
			return nil
		}
		c.leaveLog()
		if fresh {
			return c.readError(err)
		}
		// A reader that was open may have met what was the head, or segments
		// that are gone; a new one says what is true now.
		fresh = true
	}
}

// readOwn reads the frame that holds next.
func (c *Cursor) readOwn() (found bool, err error) {
	for {
		in, err := c.own.Next()
		if err != nil {
			return false, err
		}
		first, last := uint64(0), uint64(0)
		for i := range in.Records {
			if r := &in.Records[i]; !r.Kind.IsControl() {
				if first == 0 {
					first = r.Seq
				}
				last = r.Seq
			}
		}
		if last < c.next { // without changes, or before the place
			continue
		}
		if first > c.next {
			return false, errHole
		}
		c.lineage, c.chain = c.hub.log.Lineage(), in.Chain
		c.begin(in.Records)
		c.enc.frame(c.lineage, c.chain)
		return true, nil
	}
}

// begin sets the records of a frame and passes over those before next.
func (c *Cursor) begin(records []change.Record) {
	c.records, c.i, c.decoded = records, 0, -1
	for c.i < len(records) && (records[c.i].Kind.IsControl() || records[c.i].Seq < c.next) {
		c.i++
	}
}

// release lets go of the frame being read. The cursor stays where it is.
func (c *Cursor) release() {
	c.shared, c.events, c.records, c.i, c.decoded = nil, nil, nil, 0, -1
}

func (c *Cursor) leaveLog() {
	if c.own != nil {
		_ = c.own.Close() // a reader has nothing to lose
		c.own, c.enc.buf = nil, nil
	}
}

// readError says why the change next cannot be had. A reader is never moved over
// a hole: either the log was trimmed, or it is damaged.
func (c *Cursor) readError(err error) *change.Error {
	head, earliest := c.Head(), c.hub.log.EarliestSeq()
	if c.next < earliest {
		return expired(c.next, c.hub.log.Lineage(), head, earliest)
	}
	if e := (*change.Error)(nil); errors.As(err, &e) {
		return e // the log knows better, for instance that it is shutting down
	}
	if atEnd(err) {
		err = fmt.Errorf("the log ends before change %d, which is visible (head %d)", c.next, head)
	}
	return &change.Error{Code: change.Internal, Detail: fmt.Sprintf("change %d cannot be read from the log", c.next), Err: err}
}
