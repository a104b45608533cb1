package engine

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/cockroachdb/pebble/v2"
)

// lookup returns a document's row as of the last assigned change, nil where the
// document does not exist.
func (s *sequencer) lookup(op *Op, lib *libRow) (*docRow, *change.Error) {
	ref := docRef{lib.Num, op.ID}
	if op.prep.read && s.recent[op.prep.hash&(recentSlots-1)] <= op.prep.ticket {
		return op.prep.row, nil
	}
	if p, ok := s.inflight[ref]; ok {
		if p.row == nil && p.rec != nil {
			row, err := rowOfRecord(p.rec)
			if err != nil {
				return nil, internalError(err)
			}
			p.row = row
			s.inflight[docRef{ref.lib, p.id}] = p
		}
		return p.row, nil
	}
	row, err := readDocRow(s.db.store, lib.Num, op.ID)
	if err != nil {
		return nil, internalError(err)
	}
	return row, nil
}

func rowOfRecord(r *change.Record) (*docRow, error) {
	c, err := change.DecodeDocument(r)
	if err != nil {
		return nil, err
	}
	row := &docRow{Seq: r.Seq, CreatedAt: c.CreatedAt, UpdatedAt: c.Time, Title: c.Title, Metadata: c.Metadata, Chunks: c.Touched}
	if r.Kind != change.DocumentPatched {
		row.Chunks = refsOf(c.Added)
	}
	return row, nil
}

// readDocRow reads a document's row from the store, nil where there is none.
func readDocRow(r pebble.Reader, lib uint32, id string) (*docRow, error) {
	var buf [160]byte
	val, closer, err := r.Get(appendDocumentKey(buf[:0], lib, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	val = append([]byte(nil), val...)
	if err := closer.Close(); err != nil {
		return nil, err
	}
	return decodeDocRow(val)
}

// moved notes what a change made of a document.
func (s *sequencer) moved(lib *libRow, op *Op, row *docRow, rec *change.Record) {
	ref := docRef{lib.Num, op.ID}
	before, had := s.inflight[ref]
	if had { // not the Op's: to store under a key that is there puts the new string in its place
		ref.id = before.id
	} else {
		ref.id = strings.Clone(ref.id)
	}
	s.undo = append(s.undo, undo{doc: ref, before: before, had: had})
	p := pendingDoc{ticket: s.ticket, id: ref.id, row: row}
	if row == nil && rec != nil {
		r := *rec
		p.rec = &r
	}
	s.inflight[ref] = p
	s.order = append(s.order, pendingKey{ticket: s.ticket, doc: ref})
	s.recent[op.prep.hash&(recentSlots-1)] = s.ticket
}

// change encodes a change to a document, gives it its seq and counts it. content,
// if there is any, lies behind resolutionRoom bytes, so that what the sequencer
// adds goes in front of it without a copy.
func (s *sequencer) change(lib *libRow, kind change.Kind, c *change.DocumentChange, content, raw []byte) *change.Record {
	s.saveLibrary(lib)
	var body []byte
	s.resolution = c.AppendResolution(s.resolution[:0])
	if content == nil {
		body, raw = c.AppendContent(bytes.Clone(s.resolution), nil)
	} else if at := resolutionRoom - len(s.resolution); at >= 0 {
		body = content[at:]
		copy(body, s.resolution)
	} else {
		body = append(append(make([]byte, 0, len(content)-at), s.resolution...), content[resolutionRoom:]...)
	}
	rec := s.add(change.Record{Kind: kind, Library: lib.Num, Body: body, Raw: raw})
	countChange(lib, rec, c)
	return rec
}

func (s *sequencer) op(op *Op, out *Outcome) *change.Error {
	lib := s.libs[op.Library]
	if lib == nil || lib.Num != op.prep.lib {
		return libraryNotFound(op.Library)
	}
	row, err := s.lookup(op, lib)
	if err != nil {
		return err
	}
	if op.IfMatch != nil && (row == nil || row.Seq != *op.IfMatch) {
		e := change.Errorf(change.PreconditionFailed, "document %q does not exist, If-Match asked for seq %d", op.ID, *op.IfMatch).With("seq", nil)
		if row != nil {
			e = change.Errorf(change.PreconditionFailed, "document %q is at seq %d, If-Match asked for %d", op.ID, row.Seq, *op.IfMatch).With("seq", row.Seq)
		}
		return e
	}
	if op.Kind == OpPut {
		return s.put(op, lib, row, out)
	}
	if row == nil {
		return documentNotFound(op.Library, op.ID)
	}
	switch op.Kind {
	case OpPatch:
		return s.patch(op, lib, row, out)
	case OpDelete:
		return s.delete(op, lib, row, out)
	case OpAddChunks:
		return s.addChunks(op, lib, row, out)
	case OpDeleteChunk:
		return s.deleteChunk(op, lib, row, out)
	}
	return internalError(fmt.Errorf("operation of kind %d", op.Kind))
}

func (s *sequencer) put(op *Op, lib *libRow, row *docRow, out *Outcome) *change.Error {
	if row != nil && op.Mode == Insert {
		return change.Errorf(change.AlreadyExists, "document %q exists in library %q; use upsert=true or PUT to replace it", op.ID, op.Library).With("seq", row.Seq)
	}
	if row != nil && op.Mode == Skip {
		*out = Outcome{Result: Skipped, ID: op.ID, Seq: row.Seq, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
			NumChunks: len(row.Chunks), Title: row.Title, Metadata: row.Metadata}
		return nil
	}
	if err := checkDimension(lib, op.prep.dim); err != nil {
		return err
	}
	doc := op.Doc
	c := change.DocumentChange{Time: s.time, CreatedAt: s.time, NumChunks: len(doc.Chunks), LibraryID: op.Library, ID: op.ID,
		Title: doc.Title, Metadata: doc.Metadata, Added: doc.Chunks}
	kind, result := change.DocumentAdded, Added
	if row != nil {
		kind, result = change.DocumentUpdated, Updated
		c.CreatedAt = row.CreatedAt
		c.Prev = &change.Image{Seq: row.Seq, Title: row.Title, Metadata: row.Metadata}
		c.Killed = row.Chunks
	}
	if doc.CreatedAt != 0 {
		c.CreatedAt = doc.CreatedAt
	}
	for i := range c.Added {
		c.Added[i].Num = lib.NextChunk + uint64(i)
	}
	rec := s.change(lib, kind, &c, op.prep.content, op.prep.raw)
	s.moved(lib, op, nil, rec)
	*out = Outcome{Result: result, ID: op.ID, Seq: rec.Seq, CreatedAt: c.CreatedAt, UpdatedAt: s.time, NumChunks: c.NumChunks, Title: c.Title, Metadata: c.Metadata}
	return nil
}

func (s *sequencer) patch(op *Op, lib *libRow, row *docRow, out *Outcome) *change.Error {
	title, metadata := row.Title, row.Metadata
	if op.Patch.Title != nil {
		title = *op.Patch.Title
	}
	if op.Patch.Metadata != nil {
		merged, err := docjson.MergeMetadata(metadata, op.Patch.Metadata)
		if err != nil {
			return asError(err)
		}
		if len(merged) > MaxMetadataBytes {
			return change.Errorf(change.TooLarge, "the merged metadata takes %d bytes, the limit is %d", len(merged), MaxMetadataBytes).With("limit", MaxMetadataBytes)
		}
		metadata = merged
	}
	if err := checkSpread(title, metadata, len(row.Chunks)); err != nil {
		return err
	}
	c := change.DocumentChange{Time: s.time, CreatedAt: row.CreatedAt, NumChunks: len(row.Chunks), LibraryID: op.Library, ID: op.ID,
		Title: title, Metadata: metadata, Touched: row.Chunks,
		Prev: &change.Image{Seq: row.Seq, Title: row.Title, Metadata: row.Metadata}}
	rec := s.change(lib, change.DocumentPatched, &c, nil, nil)
	s.moved(lib, op, nil, rec)
	*out = Outcome{Result: Updated, ID: op.ID, Seq: rec.Seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, NumChunks: c.NumChunks, Title: title, Metadata: metadata}
	return nil
}

func (s *sequencer) delete(op *Op, lib *libRow, row *docRow, out *Outcome) *change.Error {
	c := change.DocumentChange{Time: s.time, CreatedAt: row.CreatedAt, LibraryID: op.Library, ID: op.ID, Title: row.Title, Metadata: row.Metadata,
		Killed: row.Chunks, Prev: &change.Image{Seq: row.Seq, Title: row.Title, Metadata: row.Metadata}}
	rec := s.change(lib, change.DocumentDeleted, &c, nil, nil)
	s.moved(lib, op, nil, nil)
	*out = Outcome{Result: Deleted, ID: op.ID, Seq: rec.Seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, Title: row.Title, Metadata: row.Metadata}
	return nil
}

func (s *sequencer) addChunks(op *Op, lib *libRow, row *docRow, out *Outcome) *change.Error {
	if err := checkDimension(lib, op.prep.dim); err != nil {
		return err
	}
	ids := make(map[string]bool, len(row.Chunks)+len(op.Doc.Chunks))
	for i := range row.Chunks {
		ids[row.Chunks[i].ID] = true
	}
	chunks := op.Doc.Chunks
	references := 0
	for i := range row.Chunks {
		references += referenceBytes(row.Chunks[i].ID, row.Chunks[i].Metadata)
	}
	for i := range chunks {
		references += referenceBytes(chunks[i].ID, chunks[i].Metadata)
	}
	if err := checkReferences(len(row.Chunks)+len(chunks), references); err != nil {
		return err
	}
	if err := checkSpread(row.Title, row.Metadata, len(row.Chunks)+len(chunks)); err != nil {
		return err
	}
	for i := range chunks {
		if id := chunks[i].ID; id != "" {
			if ids[id] {
				return change.Errorf(change.AlreadyExists, "document %q has a chunk %q already (chunks[%d].id)", op.ID, id, i)
			}
			ids[id] = true
		}
	}
	next := len(row.Chunks)
	seq := row.Seq
	refs := append(make([]change.ChunkRef, 0, len(row.Chunks)+len(chunks)), row.Chunks...)
	var cur *docRow
	for i := range chunks {
		ch := chunks[i]
		for ch.ID == "" {
			if id := change.DefaultChunkID(next); !ids[id] {
				ch.ID = id
				ids[id] = true
			}
			next++
		}
		ch.Num = lib.NextChunk
		c := change.DocumentChange{Time: s.time, CreatedAt: row.CreatedAt, NumChunks: len(refs) + 1, LibraryID: op.Library, ID: op.ID,
			Title: row.Title, Metadata: row.Metadata, Added: []change.Chunk{ch},
			Prev: &change.Image{Seq: seq, Title: row.Title, Metadata: row.Metadata}}
		rec := s.change(lib, change.ChunkAdded, &c, nil, nil)
		own, err := change.DecodeDocument(rec)
		if err != nil {
			return internalError(err)
		}
		refs = append(refs, refsOf(own.Added)...)
		seq = rec.Seq
		chunks[i].ID, chunks[i].Num = ch.ID, ch.Num
		cur = &docRow{Seq: seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, Title: row.Title, Metadata: row.Metadata, Chunks: refs}
	}
	s.moved(lib, op, cur, nil)
	*out = Outcome{Result: Updated, ID: op.ID, Seq: seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, NumChunks: len(refs), Title: row.Title, Metadata: row.Metadata}
	return nil
}

func (s *sequencer) deleteChunk(op *Op, lib *libRow, row *docRow, out *Outcome) *change.Error {
	at := -1
	for i := range row.Chunks {
		if row.Chunks[i].ID == op.Chunk {
			at = i
		}
	}
	if at < 0 {
		return change.Errorf(change.ChunkNotFound, "document %q of library %q has no chunk %q", op.ID, op.Library, op.Chunk)
	}
	if len(row.Chunks) == 1 {
		return change.Errorf(change.Conflict, "chunk %q is the only one of document %q: a document has at least one chunk; delete the document instead", op.Chunk, op.ID)
	}
	c := change.DocumentChange{Time: s.time, CreatedAt: row.CreatedAt, NumChunks: len(row.Chunks) - 1, LibraryID: op.Library, ID: op.ID,
		Title: row.Title, Metadata: row.Metadata, Killed: []change.ChunkRef{row.Chunks[at]},
		Prev: &change.Image{Seq: row.Seq, Title: row.Title, Metadata: row.Metadata}}
	rec := s.change(lib, change.ChunkDeleted, &c, nil, nil)
	refs := append(append(make([]change.ChunkRef, 0, len(row.Chunks)), row.Chunks[:at]...), row.Chunks[at+1:]...)
	s.moved(lib, op, &docRow{Seq: rec.Seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, Title: row.Title, Metadata: row.Metadata, Chunks: refs}, nil)
	*out = Outcome{Result: Deleted, ID: op.ID, Seq: rec.Seq, CreatedAt: row.CreatedAt, UpdatedAt: s.time, NumChunks: len(refs), Title: row.Title, Metadata: row.Metadata}
	return nil
}

// checkDimension refuses vectors of another dimension than the library's.
func checkDimension(lib *libRow, dim int) *change.Error {
	if dim != 0 && lib.Dimension != 0 && dim != lib.Dimension {
		return change.Errorf(change.DimensionMismatch, "the vectors have %d elements, the library's dimension is %d", dim, lib.Dimension).
			With("expected", lib.Dimension).With("got", dim)
	}
	return nil
}
