package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/index/search"
	"github.com/arrwdb/arrwdb/wal"
	"github.com/cockroachdb/pebble/v2"
)

// errStopped ends a rebuild when the database closes, or the library is deleted.
var errStopped = errors.New("stopped")

// renewSearch builds structures anew that hold mostly what has died. They stay in use
// until the new ones have taken their place.
func (db *DB) renewSearch(lib *search.Library) {
	db.searched.Range(func(_, v any) bool {
		s := v.(*searched)
		if s.lib.Load() != lib {
			return true
		}
		if s.renewing.CompareAndSwap(false, true) {
			db.tasks.Go(func() {
				defer s.renewing.Store(false)
				db.rebuildSearch(s)
			})
		}
		return false
	})
}

// rebuildSearch makes a library's search structures from the primaries: from one
// state of store and row files, then from the log, until both have met.
func (db *DB) rebuildSearch(s *searched) {
	start := time.Now()
	lib, err := db.buildSearch(s)
	if errors.Is(err, errStopped) {
		return
	}
	name := db.LibraryName(s.num)
	if err != nil && s.lib.Load() != nil {
		db.opts.Logger.Error("a search index could not be built anew; the old one stays in use", "library", name, "err", err)
		return
	}
	if err != nil {
		db.opts.Logger.Error("a search index could not be built; searches in the library fail until a restart", "library", name, "err", err)
		return
	}
	db.opts.Logger.Info("a search index was built", "library", name, "chunks", lib.Stats().Live, "took", time.Since(start))
}

func (db *DB) buildSearch(s *searched) (*search.Library, error) {
	// One state: no commit is being applied between the two.
	db.applyMu.Lock()
	snap := db.Snapshot()
	stamp := db.view.at.Stamp
	row := db.view.libs[s.num]
	var settings *Library
	var err error
	if row != nil { // a copy: the applier goes on changing the row
		settings, err = row.library()
	}
	hold := db.hold(fmt.Sprintf("rebuilding the search index of library %q", db.LibraryName(s.num)), stamp)
	db.applyMu.Unlock()
	defer hold.Release()
	defer snap.Close()
	if row == nil || s.gone.Load() {
		return nil, errStopped
	}
	if err != nil {
		return nil, err
	}
	cfg, err := db.searchView.config(s.num, settings.Metric, settings.Analyzer.Language)
	if err != nil {
		return nil, err
	}
	lib, err := search.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := db.buildFromStore(s, snap, settings, lib, stamp); err != nil {
		return nil, err
	}
	return lib, db.catchUp(s, lib, stamp)
}

// buildFromStore adds every chunk of the library, in the order of their numbers.
func (db *DB) buildFromStore(s *searched, snap *Snapshot, settings *Library, lib *search.Library, stamp change.Stamp) error {
	lower, upper := libraryRange(prefixChunk, s.num)
	it, err := snap.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer it.Close()
	space, hasVectors := snap.pin.Space(rows.Key{Library: s.num, Dim: uint32(settings.Dimension)})
	var row *docRow
	c := change.DocumentChange{Added: make([]change.Chunk, 1)}
	next := 0 // of row.Chunks
	added := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		num := binary.BigEndian.Uint64(it.Key()[5:])
		id, text, err := decodeChunkRow(it.Value())
		if err != nil {
			return err
		}
		if row == nil || c.ID != id {
			if row, err = readDocRow(snap.snap, s.num, id); err != nil {
				return err
			}
			if row == nil {
				return fmt.Errorf("chunk %d belongs to document %q, which is not in the store", num, id)
			}
			c.ID, c.Title, c.Metadata, next = string(append([]byte(nil), id...)), row.Title, row.Metadata, 0
		}
		ref, at := findRef(row.Chunks, num, next)
		if ref == nil {
			return fmt.Errorf("chunk %d is not among those of document %q", num, id)
		}
		next = at + 1
		ch := &c.Added[0]
		*ch = change.Chunk{Num: num, ID: ref.ID, Text: text, Metadata: ref.Metadata}
		if hasVectors && space.Has(num) {
			floats, err := space.Row(num, nil)
			if err != nil {
				return err
			}
			ch.Vectors = []change.Vector{{Raw: change.AppendRaw(nil, floats)}}
		}
		added++
		lib.Lock()
		err = lib.Apply(change.DocumentAdded, &c, stamp, nil)
		lib.Unlock()
		if err != nil {
			return err
		}
		if err := db.tendWhileBuilding(s, lib, added); err != nil {
			return err
		}
	}
	return it.Error()
}

// tendWhileBuilding builds and merges what has been added, now and then.
func (db *DB) tendWhileBuilding(s *searched, lib *search.Library, n uint64) error {
	if n%1024 != 0 {
		return nil
	}
	if db.ctx.Err() != nil || s.gone.Load() {
		return errStopped
	}
	for _, work := range []func() (bool, error){lib.Build, lib.Merge} {
		for more := true; more; {
			var err error
			if more, err = work(); err != nil {
				return err
			}
		}
	}
	return nil
}

// findRef returns the chunk of that number, and where it stands. Numbers are given out
// in order, and a document's chunks stand in the order in which they came.
func findRef(refs []change.ChunkRef, num uint64, from int) (*change.ChunkRef, int) {
	if from < len(refs) && refs[from].Num == num {
		return &refs[from], from
	}
	if at := sort.Search(len(refs), func(i int) bool { return refs[i].Num >= num }); at < len(refs) && refs[at].Num == num {
		return &refs[at], at
	}
	for i := range refs { // whatever the order
		at := (from + i) % len(refs)
		if refs[at].Num == num {
			return &refs[at], at
		}
	}
	return nil, 0
}

// catchUp applies what came since stamp, the last of it with no commit in between,
// and then puts the structures into use.
func (db *DB) catchUp(s *searched, lib *search.Library, stamp change.Stamp) error {
	at := stamp.Commit
	var r *wal.Reader
	defer func() {
		if r != nil {
			r.Close()
		}
	}()
	read := func(to uint64) error {
		for at < to {
			if db.ctx.Err() != nil || s.gone.Load() {
				return errStopped
			}
			if r == nil {
				var err error
				if r, err = db.log.NewReader(wal.ReaderStart{Commit: at + 1}); err != nil {
					return err
				}
			}
			f, err := r.Next(to)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if f == nil {
				return fmt.Errorf("the log ends at commit %d, before %d", at, to)
			}
			if err := applyFrame(s.num, lib, f); err != nil {
				return err
			}
			at = f.Commit
		}
		return nil
	}
	for range 8 { // each round leaves less to the next
		to := db.visible.Load().Commit
		if to <= at {
			break
		}
		if err := read(to); err != nil {
			return err
		}
	}
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	if err := read(db.view.at.Commit); err != nil {
		return err
	}
	if s.gone.Load() {
		return errStopped
	}
	db.searchView.adopt(s, lib)
	return nil
}

func applyFrame(num uint32, lib *search.Library, f *wal.Frame) error {
	lib.Lock()
	defer lib.Unlock()
	for i := range f.Records {
		rec := &f.Records[i]
		if rec.Library != num || !isDocument(rec.Kind) {
			continue
		}
		c, err := change.DecodeDocument(rec)
		if err != nil {
			return err
		}
		if err := lib.Apply(rec.Kind, c, change.Stamp{Seq: rec.Seq, Commit: f.Commit}, nil); err != nil {
			return err
		}
	}
	return nil
}
