package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/index/search"
	"github.com/arrwdb/arrwdb/wal"
	"github.com/cockroachdb/pebble/v2"
)

// A DB is an open database. Its methods may be called from any goroutine.
//
// The watermarks, each only moving forward:
//
//	assigned  the sequencer's nextSeq-1; never shown
//	durable   log.Durable(); moved by the log after each sync
//	applied   store.at; moved by stage 3, one commit at a time
//	visible   the pointer visible; moved by stage 3 after applied
//	earliest  log.Earliest()
//
// Invariant: visible <= min(durable, applied), durable <= assigned.
type DB struct {
	opts Options
	dir  string
	// mapped says that files are the operating system's, and can be mapped.
	mapped bool
	disk   *diskGuard
	lock   *dirLock
	store  *pebble.DB
	rows   *rows.Store
	log    *wal.Log

	pipeline   *wal.Pipeline[*Pending]
	seq        *sequencer
	view       *storeView
	rowsView   *rowsView
	searchView *searchView
	searched   sync.Map // library number → *searched

	// appliedTicket is the sequencer's ticket of the last applied frame.
	appliedTicket atomic.Uint64
	applying      commit // used again from frame to frame, by stage 3

	visible atomic.Pointer[visibleState]
	wake    atomic.Pointer[chan struct{}]

	libs sync.Map // library id → *libraryInfo, as applied
	nums sync.Map // library number → id, deleted ones too

	keys apiKeys

	// applyMu is held while a commit is applied, and by a checkpoint while it
	// takes its cut.
	applyMu sync.Mutex
	// failed is set for good when applying failed: what is durable is no longer
	// what is visible, so writes are refused until a restart replays the log.
	failed atomic.Pointer[error]
	closed atomic.Bool
	stop   chan struct{}
	// ctx ends with stop, for what the database does on nobody's behalf.
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	// readers are the snapshots that are open, and the callers that read the store
	// ahead of the sequencer.
	readers gate
	sources sourceLocks
	holds   holds
	// trimming is held by whoever trims the log.
	trimming sync.Mutex
	opened   struct{ wall, mono time.Time }
	counts   publishedCounts

	lineage  change.Lineage
	recovery Recovery
	check    checkpointer
}

// A visibleState is what readers may see.
type visibleState struct {
	change.Stamp
	chain uint32
}

// A libraryInfo is what callers need to know of a library before the sequencer
// sees their write. It never changes once it is made.
type libraryInfo struct {
	num       uint32
	metric    string
	embedding EmbeddingSettings
	chunking  ChunkingSettings
	settings  *Library
	analyzer  *analysis.Analyzer
	texts     *search.TextAnalysis
}

func (db *DB) library(id string) *libraryInfo {
	if v, ok := db.libs.Load(id); ok {
		return v.(*libraryInfo)
	}
	return nil
}

// HasLibrary reports whether there is a library of that id.
func (db *DB) HasLibrary(id string) bool { return db.library(id) != nil }

// A Pending is a group on its way.
type Pending struct {
	group   *Group
	size    int
	err     *change.Error
	receipt Receipt
	req     wal.Request[*Pending]
	done    bool // failed before it was queued
	ahead   *textsAhead
}

// Submit embeds what has to be embedded, queues a group and returns. Groups that one goroutine submits
// commit in that order. The caller leaves the group's documents unchanged until
// Wait has returned.
func (db *DB) Submit(g *Group) *Pending {
	p := &Pending{group: g}
	if db.begin(db.ctx, p) {
		db.pipeline.Submit(&p.req)
	}
	return p
}

// begin validates and encodes the group. It reports whether there is anything
// to queue.
func (db *DB) begin(ctx context.Context, p *Pending) bool {
	if err := db.writable(); err != nil {
		p.err, p.done = err, true
		return false
	}
	if !db.readers.enter() {
		p.err, p.done = closedError(), true
		return false
	}
	db.prepareGroup(ctx, p)
	db.readers.leave()
	if p.group.Atomic {
		for i := range p.group.Ops {
			if err := p.group.Ops[i].prep.err; err != nil {
				p.err, p.done = operationError(err, i, len(p.group.Ops)), true
				return false
			}
		}
	}
	db.analyse(p)
	p.req.Value = p
	return true
}

// Wait waits until the group is durable and visible, or has failed. The error
// is a *change.Error. A context that ends first makes it OutcomeUnknown: the
// group may still be committed.
func (p *Pending) Wait(ctx context.Context) (*Receipt, error) {
	if !p.done {
		if err := p.req.Wait(ctx); err != nil {
			p.ahead.wait()
			return nil, &change.Error{Code: change.OutcomeUnknown, Detail: "the request ended before its write was durable; read it by id, or repeat it", Err: err}
		}
	}
	p.ahead.wait()
	if p.err != nil {
		return nil, p.err
	}
	return &p.receipt, nil
}

// Commit submits a group and waits for it.
func (db *DB) Commit(ctx context.Context, g *Group) (*Receipt, error) {
	p := &Pending{group: g}
	if db.begin(ctx, p) {
		db.pipeline.Do(&p.req)
	}
	return p.Wait(ctx)
}

// writable returns why writes are refused, or nil.
func (db *DB) writable() *change.Error {
	if db.closed.Load() {
		return &change.Error{Code: change.ShuttingDown, Detail: "the server is shutting down; nothing of this request was written", Err: ErrClosed}
	}
	if err := db.Err(); err != nil {
		return &change.Error{Code: change.ReadOnly, Detail: "the change log failed and takes no more writes; reads go on; a restart recovers what was acknowledged", Err: err}
	}
	return nil
}

// Err returns why writes are refused for good, or nil: a failed write or sync
// of the log, or a commit that could not be applied.
func (db *DB) Err() error {
	if err := db.failed.Load(); err != nil {
		return *err
	}
	return db.log.Err()
}

// apply is stage 3 of the pipeline.
func (db *DB) apply(reqs []*wal.Request[*Pending], recs []change.Record, end wal.End) {
	if len(recs) > 0 {
		awaitWords(recs) // under no lock: nobody waits with us
		if err := db.applyCommit(recs, end); err != nil {
			db.fail(err)
		}
	}
	if db.failed.Load() != nil {
		db.refuse(reqs, *db.failed.Load())
		return
	}
	head := db.Head()
	for _, r := range reqs {
		p := r.Value
		switch {
		case p.err != nil:
		case p.receipt.LastSeq == 0:
			p.receipt.Position = head
		default:
			p.receipt.Position = change.Position{Epoch: db.lineage.Current(), Seq: p.receipt.LastSeq, Check: end.Chain, HasCheck: true}
		}
	}
}

func (db *DB) applyCommit(recs []change.Record, end wal.End) error {
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	if db.failed.Load() != nil {
		return *db.failed.Load()
	}
	start := time.Now()
	defer func() { db.check.cost.applying.Add(int64(time.Since(start))) }()
	c := &db.applying
	c.stamp, c.chain, c.time, c.records = end.Stamp, end.Chain, end.Time, recs
	if err := decodeCommit(c); err != nil {
		return err
	}
	if err := db.applyViews(c); err != nil {
		return err
	}
	db.counts.add(recs)
	c.records = nil
	db.appliedTicket.Add(1)
	db.show(visibleState{Stamp: end.Stamp, chain: end.Chain})
	return nil
}

// views are the views in the order in which they take a commit.
func (db *DB) views() []view { return []view{db.rowsView, db.view, db.searchView} }

// applyViews gives a commit to each view that does not contain it.
func (db *DB) applyViews(c *commit) error {
	// Whoever searches a library sees the same commits in all views. Upkeep takes
	// these locks too, also while the log is replayed.
	db.searchView.lock(c)
	defer db.searchView.unlock()
	for _, v := range db.views() {
		if !v.stamp().Less(c.stamp) {
			continue
		}
		if err := v.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// show moves visible and wakes the readers.
func (db *DB) show(v visibleState) {
	db.visible.Store(&v)
	if ch := db.wake.Swap(nil); ch != nil {
		close(*ch)
	}
}

func (db *DB) fail(err error) {
	db.failed.CompareAndSwap(nil, &err)
	db.opts.Logger.Error("a commit could not be applied; writes are refused until a restart", "err", err)
}

// refuse tells the writers of a frame that nobody knows what became of it.
func (db *DB) refuse(reqs []*wal.Request[*Pending], err error) {
	for _, r := range reqs {
		if p := r.Value; p.err == nil {
			p.err = &change.Error{Code: change.OutcomeUnknown, Detail: "the change log failed during this write; it may or may not be kept: read it by id, or repeat it with its id or Idempotency-Key", Err: err}
		}
	}
}

// Head returns the newest visible position, with its check.
func (db *DB) Head() change.Position {
	v := db.visible.Load()
	return change.Position{Epoch: db.lineage.At(v.Seq), Seq: v.Seq, Check: v.chain, HasCheck: true}
}

// DurableSeq returns the newest durable seq.
func (db *DB) DurableSeq() uint64 { return db.log.Durable().Seq }

// EarliestSeq returns the oldest seq that is still in the log.
func (db *DB) EarliestSeq() uint64 { return db.log.Earliest() }

// Lineage returns the epochs of this database, oldest first.
func (db *DB) Lineage() change.Lineage { return db.lineage }

// Notify returns a channel that is closed when visible moves next. Take it
// before looking at Head, so that no move is missed.
func (db *DB) Notify() <-chan struct{} {
	for {
		if ch := db.wake.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if db.wake.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// WaitVisible waits until seq is visible.
func (db *DB) WaitVisible(ctx context.Context, seq uint64) error {
	for {
		ch := db.Notify()
		if db.visible.Load().Seq >= seq {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		case <-db.stop:
			return ErrClosed
		}
	}
}

// CheckPosition says whether p lies in this database's history, at or below its
// head: nil, or Diverged, Ahead.
func (db *DB) CheckPosition(p change.Position) *change.Error {
	common, ok := db.lineage.Common(p.Epoch, p.Seq)
	if !ok {
		return change.Errorf(change.Diverged, "position %s belongs to another history than this database's (epoch %s)", p, db.lineage.Current()).With("common_seq", common)
	}
	head := db.visible.Load().Seq
	if p.Seq > head {
		return change.Errorf(change.Ahead, "position %s is past the head, seq %d", p, head).With("head_seq", head)
	}
	if !p.HasCheck {
		return nil
	}
	chain, err := db.log.ChainAt(p.Seq)
	var expired *wal.ExpiredError
	if errors.As(err, &expired) {
		return nil // too old to be checked; a reader that starts there is told offset_expired
	}
	if err != nil {
		return internalError(err)
	}
	if chain != p.Check {
		return change.Errorf(change.Diverged, "position %s carries check %08x, this database has %08x at that seq: files were put back by hand, or it is another copy", p, p.Check, chain).With("common_seq", 0)
	}
	return nil
}

// PositionAt returns the position after the change seq, with its check. It
// fails with OffsetExpired or Ahead.
func (db *DB) PositionAt(seq uint64) (change.Position, error) {
	v := db.visible.Load()
	if seq == v.Seq {
		return db.Head(), nil
	}
	if seq > v.Seq {
		return change.Position{}, change.Errorf(change.Ahead, "seq %d is past the head, %d", seq, v.Seq).With("head_seq", v.Seq)
	}
	chain, err := db.log.ChainAt(seq)
	if err != nil {
		return change.Position{}, db.logError(err)
	}
	return change.Position{Epoch: db.lineage.At(seq), Seq: seq, Check: chain, HasCheck: true}, nil
}

func (db *DB) logError(err error) error {
	var expired *wal.ExpiredError
	if !errors.As(err, &expired) {
		return internalError(err)
	}
	head := db.Head()
	return change.Errorf(change.OffsetExpired, "the log begins at seq %d; what is older has been trimmed", expired.Earliest).
		With("earliest_seq", expired.Earliest).With("head_seq", head.Seq).With("epoch", head.Epoch)
}

// A LogReader reads the frames of the log in order.
type LogReader struct {
	db *DB
	r  *wal.Reader
}

// ReadLog returns a reader whose first frame is the one that holds the first
// change with a seq of at least from. It fails with OffsetExpired.
func (db *DB) ReadLog(from uint64) (*LogReader, error) {
	r, err := db.log.NewReader(wal.ReaderStart{Seq: max(from, 1)})
	if err != nil {
		return nil, db.logError(err)
	}
	return &LogReader{db: db, r: r}, nil
}

// Next returns the next visible frame. At the head it returns io.EOF: call it
// again after Notify. Trimmed away meanwhile, it fails with OffsetExpired.
func (r *LogReader) Next() (*wal.Frame, error) {
	f, err := r.r.Next(r.db.visible.Load().Commit)
	var expired *wal.ExpiredError
	if errors.As(err, &expired) {
		return nil, r.db.logError(err)
	}
	return f, err
}

// Close ends the reader.
func (r *LogReader) Close() error { return r.r.Close() }
