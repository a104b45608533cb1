package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/cockroachdb/pebble/v2"
)

// A Snapshot is the database at one commit. It may be used by one goroutine at
// a time, and must be closed.
type Snapshot struct {
	db   *DB
	snap pebble.Reader
	pin  *rows.Pin

	key  []byte
	row  []byte
	view docjson.View
}

// Snapshot returns the newest visible state, or a newer one.
//
// Of a database that is being closed it returns one that answers everything with
// ErrClosed.
func (db *DB) Snapshot() *Snapshot {
	if !db.readers.enter() {
		return &Snapshot{db: db, snap: closedReader{}}
	}
	// The pin comes first: a library that the snapshot still holds cannot have
	// its rows given to another one before the snapshot is closed.
	pin := db.rows.Pin()
	return &Snapshot{db: db, snap: db.store.NewSnapshot(), pin: pin}
}

// Close ends the snapshot.
func (s *Snapshot) Close() {
	if s.snap == nil {
		return
	}
	if err := s.snap.Close(); err != nil {
		s.db.opts.Logger.Error("closing a snapshot", "err", err)
	}
	s.snap = nil
	if s.pin != nil {
		s.pin.Unpin()
		s.db.readers.leave()
	}
}

// A closedReader is the state of a database that is closed.
type closedReader struct{}

func (closedReader) Get([]byte) ([]byte, io.Closer, error) { return nil, nil, ErrClosed }

func (closedReader) NewIter(*pebble.IterOptions) (*pebble.Iterator, error) { return nil, ErrClosed }

func (closedReader) NewIterWithContext(context.Context, *pebble.IterOptions) (*pebble.Iterator, error) {
	return nil, ErrClosed
}

func (closedReader) Close() error { return nil }

// A gate lets readers in until it is shut, and then waits for them.
type gate struct {
	mu   sync.Mutex
	n    int
	shut chan struct{} // set when it is shut; closed when the last has left
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		return false
	}
	g.n++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.shut != nil {
		close(g.shut)
	}
}

// close shuts the gate. It reports whether all have left within that time.
func (g *gate) close(within time.Duration) bool {
	g.mu.Lock()
	if g.shut == nil {
		g.shut = make(chan struct{})
		if g.n == 0 {
			close(g.shut)
		}
	}
	left := g.shut
	g.mu.Unlock()
	select {
	case <-left:
		return true
	case <-time.After(within):
		return false
	}
}

// Position returns the exact place of the state in the feed, with its check.
func (s *Snapshot) Position() (change.Position, error) {
	at, err := s.applied()
	if err != nil {
		return change.Position{}, err
	}
	p := change.Position{Epoch: s.db.lineage.At(at.Seq), Seq: at.Seq, Check: at.Chain, HasCheck: at.Commit > 0}
	if at.Commit == 0 {
		p = change.Position{Epoch: s.db.lineage.At(0)}
	}
	return p, nil
}

func (s *Snapshot) applied() (applied, error) {
	val, closer, err := s.snap.Get(keyApplied)
	if errors.Is(err, pebble.ErrNotFound) {
		return applied{}, nil
	}
	if err != nil {
		return applied{}, internalError(err)
	}
	at, err := decodeApplied(val)
	if err := errors.Join(err, closer.Close()); err != nil {
		return applied{}, internalError(err)
	}
	return at, nil
}

// Library returns a library, or LibraryNotFound.
func (s *Snapshot) Library(id string) (*Library, error) {
	val, closer, err := s.snap.Get(libraryKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, libraryNotFound(id)
	}
	if err != nil {
		return nil, internalError(err)
	}
	row, err := decodeLibRow(val)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, internalError(err)
	}
	return s.asLibrary(row)
}

func (s *Snapshot) asLibrary(row *libRow) (*Library, error) {
	lib, err := row.library()
	if err != nil {
		return nil, internalError(err)
	}
	if row.Chunks > 0 || row.Dead > 0 {
		lib.Stats.DiskBytes = s.db.diskBytes(row.Num)
	}
	s.db.indexStats(row.Num, &lib.Stats)
	return lib, nil
}

// indexStats fills in what a library's search index takes, and that nothing is
// indexed while it is being built. Otherwise every change to the library is in it.
func (db *DB) indexStats(num uint32, st *LibraryStats) {
	v, ok := db.searched.Load(num)
	if !ok {
		return
	}
	lib := v.(*searched).lib.Load()
	if lib == nil {
		st.IndexedChunks, st.IndexSeq = 0, 0
		return
	}
	st.MemoryBytes = uint64(lib.Stats().MemoryBytes)
}

// diskBytes estimates what a library takes on disk: its part of the store and
// its row blocks. The log is not counted.
func (db *DB) diskBytes(num uint32) uint64 {
	total := uint64(db.rows.DiskBytes(num))
	for _, prefix := range []byte{prefixDocument, prefixChunk} {
		lower, upper := libraryRange(prefix, num)
		if n, err := db.store.EstimateDiskUsage(lower, upper); err == nil {
			total += n
		}
	}
	return total
}

// Libraries returns up to limit libraries with an id above after, in id order,
// that allow passes (nil passes all).
func (s *Snapshot) Libraries(after string, limit int, allow func(id string) bool) ([]*Library, error) {
	lower := libraryKey(after)
	if after != "" {
		lower = append(lower, 0)
	}
	it, err := s.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{prefixLibrary + 1}})
	if err != nil {
		return nil, internalError(err)
	}
	var out []*Library
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		if allow != nil && !allow(string(it.Key()[1:])) {
			continue
		}
		row, err := decodeLibRow(it.Value())
		if err != nil {
			return nil, internalError(errors.Join(err, it.Close()))
		}
		lib, err := s.asLibrary(row)
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		out = append(out, lib)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, internalError(err)
	}
	return out, nil
}

// ReadOptions says what of a document is wanted.
type ReadOptions struct {
	Embeddings bool
	// NoChunks leaves the chunks out: their texts are not read.
	NoChunks bool
}

// Document returns a document, or DocumentNotFound. The result is the caller's.
func (s *Snapshot) Document(lib *Library, id string, embeddings bool) (*docjson.View, error) {
	row, err := readDocRow(s.snap, lib.Num, id)
	if err != nil {
		return nil, internalError(err)
	}
	if row == nil {
		return nil, documentNotFound(lib.ID, id)
	}
	v := new(docjson.View)
	if err := s.fill(v, lib, id, row, ReadOptions{Embeddings: embeddings}); err != nil {
		return nil, internalError(err)
	}
	return v, nil
}

// fill makes the view of a document.
func (s *Snapshot) fill(v *docjson.View, lib *Library, id string, row *docRow, o ReadOptions) error {
	chunks := v.Chunks[:0]
	*v = docjson.View{LibraryID: lib.ID, ID: id, Title: row.Title, Metadata: row.Metadata, Seq: row.Seq,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, NumChunks: len(row.Chunks)}
	if o.NoChunks {
		return nil
	}
	for i := range row.Chunks {
		ref := &row.Chunks[i]
		s.key = appendChunkKey(s.key[:0], lib.Num, ref.Num)
		val, closer, err := s.snap.Get(s.key)
		if err != nil {
			return &DamageError{Where: "the store", Err: fmt.Errorf("chunk row %d of document %q in library %q: %w", ref.Num, id, lib.ID, err)}
		}
		_, text, err := decodeChunkRow(val)
		if err == nil {
			text = string(append([]byte(nil), text...))
		}
		if err := errors.Join(err, closer.Close()); err != nil {
			return err
		}
		ch := change.Chunk{Num: ref.Num, ID: ref.ID, Text: text, Metadata: ref.Metadata}
		if o.Embeddings && lib.Dimension > 0 {
			if ch.Vectors, err = s.vector(lib, ref.Num); err != nil {
				return err
			}
		}
		chunks = append(chunks, ch)
	}
	v.Chunks = chunks
	return nil
}

// vector returns the vector of a chunk, none where it has none.
func (s *Snapshot) vector(lib *Library, num uint64) ([]change.Vector, error) {
	space, ok := s.pin.Space(rows.Key{Library: lib.Num, Dim: uint32(lib.Dimension)})
	if !ok || !space.Has(num) {
		return nil, nil
	}
	floats, err := space.Row(num, nil)
	if err != nil {
		return nil, err
	}
	return []change.Vector{{Raw: change.AppendRaw(make([]byte, 0, 4*len(floats)), floats)}}, nil
}

// Documents calls fn for each document with an id above after that f passes, in
// id order, until fn returns false. The view is only valid during the call.
func (s *Snapshot) Documents(lib *Library, after string, f *filter.Filter, o ReadOptions, fn func(*docjson.View) bool) error {
	return s.scan(lib, after, f, func(id string, row *docRow) (bool, error) {
		if err := s.fill(&s.view, lib, id, row, o); err != nil {
			return false, err
		}
		return fn(&s.view), nil
	})
}

func (s *Snapshot) scan(lib *Library, after string, f *filter.Filter, fn func(id string, row *docRow) (bool, error)) error {
	lower, upper := libraryRange(prefixDocument, lib.Num)
	if after != "" {
		lower = append(append(lower, after...), 0)
	}
	it, err := s.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return internalError(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		s.row = append(s.row[:0], it.Value()...)
		row, err := decodeDocRow(s.row)
		if err != nil {
			return internalError(errors.Join(err, it.Close()))
		}
		if f != nil && !f.Match(row.Metadata, nil) {
			continue
		}
		more, err := fn(string(it.Key()[5:]), row)
		if err != nil {
			return internalError(errors.Join(err, it.Close()))
		}
		if !more {
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return internalError(err)
	}
	return nil
}

// Count returns how many documents f passes; nil counts all.
func (s *Snapshot) Count(lib *Library, f *filter.Filter) (uint64, error) {
	if f == nil {
		return lib.Stats.Documents, nil
	}
	var n uint64
	err := s.scan(lib, "", f, func(string, *docRow) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// IDs calls fn with the id and seq of each document that f passes, in id order,
// until fn returns false.
func (s *Snapshot) IDs(lib *Library, f *filter.Filter, fn func(id string, seq uint64) bool) error {
	return s.scan(lib, "", f, func(id string, row *docRow) (bool, error) { return fn(id, row.Seq), nil })
}

// Source returns how many lines of an upload source have been taken and the
// last change that they made; zeros for an unknown source.
func (s *Snapshot) Source(lib *Library, name string) (lines, seq uint64, err error) {
	lines, seq, err = readSource(s.snap, lib.Num, name)
	if err != nil {
		return 0, 0, internalError(err)
	}
	return lines, seq, nil
}
