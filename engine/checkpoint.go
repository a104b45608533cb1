package engine

import (
	"sync"
	"sync/atomic"
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
	ended  time.Time

	cost replayCost
}

// A replayCost estimates how long a restart would replay: as long as the commits
// since the last checkpoint have taken, which a replay applies by the same code. It
// analyses their texts beside that, as live writes do.
type replayCost struct {
	applying  atomic.Int64 // ns, of commits since the last checkpoint
	analysing atomic.Int64 // ns, on some other processor
}

func (c *replayCost) estimate() time.Duration {
	return time.Duration(max(c.applying.Load(), c.analysing.Load()/replayHelpers()))
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
	applying, analysing := c.cost.applying.Load(), c.cost.analysing.Load()
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
	c.at, c.bytes, c.took, c.ended = stamp, bytes, time.Since(start), time.Now()
	c.count++
	c.cost.applying.Add(-applying)
	c.cost.analysing.Add(-analysing)
	return nil
}

// due reports whether a restart would replay for too long. A checkpoint may take half
// of the time at most: where a device is so slow that it would take more, restarts
// are.
func (db *DB) checkpointDue() bool {
	c := &db.check
	c.mu.Lock()
	bytes, took, ended := c.bytes, c.took, c.ended
	c.mu.Unlock()
	return db.log.Stats().BytesWritten-bytes >= db.opts.CheckpointBytes ||
		c.cost.estimate() >= db.opts.RecoveryTarget && time.Since(ended) >= took
}

func (db *DB) startCheckpoints() {
	if db.opts.CheckpointInterval < 0 {
		return
	}
	db.check.bytes = db.log.Stats().BytesWritten
	db.check.at = db.rows.Durable()
	db.check.cost.applying.Store(int64(db.recovery.ReplayMS * 1e6))
	db.tasks.Go(func() {
		t := time.NewTicker(min(checkpointTick, db.opts.CheckpointInterval, db.opts.RecoveryTarget/4+1))
		defer t.Stop()
		last, trimmed := time.Now(), time.Now()
		var retry time.Duration // how long after one that failed the next is made
		for {
			select {
			case <-db.stop:
				return
			case <-t.C:
			}
			due := db.checkpointDue()
			if time.Since(last) >= db.opts.CheckpointInterval {
				db.check.mu.Lock()
				due = due || db.check.at.Less(db.visible.Load().Stamp)
				db.check.mu.Unlock()
				last = time.Now()
			}
			if db.Err() != nil {
				continue
			}
			if !due {
				if time.Since(trimmed) >= trimEvery {
					db.trimLog()
					trimmed = time.Now()
				}
				continue
			}
			if time.Since(last) < retry {
				continue
			}
			if err := db.Checkpoint(); err != nil {
				retry = min(max(2*retry, time.Second), db.opts.CheckpointInterval)
				db.opts.Logger.Error("checkpoint failed; the log keeps what it would have made durable", "err", err, "again_in", retry)
			} else {
				retry = 0
			}
			last = time.Now()
			db.trimLog()
			trimmed = time.Now()
		}
	})
}

func (db *DB) trimLog() {
	if _, err := db.Trim(db.opts.Retention); err != nil {
		db.opts.Logger.Error("the log could not be trimmed", "err", err)
	}
}

// trimEvery is how often is looked what has become too old, where no checkpoint is
// made.
const trimEvery = 30 * time.Second

// checkpointTick is how often is looked whether a checkpoint is due, at least.
const checkpointTick = 250 * time.Millisecond
