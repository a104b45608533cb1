package engine

import (
	"context"
	"sync"

	"github.com/arrwdb/arrwdb/change"
)

// sourceLocks lets one upload of a source run at a time.
type sourceLocks struct {
	mu   sync.Mutex
	held map[sourceRef]bool
}

// LockSource takes the right to upload a source of a library, until release is
// called. It reports false while another upload holds it.
func (db *DB) LockSource(lib *Library, name string) (release func(), ok bool) {
	ref := sourceRef{lib.Num, name}
	l := &db.sources
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[ref] {
		return nil, false
	}
	if l.held == nil {
		l.held = map[sourceRef]bool{}
	}
	l.held[ref] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, ref)
	}, true
}

// DeleteSource forgets how far an upload source has been taken.
func (db *DB) DeleteSource(ctx context.Context, lib, name string) (*Receipt, error) {
	return db.Commit(ctx, &Group{Atomic: true, control: []controlOp{{make: func(s *sequencer) (change.Record, *change.Error) {
		row := s.libs[lib]
		if row == nil {
			return change.Record{}, libraryNotFound(lib)
		}
		s.setSource(row.Num, name, 0)
		c := change.Source{Time: s.time, LibraryID: lib, Name: name}
		return change.Record{Kind: change.ControlSourceDeleted, Library: row.Num, Body: c.Encode()}, nil
	}}}})
}
