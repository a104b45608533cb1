package engine

import (
	"encoding/json"
	"errors"

	"github.com/arrwdb/arrwdb/change"
	"github.com/cockroachdb/pebble/v2"
)

// A libraryOp creates, updates or deletes a library.
type libraryOp struct {
	kind  change.Kind
	id    string
	spec  *LibrarySettings // of LibraryCreated: validated and complete
	patch *LibraryPatch    // of LibraryUpdated

	row libRow // what became of it
}

func (s *sequencer) library(op *libraryOp) *change.Error {
	row := s.libs[op.id]
	switch op.kind {
	case change.LibraryCreated:
		if row != nil {
			return change.Errorf(change.AlreadyExists, "library %q exists", op.id)
		}
		return s.createLibrary(op)
	case change.LibraryUpdated:
		if row == nil {
			return libraryNotFound(op.id)
		}
		return s.updateLibrary(op, row)
	}
	if row == nil {
		return libraryNotFound(op.id)
	}
	_, settings, err := row.settings()
	if err != nil {
		return internalError(err)
	}
	c := change.LibraryChange{Time: s.time, CreatedAt: row.CreatedAt, ID: op.id, Settings: settings, PrevSeq: row.Seq, PrevSettings: settings,
		NextChunk: row.NextChunk, Documents: row.Documents, Chunks: row.Chunks}
	s.add(change.Record{Kind: op.kind, Library: row.Num, Body: c.Encode()})
	delete(s.libs, op.id)
	s.undo = append(s.undo, undo{fn: func() { s.libs[op.id] = row }})
	op.row = *row
	return nil
}

func (s *sequencer) createLibrary(op *libraryOp) *change.Error {
	settings, err := json.Marshal(op.spec)
	if err != nil {
		return internalError(err)
	}
	num := s.nextLib
	c := change.LibraryChange{Time: s.time, CreatedAt: s.time, ID: op.id, Settings: settings, NextChunk: 1}
	rec := s.add(change.Record{Kind: op.kind, Library: num, Body: c.Encode()})
	row := &libRow{Num: num, CreatedAt: s.time, UpdatedAt: s.time, Seq: rec.Seq, LastSeq: rec.Seq,
		Dimension: int(op.spec.Dimension), NextChunk: 1, Settings: settings}
	s.libs[op.id] = row
	s.nextLib++
	s.undo = append(s.undo, undo{fn: func() {
		delete(s.libs, op.id)
		s.nextLib--
	}})
	op.row = *row
	return nil
}

func (s *sequencer) updateLibrary(op *libraryOp, row *libRow) *change.Error {
	settings, before, err := row.settings()
	if err != nil {
		return internalError(err)
	}
	if err := op.patch.apply(settings); err != nil {
		return err
	}
	after, err := json.Marshal(settings)
	if err != nil {
		return internalError(err)
	}
	c := change.LibraryChange{Time: s.time, CreatedAt: row.CreatedAt, ID: op.id, Settings: after, PrevSeq: row.Seq, PrevSettings: before, NextChunk: row.NextChunk}
	rec := s.add(change.Record{Kind: op.kind, Library: row.Num, Body: c.Encode()})
	s.saveLibrary(row)
	row.Settings, row.UpdatedAt, row.Seq, row.LastSeq = after, s.time, rec.Seq, rec.Seq
	op.row = *row
	return nil
}

// A controlOp makes a control record in the sequencer.
type controlOp struct {
	make func(s *sequencer) (change.Record, *change.Error)
}

// sourceLines returns how many lines of a source have been taken as of the last
// assigned change.
func (s *sequencer) sourceLines(lib uint32, name string) (lines uint64, err error) {
	if p, ok := s.sources[sourceRef{lib, name}]; ok {
		return p.lines, nil
	}
	lines, _, err = readSource(s.db.store, lib, name)
	return lines, err
}

// readSource returns a source's row, zeros where there is none.
func readSource(r pebble.Reader, lib uint32, name string) (lines, seq uint64, err error) {
	val, closer, err := r.Get(sourceKey(lib, name))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	c, err := change.DecodeSource(&change.Record{Body: val})
	if err := errors.Join(err, closer.Close()); err != nil {
		return 0, 0, err
	}
	return c.Lines, c.Seq, nil
}

func (s *sequencer) checkSource(m *SourceMove) *change.Error {
	lib := s.libs[m.Library]
	if lib == nil {
		return libraryNotFound(m.Library)
	}
	lines, err := s.sourceLines(lib.Num, m.Name)
	if err != nil {
		return internalError(err)
	}
	if lines != m.From {
		return change.Errorf(change.Conflict, "source %q stands at line %d, not %d: another upload of it is going on, or it was reset", m.Name, lines, m.From)
	}
	return nil
}

func (s *sequencer) moveSource(m *SourceMove) {
	lib := s.libs[m.Library]
	c := change.Source{Time: s.time, LibraryID: m.Library, Name: m.Name, Lines: m.To, Seq: s.nextSeq - 1}
	s.setSource(lib.Num, m.Name, m.To)
	s.add(change.Record{Kind: change.ControlSource, Library: lib.Num, Body: c.Encode()})
}

func (s *sequencer) setSource(lib uint32, name string, lines uint64) {
	ref := sourceRef{lib, name}
	before, had := s.sources[ref]
	s.undo = append(s.undo, undo{fn: func() {
		if had {
			s.sources[ref] = before
		} else {
			delete(s.sources, ref)
		}
	}})
	s.sources[ref] = pendingSource{s.ticket, lines}
	s.order = append(s.order, pendingKey{ticket: s.ticket, source: ref})
}

// remembered looks for the answer to an earlier request under the same key. It
// reports true where the group is answered by it.
func (s *sequencer) remembered(p *Pending) (bool, *change.Error) {
	o := p.group.Once
	var answer *change.Idempotency
	if q, ok := s.once[string(o.Key)]; ok {
		answer = q.answer
	} else {
		var err error
		if answer, err = readOnce(s.db.store, o.Key); err != nil {
			return false, internalError(err)
		}
	}
	if answer == nil || answer.Time <= s.time-onceTTL {
		return false, nil
	}
	if string(answer.Fingerprint) != string(o.Fingerprint) {
		return false, change.Errorf(change.Conflict, "this Idempotency-Key was used for another request; use a new key for a new request")
	}
	p.receipt.Replayed = answer
	return true, nil
}

// Remembered returns the answer to an earlier request under o's key, nil where
// there is none. It fails with Conflict where the key was used for another
// request. It serves requests that are too long to be one group: they look
// first, and commit a group with o when they are through.
func (db *DB) Remembered(o *Once) (*change.Idempotency, error) {
	answer, err := readOnce(db.store, o.Key)
	if err != nil {
		return nil, internalError(err)
	}
	if answer == nil || answer.Time <= db.opts.Now().UnixMicro()-onceTTL {
		return nil, nil
	}
	if string(answer.Fingerprint) != string(o.Fingerprint) {
		return nil, change.Errorf(change.Conflict, "this Idempotency-Key was used for another request; use a new key for a new request")
	}
	return answer, nil
}

func readOnce(r pebble.Reader, key []byte) (*change.Idempotency, error) {
	val, closer, err := r.Get(onceKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := change.DecodeIdempotency(&change.Record{Body: append([]byte(nil), val...)})
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *sequencer) remember(o *Once, outcomes []Outcome) {
	status, body := o.Render(outcomes)
	c := &change.Idempotency{Time: s.time, Key: o.Key, Fingerprint: o.Fingerprint, Status: status, Seq: s.nextSeq - 1, Answer: body}
	s.add(change.Record{Kind: change.ControlIdempotency, Body: c.Encode()})
	key := string(o.Key)
	before, had := s.once[key]
	s.undo = append(s.undo, undo{fn: func() {
		if had {
			s.once[key] = before
		} else {
			delete(s.once, key)
		}
	}})
	s.once[key] = pendingOnce{s.ticket, c}
	s.order = append(s.order, pendingKey{ticket: s.ticket, once: key})
}
