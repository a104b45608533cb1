package engine

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

// InFlight returns how many documents the sequencer holds as assigned and not
// yet known to be applied. Nothing may be written meanwhile.
func (db *DB) InFlight() int { return len(db.seq.inflight) }
