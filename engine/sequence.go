package engine

import (
	"fmt"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// Limits of an atomic group and of a frame. A frame closes at frameBytes or
// frameRecords unless a single group is larger; a group is never split.
const (
	MaxGroupChanges = 10_000
	MaxGroupBytes   = 16 << 20
	frameBytes      = 4 << 20
	frameRecords    = 4096
)

// resolutionRoom is what the sequencer's part of a change takes where the
// document is new, or what it replaces has little metadata.
const resolutionRoom = 128

// recentSlots is the size of the table that says when a document may last have
// been changed. 64 Ki slots of 8 bytes: with a few thousand writes in flight a
// false hit, which costs one read of the store, is rare.
const recentSlots = 1 << 16

type docRef struct {
	lib uint32
	id  string
}

// A pendingDoc is what a write that is not applied yet makes of a document: a
// row, or a record to make it from when somebody asks; neither where it deletes.
type pendingDoc struct {
	ticket uint64
	id     string // the map's key has it: memory of its own, while an Op's id is its caller's
	row    *docRow
	rec    *change.Record
}

type sourceRef struct {
	lib  uint32
	name string
}

// A sequencer decides the order. Its methods are called by one goroutine at a
// time (stage 1 of the pipeline).
//
// It knows the state as of the last change that it assigned: libs is exact, and
// a document is looked up first in inflight, which holds what is assigned and
// not yet applied, then in the store.
//
// Tickets count the frames that were prepared. recent maps the hash of a
// document to the ticket of the last frame that changed a document of that
// hash, so that a document row which a caller read when ticket T was applied is
// still right if recent of its hash is at most T.
type sequencer struct {
	db *DB

	nextSeq uint64 // Invariant: the seq that the next change gets
	time    int64  // of the last frame; never falls
	nextLib uint32
	libs    map[string]*libRow

	ticket   uint64
	inflight map[docRef]pendingDoc
	order    []pendingKey // keys of inflight, by ticket
	recent   []uint64
	once     map[string]pendingOnce
	sources  map[sourceRef]pendingSource

	// The frame being built.
	recs  []change.Record
	bytes int
	undo  []undo
	saved []savedLibrary // library rows as they were before the group

	resolution []byte // scratch of change
}

type savedLibrary struct {
	lib *libRow
	was libRow
}

func (s *sequencer) saveLibrary(lib *libRow) {
	for i := range s.saved {
		if s.saved[i].lib == lib {
			return
		}
	}
	s.saved = append(s.saved, savedLibrary{lib, *lib})
}

type pendingKey struct {
	ticket uint64
	doc    docRef
	once   string
	source sourceRef
}

type pendingOnce struct {
	ticket uint64
	answer *change.Idempotency
}

type pendingSource struct {
	ticket uint64
	lines  uint64
}

// An undo puts back one thing that a group has moved, should the group fail.
type undo struct {
	doc    docRef
	before pendingDoc
	had    bool
	fn     func()
}

// prepare is stage 1: it takes requests for one frame.
func (s *sequencer) prepare(reqs []*wal.Request[*Pending]) (n int, recs []change.Record, commitTime int64) {
	s.prune()
	s.ticket++
	s.time = max(s.time, s.db.opts.Now().UnixMicro())
	s.recs, s.bytes = nil, 0
	for n < len(reqs) {
		p := reqs[n].Value
		if n > 0 && (s.bytes+p.size > frameBytes || len(s.recs)+len(p.group.Ops) > frameRecords) {
			break
		}
		s.group(p)
		n++
	}
	if len(s.recs) == 0 {
		s.ticket--
	}
	return n, s.recs, s.time
}

// prune forgets what has been applied meanwhile.
func (s *sequencer) prune() {
	done := s.db.appliedTicket.Load()
	i := 0
	for ; i < len(s.order) && s.order[i].ticket <= done; i++ {
		k := &s.order[i]
		switch {
		case k.once != "":
			if s.once[k.once].ticket == k.ticket {
				delete(s.once, k.once)
			}
		case k.source.name != "":
			if s.sources[k.source].ticket == k.ticket {
				delete(s.sources, k.source)
			}
		default:
			if s.inflight[k.doc].ticket == k.ticket {
				delete(s.inflight, k.doc)
			}
		}
	}
	s.order = append(s.order[:0], s.order[i:]...)
}

// group sequences one group: all of it goes into the frame, or nothing.
func (s *sequencer) group(p *Pending) {
	if err := s.db.writable(); err != nil {
		p.err = err
		return
	}
	if err := s.db.room(p.group); err != nil {
		p.err = err
		return
	}
	firstRec, firstBytes, firstSeq := len(s.recs), s.bytes, s.nextSeq
	s.undo, s.saved = s.undo[:0], s.saved[:0]
	err := s.groupRecords(p)
	if err == nil && len(s.recs)-firstRec > MaxGroupChanges {
		err = change.Errorf(change.TooLarge, "a group has %d changes, the limit is %d", len(s.recs)-firstRec, MaxGroupChanges).With("limit", MaxGroupChanges)
	}
	if err == nil && s.bytes-firstBytes > MaxGroupBytes {
		err = change.Errorf(change.TooLarge, "a group takes %d bytes in the log, the limit is %d", s.bytes-firstBytes, MaxGroupBytes).With("limit", MaxGroupBytes)
	}
	if err != nil {
		for i := len(s.undo) - 1; i >= 0; i-- {
			s.revert(&s.undo[i])
		}
		for i := range s.saved {
			*s.saved[i].lib = s.saved[i].was
		}
		s.recs, s.bytes, s.nextSeq = s.recs[:firstRec], firstBytes, firstSeq
		p.err = err
		return
	}
	if n := len(s.recs); n > firstRec {
		s.recs[firstRec].Flags |= change.GroupFirst
		s.recs[n-1].Flags |= change.GroupLast
	}
	if s.nextSeq > firstSeq {
		p.receipt.FirstSeq, p.receipt.LastSeq = firstSeq, s.nextSeq-1
	}
}

func (s *sequencer) revert(u *undo) {
	switch {
	case u.fn != nil:
		u.fn()
	case u.had:
		s.inflight[u.doc] = u.before
	default:
		delete(s.inflight, u.doc)
	}
}

func (s *sequencer) groupRecords(p *Pending) *change.Error {
	g := p.group
	if g.Once != nil {
		if done, err := s.remembered(p); done || err != nil {
			return err
		}
	}
	if g.Source != nil {
		if err := s.checkSource(g.Source); err != nil {
			return err
		}
	}
	outcomes := make([]Outcome, len(g.Ops))
	for i := range g.Ops {
		err := g.Ops[i].prep.err
		if err == nil {
			from := len(s.recs)
			if err = s.op(&g.Ops[i], &outcomes[i]); err == nil && p.ahead != nil && g.Ops[i].Kind == OpPut && len(s.recs) > from {
				s.recs[from].Ahead = wordsAhead{p.ahead, i}
			}
		}
		if err == nil {
			continue
		}
		// A fault that may pass is not the op's own: left out, its line would be
		// taken for bad, and a source would go past it.
		if g.Atomic || err.Transient() {
			return operationError(err, i, len(g.Ops))
		}
		outcomes[i] = Outcome{Result: Failed, Err: err, ID: g.Ops[i].ID}
	}
	if g.lib != nil {
		if err := s.library(g.lib); err != nil {
			return err
		}
		lib, err := g.lib.row.library()
		if err != nil {
			return internalError(err)
		}
		outcomes = []Outcome{{Result: Updated, ID: g.lib.id, Seq: lib.Seq, CreatedAt: lib.CreatedAt, UpdatedAt: lib.UpdatedAt, Library: lib}}
	}
	p.receipt.Outcomes = outcomes
	for i := range g.control {
		rec, err := g.control[i].make(s)
		if err != nil {
			return err
		}
		s.add(rec)
	}
	if g.Source != nil {
		s.moveSource(g.Source)
	}
	if g.Once != nil {
		s.remember(g.Once, outcomes)
	}
	return nil
}

// operationError names the operation of a batch that failed.
func operationError(err *change.Error, i, n int) *change.Error {
	if n == 1 {
		return err
	}
	e := *err
	e.Extra = map[string]any{"operation": i}
	for k, v := range err.Extra {
		e.Extra[k] = v
	}
	e.Detail = fmt.Sprintf("operation %d: %s", i, err.Detail)
	return &e
}

// add puts a record into the frame and, for a change, gives it the next seq.
func (s *sequencer) add(r change.Record) *change.Record {
	if !r.Kind.IsControl() {
		r.Seq = s.nextSeq
		s.nextSeq++
	}
	s.bytes += r.Size()
	s.recs = append(s.recs, r)
	return &s.recs[len(s.recs)-1]
}
