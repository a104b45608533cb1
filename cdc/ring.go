package cdc

import (
	"errors"
	"io"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/change"
)

// Options of a Hub.
type Options struct {
	// RingBytes bounds the recent frames that are kept with their events, in
	// bytes; DefaultRingBytes where 0. The newest frame is kept whatever its size.
	RingBytes int
	// HotDistance is the number of changes below the head within which a reader
	// uses the ring; DefaultHotDistance where 0. A reader further back does not
	// fill the ring with what nobody else wants.
	HotDistance uint64
}

// Defaults of Options.
const (
	DefaultRingBytes   = 64 << 20
	DefaultHotDistance = 8192
)

// A Hub is what the readers of one database share: the ring of recent frames,
// and counters. All methods may be called from any number of goroutines.
type Hub struct {
	log    Log
	opts   Options
	atOpen uint64 // the head when the Hub began

	subscribers atomic.Int64
	delivered   atomic.Uint64
	byKind      [0x80]atomic.Uint64

	// fill serialises reading into the ring, and guards tail. It is taken before
	// a frame's mu and before mu.
	fill sync.Mutex
	tail FrameReader // stands after the ring's newest frame; nil where there is none

	mu     sync.Mutex // guards what follows; nothing is taken while it is held
	ring   []*frame   // oldest first. Invariant: each begins where the one before ended
	bytes  int        // what the ring takes
	closed bool
}

// A frame is a commit in the ring. Everything but encoded and size is fixed when
// the frame enters the ring.
type frame struct {
	first, last uint64 // seqs of its first and last change
	chain       uint32
	lineage     change.Lineage
	records     []change.Record // changes only

	mu      sync.Mutex // guards encoded; taken before Hub.mu
	encoded [includeLevels]*encodedFrame

	size   int  // guarded by Hub.mu
	inRing bool // guarded by Hub.mu
}

// An encodedFrame holds the events of a frame at one include level, one for each
// record.
type encodedFrame struct {
	buf    []byte
	events []event
}

// NewHub returns the Hub of log.
func NewHub(log Log, opts Options) *Hub {
	if opts.RingBytes <= 0 {
		opts.RingBytes = DefaultRingBytes
	}
	if opts.HotDistance == 0 {
		opts.HotDistance = DefaultHotDistance
	}
	return &Hub{log: log, opts: opts, atOpen: log.Head().Seq}
}

// Close lets go of the ring. Cursors that are open read on without it. It may be
// called twice.
func (h *Hub) Close() {
	h.fill.Lock()
	defer h.fill.Unlock()
	h.restart()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
}

// Stats counts since the Hub began.
type Stats struct {
	Subscribers int64             // cursors that are open
	Published   uint64            // changes that became visible
	Delivered   uint64            // events that readers got, each reader's counted
	ByType      map[string]uint64 // Delivered by event type
}

// Stats returns the counters.
func (h *Hub) Stats() Stats {
	s := Stats{Subscribers: h.subscribers.Load(), Delivered: h.delivered.Load(), ByType: make(map[string]uint64)}
	if head := h.log.Head().Seq; head > h.atOpen {
		s.Published = head - h.atOpen
	}
	for k := range h.byKind {
		if n := h.byKind[k].Load(); n > 0 {
			s.ByType[change.Kind(k).EventType()] += n
		}
	}
	return s
}

// lookup returns the frame that holds seq, and the seqs that the ring spans; 0, 0
// where it is empty.
func (h *Hub) lookup(seq uint64) (f *frame, first, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.ring)
	if n == 0 {
		return nil, 0, 0
	}
	first, last = h.ring[0].first, h.ring[n-1].last
	if seq < first || seq > last {
		return nil, first, last
	}
	i := sort.Search(n, func(i int) bool { return h.ring[i].last >= seq })
	return h.ring[i], first, last
}

// hot returns the frame that holds next, reading it into the ring if need be, or
// nil where the reader is to read the log itself. next is visible.
func (h *Hub) hot(next, head uint64) (*frame, error) {
	f, first, _ := h.lookup(next)
	if f != nil {
		return f, nil
	}
	if next < first || head-next >= h.opts.HotDistance {
		return nil, nil
	}
	h.fill.Lock()
	defer h.fill.Unlock()
	f, first, last := h.lookup(next) // another reader may have been here
	if f != nil || next < first {
		return f, nil
	}
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return nil, nil
	}
	if h.tail != nil && next == last+1 {
		f, err := h.pull(next)
		if err == nil {
			return f, nil
		}
		// The log may have been trimmed below the reader, or the reader ends
		// where the head was: begin anew.
	}
	h.restart()
	var err error
	if h.tail, err = h.log.ReadLog(next); err != nil {
		h.tail = nil
		return nil, err
	}
	if f, err = h.pull(next); err != nil {
		h.restart()
		return nil, err
	}
	return f, nil
}

// restart empties the ring. The caller holds fill.
func (h *Hub) restart() {
	if h.tail != nil {
		_ = h.tail.Close() // a reader has nothing to lose
		h.tail = nil
	}
	h.mu.Lock()
	for _, f := range h.ring {
		f.inRing = false
	}
	h.ring, h.bytes = nil, 0
	h.mu.Unlock()
}

var errHole = errors.New("the log goes on with a later change than was asked for")

// pull reads the frame that holds next into the ring. The caller holds fill.
func (h *Hub) pull(next uint64) (*frame, error) {
	for {
		in, err := h.tail.Next()
		if err != nil {
			return nil, err
		}
		f := clone(in, h.log.Lineage())
		if f == nil || f.last < next {
			continue
		}
		if f.first > next {
			return nil, errHole
		}
		h.mu.Lock()
		h.ring = append(h.ring, f)
		f.inRing = true
		h.bytes += f.size
		h.evict()
		h.mu.Unlock()
		return f, nil
	}
}

// evict drops the oldest frames while the ring is too large. The caller holds mu.
func (h *Hub) evict() {
	n := 0
	for ; h.bytes > h.opts.RingBytes && n < len(h.ring)-1; n++ {
		h.bytes -= h.ring[n].size
		h.ring[n].inRing = false
		h.ring[n] = nil
	}
	h.ring = h.ring[n:]
}

// frameOverhead is about what a frame and a record take besides their bytes.
const (
	frameOverhead  = 256
	recordOverhead = 96 + 160 // the record, and an event of one include level
)

// clone copies the changes of a frame, in one piece of memory. It returns nil
// where there are none.
func clone(in *Frame, lineage change.Lineage) *frame {
	n, size := 0, 0
	for i := range in.Records {
		if r := &in.Records[i]; !r.Kind.IsControl() {
			n++
			size += len(r.Body) + len(r.Raw)
		}
	}
	if n == 0 {
		return nil
	}
	f := &frame{chain: in.Chain, lineage: slices.Clone(lineage), records: make([]change.Record, 0, n)}
	f.size = size + n*recordOverhead + frameOverhead
	mem := make([]byte, 0, size)
	put := func(b []byte) []byte {
		at := len(mem)
		mem = append(mem, b...)
		return mem[at:len(mem):len(mem)]
	}
	for i := range in.Records {
		r := in.Records[i]
		if r.Kind.IsControl() {
			// Where it ends a group, the change before it does now; of an earlier
			// group that change is the end already.
			if k := len(f.records); k > 0 {
				f.records[k-1].Flags |= r.Flags & change.GroupLast
			}
			continue
		}
		r.Body, r.Raw = put(r.Body), put(r.Raw)
		f.records = append(f.records, r)
	}
	f.first, f.last = f.records[0].Seq, f.records[n-1].Seq
	return f
}

// events returns the events of f at an include level. They are encoded by the
// first reader that asks.
func (h *Hub) events(f *frame, include Include) (*encodedFrame, *change.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if enc := f.encoded[include]; enc != nil {
		return enc, nil
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.reset()
	e.frame(f.lineage, f.chain)
	enc := &encodedFrame{events: make([]event, len(f.records))}
	for i := range f.records {
		r := &f.records[i]
		var err *change.Error
		if isDocument(r.Kind) {
			err = e.decode(r)
		}
		if err == nil {
			enc.events[i], err = e.encode(r, include)
		}
		if err != nil {
			return nil, err
		}
	}
	enc.buf = slices.Clone(e.buf)
	f.encoded[include] = enc
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.size += len(enc.buf); f.inRing {
		h.bytes += len(enc.buf)
		h.evict()
	}
	return enc, nil
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// atEnd reports whether err says that there is nothing more to read now.
func atEnd(err error) bool { return errors.Is(err, io.EOF) }
