package engine

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// Defaults of Retention.
const (
	DefaultRetentionAge      = 7 * 24 * time.Hour
	DefaultRetentionMinBytes = 1 << 30
)

// RetainForever as Retention.Age keeps the log whatever its age.
const RetainForever time.Duration = -1

// Retention says what of the log may be trimmed: segments that are older than Age and
// not part of the newest MinBytes, and the oldest ones while the log is larger than
// MaxBytes. What a view, a rebuild or a reader that may hold the log back still needs
// is never trimmed.
type Retention struct {
	Age      time.Duration // 0 is the default, below 0 forever
	MinBytes int64         // 0 is the default, below 0 none
	MaxBytes int64         // 0 is no limit
}

func (r Retention) withDefaults() Retention {
	if r.Age == 0 {
		r.Age = DefaultRetentionAge
	}
	if r.MinBytes == 0 {
		r.MinBytes = DefaultRetentionMinBytes
	}
	if r.MaxBytes > 0 {
		r.MinBytes = min(r.MinBytes, r.MaxBytes)
	}
	return r
}

// expired returns the commit before which the log may be trimmed, as far as the
// policy goes.
func (r Retention) expired(spans []wal.SegmentSpan, now time.Time) (before uint64) {
	var left int64
	for _, s := range spans {
		left += s.Bytes
	}
	for _, s := range spans[:len(spans)-1] {
		over := r.MaxBytes > 0 && left > r.MaxBytes
		left -= s.Bytes
		old := r.Age >= 0 && now.Sub(time.UnixMicro(s.EndTime)) > r.Age && left >= r.MinBytes
		if !over && !old {
			break
		}
		before = s.LastCommit + 1
	}
	return before
}

// A LogHold keeps the log behind a commit from being trimmed.
type LogHold struct {
	db   *DB
	name string
	at   change.Stamp
}

// holds are those that somebody has taken.
type holds struct {
	mu  sync.Mutex
	all map[*LogHold]bool
}

// hold keeps what follows a commit that is visible. Whoever reads durable stamps reads
// them before the holds: a hold that it does not see is not below these stamps.
func (db *DB) hold(name string, at change.Stamp) *LogHold {
	h := &LogHold{db: db, name: name, at: at}
	db.holds.mu.Lock()
	defer db.holds.mu.Unlock()
	if db.holds.all == nil {
		db.holds.all = map[*LogHold]bool{}
	}
	db.holds.all[h] = true
	return h
}

// Release lets the log go.
func (h *LogHold) Release() {
	h.db.holds.mu.Lock()
	defer h.db.holds.mu.Unlock()
	delete(h.db.holds.all, h)
}

// A Holder is who keeps the log from being trimmed.
type Holder struct {
	Name  string `json:"name"`
	Seq   uint64 `json:"seq"` // up to which it needs nothing
	Bytes int64  `json:"bytes"`

	at change.Stamp
}

// holders returns who needs the log, and from where.
func (db *DB) holders() ([]Holder, error) {
	store, err := db.durableStore()
	if err != nil {
		return nil, err
	}
	all := []Holder{
		{Name: "store", at: store},
		{Name: "vectors", at: db.rows.Durable()},
		{Name: "search indexes", at: *db.searchView.durable.Load()},
	}
	db.holds.mu.Lock()
	defer db.holds.mu.Unlock()
	for h := range db.holds.all {
		all = append(all, Holder{Name: h.name, at: h.at})
	}
	for i := range all {
		all[i].Seq = all[i].at.Seq
	}
	return all, nil
}

// durableStore returns the stamp that the store would come back at.
func (db *DB) durableStore() (change.Stamp, error) {
	it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: keyApplied, UpperBound: append(append([]byte(nil), keyApplied...), 0), OnlyReadGuaranteedDurable: true})
	if err != nil {
		return change.Stamp{}, err
	}
	var at applied
	if it.First() {
		var val []byte
		if val, err = it.ValueAndErr(); err == nil {
			at, err = decodeApplied(val)
		}
	}
	return at.Stamp, errors.Join(err, it.Error(), it.Close())
}

// A TrimResult says what trimming has removed, and who kept more from being removed.
type TrimResult struct {
	Segments int
	Bytes    int64
	Earliest uint64
	Holders  []Holder
}

// Trim removes what the policy lets go of the log, and nobody needs.
func (db *DB) Trim(r Retention) (*TrimResult, error) {
	db.trimming.Lock()
	defer db.trimming.Unlock()
	if err := db.Err(); err != nil {
		return nil, err
	}
	before, holders, err := db.trimmable(r.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("what may be trimmed of the log is not known: %w", err)
	}
	for _, h := range holders {
		before = min(before, h.at.Commit+1)
	}
	res := &TrimResult{Holders: holders}
	res.Segments, res.Bytes, err = db.log.Trim(before)
	res.Earliest = db.log.Earliest()
	if res.Segments > 0 {
		db.opts.Logger.Info("the log was trimmed", "segments", res.Segments, "bytes", res.Bytes, "earliest_seq", res.Earliest)
	}
	return res, err
}

// trimmable returns up to where the policy lets the log go, and who needs how much of
// that.
func (db *DB) trimmable(r Retention) (before uint64, all []Holder, err error) {
	if all, err = db.holders(); err != nil {
		return 0, nil, err
	}
	spans := db.log.Segments()
	before = r.expired(spans, db.trustedNow())
	for i := range all {
		for _, s := range spans {
			if s.LastCommit < before && s.LastCommit > all[i].at.Commit {
				all[i].Bytes += s.Bytes
			}
		}
	}
	return before, all, nil
}

// clockSlack is how far the clock may run ahead of the time that has passed since the
// start.
const clockSlack = time.Minute

// trustedNow returns the time by which ages are judged: a clock that jumps ahead does
// not make the log old.
func (db *DB) trustedNow() time.Time {
	now := db.opts.Now()
	if most := db.opened.wall.Add(time.Since(db.opened.mono) + clockSlack); now.After(most) {
		return most
	}
	return now
}

// RetentionStatus says what keeps the log.
type RetentionStatus struct {
	AgeSeconds float64  `json:"age_s"` // -1: forever
	MinBytes   int64    `json:"min_bytes"`
	MaxBytes   int64    `json:"max_bytes"` // 0: no limit
	Holders    []Holder `json:"holders"`
	Error      *string  `json:"error,omitempty"`
}

func (db *DB) retentionStatus() RetentionStatus {
	r := db.opts.Retention
	s := RetentionStatus{AgeSeconds: r.Age.Seconds(), MinBytes: max(r.MinBytes, 0), MaxBytes: r.MaxBytes}
	if r.Age < 0 {
		s.AgeSeconds = -1
	}
	_, all, err := db.trimmable(r)
	s.Holders = all
	if err != nil {
		e := err.Error()
		s.Error = &e
	}
	return s
}
