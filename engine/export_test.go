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
