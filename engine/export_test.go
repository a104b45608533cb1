package engine

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// FlushStore makes the store durable, and no other view.
func (db *DB) FlushStore() error { return db.store.Flush() }

// FlushRows makes the row files durable, and no other view.
func (db *DB) FlushRows() error {
	db.applyMu.Lock()
	cut, err := db.rows.Cut(db.rowsView.at)
	db.applyMu.Unlock()
	if err != nil {
		return err
	}
	return cut.Commit()
}

// FlushSearch makes the search indexes durable, and no other view.
func (db *DB) FlushSearch() error {
	db.check.making.Lock()
	defer db.check.making.Unlock()
	db.applyMu.Lock()
	cut := db.searchView.cut()
	db.applyMu.Unlock()
	return db.searchView.save(cut)
}

// DurableStamps returns how far each view of the database in dir is durable, as
// the next start will find it. It may change the files.
func DurableStamps(fs vfs.FS, dir string) (inRows, inStore change.Stamp, err error) {
	o := Options{FS: fs}.withDefaults()
	db := &DB{opts: o, dir: dir}
	if err := db.openRows(); err != nil {
		return inRows, inStore, err
	}
	inRows = db.rowsView.at
	if err := db.rows.Close(); err != nil {
		return inRows, inStore, err
	}
	if err := db.openStore(); err != nil {
		return inRows, inStore, err
	}
	return inRows, db.view.at.Stamp, db.store.Close()
}

// DurableStamp is the end of the log.
func (db *DB) DurableStamp() change.Stamp { return db.log.Durable().Stamp }

// InFlight returns how many documents the sequencer holds as assigned and not
// yet known to be applied. Nothing may be written meanwhile.
func (db *DB) InFlight() int { return len(db.seq.inflight) }
