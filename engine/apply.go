package engine

import (
	"errors"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
	"github.com/cockroachdb/pebble/v2"
)

// A commit is one frame of the log, decoded once for all views. Live writes and
// replay make it the same way, from the records alone.
type commit struct {
	stamp   change.Stamp
	chain   uint32
	time    int64
	records []change.Record
	docs    []change.DocumentChange // decoded bodies, in the order of the records of those kinds
}

// decodeCommit decodes the bodies that several views need. docs is used again
// from call to call.
func decodeCommit(c *commit) error {
	c.docs = c.docs[:0]
	for i := range c.records {
		r := &c.records[i]
		if !isDocument(r.Kind) {
			continue
		}
		if len(c.docs) < cap(c.docs) {
			c.docs = c.docs[:len(c.docs)+1]
		} else {
			c.docs = append(c.docs, change.DocumentChange{})
		}
		if err := c.docs[len(c.docs)-1].Decode(r); err != nil {
			return fmt.Errorf("record %d of commit %d (%s, seq %d): %w", i, c.stamp.Commit, r.Kind, r.Seq, err)
		}
	}
	return nil
}

func isDocument(k change.Kind) bool { return k >= change.DocumentAdded && k <= change.ChunkDeleted }

// A view is a function of the log. The engine calls it from one goroutine at a
// time, in log order.
type view interface {
	// name says which view it is, in messages.
	name() string
	// stamp says how far the view has gone.
	stamp() change.Stamp
	// apply takes one commit, all of it or, with an error, none of it that
	// would survive. It reads the commit and the view's own state, never a
	// clock, a random source or another view.
	apply(c *commit) error
}

// storeView applies commits to the store. It is a view of its own row state
// only: what it reads (library rows, document rows for chunk changes, remembered
// answers by age) it has written itself.
type storeView struct {
	db *pebble.DB
	at applied

	libs  map[uint32]*libRow // the rows as applied
	names map[uint32]string
	dirty map[uint32]bool
	// docs holds the document rows written in the commit being applied, where
	// keep says that a chunk change in the same commit may read them.
	docs map[string]*docRow
	keep bool
	once map[string]bool // keys whose answers the commit being applied has set
	key  []byte
	val  []byte

	onKey     func(id string, settings []byte) // an API key was set, or revoked with nil
	onLibrary func(num uint32, id string, row *libRow)
}

func (v *storeView) name() string        { return "store" }
func (v *storeView) stamp() change.Stamp { return v.at.Stamp }

func (v *storeView) apply(c *commit) error {
	size := 0
	for i := range c.records {
		size += len(c.records[i].Body) + 256
	}
	b := v.db.NewBatchWithSize(size)
	defer b.Close()
	clear(v.docs)
	clear(v.once)
	v.keep = false
	for i := range c.records {
		k := c.records[i].Kind
		v.keep = v.keep || k == change.ChunkAdded || k == change.ChunkDeleted
	}
	var after []func() // memory outside the batch, moved once the batch is in
	doc := 0
	for i := range c.records {
		r := &c.records[i]
		var err error
		if isDocument(r.Kind) {
			err = v.applyDocument(b, r, &c.docs[doc])
			doc++
		} else {
			err = v.applyOther(b, r, &after)
		}
		if err != nil {
			return fmt.Errorf("applying %s, seq %d, of commit %d to the store: %w", r.Kind, r.Seq, c.stamp.Commit, err)
		}
	}
	for num := range v.dirty {
		row := v.libs[num]
		v.val = row.append(v.val[:0])
		if err := b.Set(libraryKey(v.names[num]), v.val, nil); err != nil {
			return err
		}
		delete(v.dirty, num)
	}
	at := applied{Stamp: c.stamp, Chain: c.chain, Time: max(c.time, v.at.Time)}
	v.val = at.append(v.val[:0])
	if err := b.Set(keyApplied, v.val, nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	v.at = at
	for _, fn := range after {
		fn()
	}
	return nil
}

func (v *storeView) applyDocument(b *pebble.Batch, r *change.Record, c *change.DocumentChange) error {
	lib := v.libs[r.Library]
	if lib == nil {
		return fmt.Errorf("library number %d is not in the store", r.Library)
	}
	v.key = appendDocumentKey(v.key[:0], r.Library, c.ID)
	row := &docRow{Seq: r.Seq, CreatedAt: c.CreatedAt, UpdatedAt: c.Time, Title: c.Title, Metadata: c.Metadata}
	switch r.Kind {
	case change.DocumentAdded, change.DocumentUpdated:
		row.Chunks = refsOf(c.Added)
	case change.DocumentPatched:
		row.Chunks = c.Touched
	case change.ChunkAdded, change.ChunkDeleted:
		former, err := v.document(v.key)
		if err != nil {
			return err
		}
		row.Chunks = moveChunks(former.Chunks, c)
	}
	if r.Kind == change.DocumentDeleted {
		delete(v.docs, string(v.key))
		if err := b.Delete(v.key, nil); err != nil {
			return err
		}
	} else {
		if v.keep {
			v.docs[string(v.key)] = row
		}
		v.val = row.append(v.val[:0])
		if err := b.Set(v.key, v.val, nil); err != nil {
			return err
		}
	}
	for i := range c.Killed {
		v.key = appendChunkKey(v.key[:0], r.Library, c.Killed[i].Num)
		if err := b.Delete(v.key, nil); err != nil {
			return err
		}
	}
	for i := range c.Added {
		ch := &c.Added[i]
		v.key = appendChunkKey(v.key[:0], r.Library, ch.Num)
		v.val = appendChunkRow(v.val[:0], c.ID, ch.Text)
		if err := b.Set(v.key, v.val, nil); err != nil {
			return err
		}
	}
	countChange(lib, r, c)
	v.dirty[r.Library] = true
	return nil
}

// countChange moves a library's counters and its fixed dimension by a change.
// The sequencer and the store keep their own rows, and move them with this.
func countChange(lib *libRow, r *change.Record, c *change.DocumentChange) {
	switch r.Kind {
	case change.DocumentAdded:
		lib.Documents++
	case change.DocumentDeleted:
		lib.Documents--
	}
	lib.Chunks += uint64(len(c.Added)) - uint64(len(c.Killed))
	lib.Dead += uint64(len(c.Killed))
	lib.LastSeq = r.Seq
	for i := range c.Added {
		ch := &c.Added[i]
		lib.NextChunk = max(lib.NextChunk, ch.Num+1)
		if lib.Dimension == 0 && len(ch.Vectors) > 0 {
			lib.Dimension = ch.Vectors[0].Dim()
		}
	}
}

func refsOf(added []change.Chunk) []change.ChunkRef {
	refs := make([]change.ChunkRef, len(added))
	for i := range added {
		refs[i] = change.ChunkRef{Num: added[i].Num, ID: added[i].ID, Metadata: added[i].Metadata}
	}
	return refs
}

func moveChunks(refs []change.ChunkRef, c *change.DocumentChange) []change.ChunkRef {
	out := make([]change.ChunkRef, 0, len(refs)+len(c.Added))
	for _, ref := range refs {
		killed := false
		for i := range c.Killed {
			killed = killed || c.Killed[i].Num == ref.Num
		}
		if !killed {
			out = append(out, ref)
		}
	}
	return append(out, refsOf(c.Added)...)
}

// document returns the document row under key as it stands within the commit
// being applied.
func (v *storeView) document(key []byte) (*docRow, error) {
	if row := v.docs[string(key)]; row != nil {
		return row, nil
	}
	val, closer, err := v.db.Get(key)
	if err != nil {
		return nil, fmt.Errorf("document row: %w", err)
	}
	val = append([]byte(nil), val...)
	if err := closer.Close(); err != nil {
		return nil, err
	}
	return decodeDocRow(val)
}

func (v *storeView) applyOther(b *pebble.Batch, r *change.Record, after *[]func()) error {
	switch r.Kind {
	case change.LibraryCreated, change.LibraryUpdated, change.LibraryDeleted:
		c, err := change.DecodeLibrary(r)
		if err != nil {
			return err
		}
		return v.applyLibrary(b, r, c, after)
	case change.ControlSource, change.ControlSourceDeleted:
		c, err := change.DecodeSource(r)
		if err != nil {
			return err
		}
		if r.Kind == change.ControlSourceDeleted {
			return b.Delete(sourceKey(r.Library, c.Name), nil)
		}
		return b.Set(sourceKey(r.Library, c.Name), r.Body, nil)
	case change.ControlKey, change.ControlKeyRevoked:
		c, err := change.DecodeKey(r)
		if err != nil {
			return err
		}
		id, settings := c.ID, append([]byte(nil), c.Settings...)
		if r.Kind == change.ControlKeyRevoked {
			settings = nil
		}
		*after = append(*after, func() { v.onKey(id, settings) })
		if settings == nil {
			return b.Delete(apiKeyKey(id), nil)
		}
		return b.Set(apiKeyKey(id), settings, nil)
	case change.ControlIdempotency:
		c, err := change.DecodeIdempotency(r)
		if err != nil {
			return err
		}
		return v.applyOnce(b, r, c)
	}
	return fmt.Errorf("this version of arrwDB does not know records of %s: a newer version wrote them", r.Kind)
}

func (v *storeView) applyLibrary(b *pebble.Batch, r *change.Record, c *change.LibraryChange, after *[]func()) error {
	num, id := r.Library, string(append([]byte(nil), c.ID...))
	settings := append([]byte(nil), c.Settings...)
	switch r.Kind {
	case change.LibraryCreated:
		row := &libRow{Num: num, CreatedAt: c.CreatedAt, UpdatedAt: c.Time, Seq: r.Seq, LastSeq: r.Seq,
			Dimension: settingsDimension(settings), NextChunk: 1, Settings: settings}
		v.libs[num], v.names[num] = row, id
		v.dirty[num] = true
		*after = append(*after, func() { v.onLibrary(num, id, row) })
		return b.Set(libraryNameKey(num), []byte(id), nil)
	case change.LibraryUpdated:
		row := v.libs[num]
		if row == nil {
			return fmt.Errorf("library number %d is not in the store", num)
		}
		row.Settings, row.UpdatedAt, row.Seq, row.LastSeq = settings, c.Time, r.Seq, r.Seq
		v.dirty[num] = true
		*after = append(*after, func() { v.onLibrary(num, id, row) })
		return nil
	}
	delete(v.libs, num)
	delete(v.dirty, num)
	*after = append(*after, func() { v.onLibrary(num, id, nil) })
	for key := range v.docs {
		lower, upper := libraryRange(prefixDocument, num)
		if key >= string(lower) && key < string(upper) {
			delete(v.docs, key)
		}
	}
	for _, prefix := range []byte{prefixDocument, prefixChunk, prefixSource} {
		lower, upper := libraryRange(prefix, num)
		if err := b.DeleteRange(lower, upper, nil); err != nil {
			return err
		}
	}
	return b.Delete(libraryKey(id), nil)
}

// onceTTL is how long an answer is remembered, in log time (API, section 2).
const onceTTL = int64(24 * 3600 * 1e6)

// onceSweep bounds how many expired answers one remembered answer removes: two
// keep the number of rows bounded, a few more catch up.
const onceSweep = 16

func (v *storeView) applyOnce(b *pebble.Batch, r *change.Record, c *change.Idempotency) error {
	if err := b.Set(onceKey(c.Key), r.Body, nil); err != nil {
		return err
	}
	if err := b.Set(onceAgeKey(c.Time, c.Key), nil, nil); err != nil {
		return err
	}
	if v.once == nil {
		v.once = map[string]bool{}
	}
	v.once[string(c.Key)] = true
	if c.Time < onceTTL {
		return nil
	}
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixOnceAge}, UpperBound: onceAgeKey(c.Time-onceTTL, nil)})
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok && n < onceSweep; ok = it.Next() {
		n++
		hash := it.Key()[9:]
		// The answer may have been given anew under the same key since.
		val, closer, err := v.db.Get(onceKey(hash))
		if err == nil {
			old, derr := change.DecodeIdempotency(&change.Record{Body: val})
			expired := derr == nil && old.Time <= c.Time-onceTTL && !v.once[string(hash)]
			if err := errors.Join(derr, closer.Close()); err != nil {
				return err
			}
			if expired {
				if err := b.Delete(onceKey(hash), nil); err != nil {
					return err
				}
			}
		} else if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		if err := b.Delete(it.Key(), nil); err != nil {
			return err
		}
	}
	return it.Error()
}
