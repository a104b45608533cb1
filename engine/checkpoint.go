package engine

import (
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// A checkpointer makes every view durable now and then, so that a restart does
// not replay for long.
type checkpointer struct {
	making sync.Mutex // one checkpoint at a time; before mu
	mu     sync.Mutex // guards the rest, and is never held for long
	at     change.Stamp
	bytes  int64 // of log written when the last one was made
	count  uint64
	took   time.Duration
}

// Checkpoint makes every view durable as of a commit at or past the one that is
// visible when it is called. Writes go on meanwhile.
func (db *DB) Checkpoint() error {
	c := &db.check
	c.making.Lock()
	defer c.making.Unlock()
	if err := db.Err(); err != nil {
		return err
	}
	start := time.Now()
	bytes := db.log.Stats().BytesWritten
	// The cut: no commit is being applied, so the rows hold exactly what the
	// stamp says.
	db.applyMu.Lock()
	stamp := db.rowsView.at
	cut, err := db.rows.Cut(stamp)
	if err != nil {
		db.applyMu.Unlock()
		return err
	}
	indexes := db.searchView.cut()
	db.applyMu.Unlock()
	if err := cut.Commit(); err != nil {
		return err
	}
	if err := db.store.Flush(); err != nil {
		return err
	}
	// Last: a snapshot of an index that is ahead of the row files is of no use.
	if err := db.searchView.save(indexes); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.bytes, c.took = stamp, bytes, time.Since(start)
	c.count++
	return nil
}

func (db *DB) startCheckpoints() {
	if db.opts.CheckpointInterval < 0 {
		return
	}
	const tick = 250 * time.Millisecond
	db.check.bytes = db.log.Stats().BytesWritten
	db.check.at = db.rows.Durable()
	db.tasks.Go(func() {
		t := time.NewTicker(min(tick, db.opts.CheckpointInterval))
		defer t.Stop()
		last := time.Now()
		for {
			select {
			case <-db.stop:
				return
			case <-t.C:
			}
			db.check.mu.Lock()
			at, bytes := db.check.at, db.check.bytes
			db.check.mu.Unlock()
			due := db.log.Stats().BytesWritten-bytes >= db.opts.CheckpointBytes
			if time.Since(last) >= db.opts.CheckpointInterval {
				due = due || at.Less(db.visible.Load().Stamp)
				last = time.Now()
			}
			if !due || db.Err() != nil {
				continue
			}
			last = time.Now()
			if err := db.Checkpoint(); err != nil {
				db.opts.Logger.Error("checkpoint failed; the log keeps what it would have made durable", "err", err)
			}
		}
	})
}
