package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"strings"

	"github.com/google/uuid"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Limits of a document; what is larger is TooLarge or InvalidArgument.
const (
	MaxDimension     = 16_384
	MaxMetadataBytes = 1 << 20
	MaxTitleBytes    = 1 << 20
	MaxChunks        = 100_000 // of one document
	// MaxSpreadBytes bounds title and metadata times chunks: each chunk is found by
	// them, so an index has them once for each.
	MaxSpreadBytes = 64 << 20
	// MaxReferenceBytes bounds the ids and metadata of a document's chunks, which
	// stand in every change that kills them: with more, a document could be too
	// large to be deleted.
	MaxReferenceBytes = 12 << 20
)

var docHash = maphash.MakeSeed()

// prepareGroup does what the order does not decide, in the caller's goroutine:
// it validates, encodes and reads ahead. The fault of an Op stays with the Op.
func (db *DB) prepareGroup(ctx context.Context, p *Pending) {
	p.size = 256
	db.embedGroup(ctx, p.group)
	for i := range p.group.Ops {
		op := &p.group.Ops[i]
		if op.prep.err == nil {
			op.prep.err = db.prepareOp(op)
		}
		p.size += op.prep.bytes + 256
	}
}

func (db *DB) prepareOp(op *Op) *change.Error {
	lib := db.library(op.Library)
	if lib == nil {
		return libraryNotFound(op.Library)
	}
	op.prep = prepared{lib: lib.num}
	if op.Kind == OpPut && op.ID == "" {
		if op.ID = op.Doc.ID; op.ID == "" {
			op.ID = uuid.Must(uuid.NewV7()).String()
		}
	}
	if !docjson.ValidID(op.ID) {
		return change.BadField("id", "document id %s does not match %s", quoted(op.ID), docjson.IDPattern)
	}
	switch op.Kind {
	case OpPut:
		if err := db.prepareDocument(lib, op); err != nil {
			return err
		}
		c := change.DocumentChange{LibraryID: op.Library, ID: op.ID, Title: op.Doc.Title, Metadata: op.Doc.Metadata, Added: op.Doc.Chunks}
		n, raw := 64+len(op.ID)+len(op.Library)+len(op.Doc.Title)+len(op.Doc.Metadata), 0
		for i := range op.Doc.Chunks {
			ch := &op.Doc.Chunks[i]
			n += len(ch.ID) + len(ch.Text) + len(ch.Metadata) + 16
			for _, v := range ch.Vectors {
				raw += len(v.Raw)
			}
		}
		op.prep.content, op.prep.raw = c.AppendContent(make([]byte, resolutionRoom, resolutionRoom+n), make([]byte, 0, raw))
		op.prep.bytes = n + raw
		if n+raw > MaxGroupBytes-1<<16 {
			return change.Errorf(change.TooLarge, "document %q takes %d bytes in the log, the limit is %d", op.ID, n+raw, MaxGroupBytes-1<<16).With("limit", MaxGroupBytes-1<<16)
		}
	case OpAddChunks:
		if err := db.prepareDocument(lib, op); err != nil {
			return err
		}
		for i := range op.Doc.Chunks {
			op.prep.bytes += len(op.Doc.Chunks[i].Text) + len(op.Doc.Chunks[i].Metadata) + 4*op.prep.dim
		}
	}
	op.prep.hash = hashDocument(lib.num, op.ID)
	op.prep.ticket = db.appliedTicket.Load()
	row, err := readDocRow(db.store, lib.num, op.ID)
	if err != nil {
		return internalError(err)
	}
	op.prep.row, op.prep.read = row, true
	return nil
}

func hashDocument(lib uint32, id string) uint64 {
	return maphash.String(docHash, id) ^ uint64(lib)*0x9e3779b97f4a7c15
}

// prepareDocument checks the document of a put, or the chunks that are to be
// added, against all of the library's settings that never change.
func (db *DB) prepareDocument(lib *libraryInfo, op *Op) *change.Error {
	doc := op.Doc
	if len(doc.Title) > MaxTitleBytes {
		return change.BadField("title", "the title takes %d bytes, the limit is %d", len(doc.Title), MaxTitleBytes)
	}
	if len(doc.Metadata) > MaxMetadataBytes {
		return change.BadField("metadata", "the metadata takes %d bytes, the limit is %d", len(doc.Metadata), MaxMetadataBytes)
	}
	if len(doc.Chunks) == 0 {
		return change.BadField("chunks", "a document has at least one chunk: send \"chunks\", \"texts\", \"text\" or \"embedding\"")
	}
	if err := checkSpread(doc.Title, doc.Metadata, len(doc.Chunks)); err != nil && op.Kind == OpPut {
		return err
	}
	if len(doc.Chunks) > MaxChunks {
		return change.BadField("chunks", "%d chunks, the limit is %d", len(doc.Chunks), MaxChunks)
	}
	var seen map[string]bool
	references := 0
	for i := range doc.Chunks {
		ch := &doc.Chunks[i]
		if ch.ID == "" {
			if op.Kind == OpPut {
				ch.ID = change.DefaultChunkID(i)
			}
		} else if !docjson.ValidID(ch.ID) {
			return change.BadField(fmt.Sprintf("chunks[%d].id", i), "chunk id %s does not match %s", quoted(ch.ID), docjson.IDPattern)
		}
		if len(doc.Chunks) > 1 && ch.ID != "" {
			if seen == nil {
				seen = make(map[string]bool, len(doc.Chunks))
			}
			if seen[ch.ID] {
				return change.BadField(fmt.Sprintf("chunks[%d].id", i), "chunk id %q stands twice in the document", ch.ID)
			}
			seen[ch.ID] = true
		}
		if len(ch.Metadata) > MaxMetadataBytes {
			return change.BadField(fmt.Sprintf("chunks[%d].metadata", i), "the metadata takes %d bytes, the limit is %d", len(ch.Metadata), MaxMetadataBytes)
		}
		if err := checkVectors(lib, op, ch, i); err != nil {
			return err
		}
		references += referenceBytes(ch.ID, ch.Metadata)
	}
	return checkReferences(len(doc.Chunks), references)
}

// referenceBytes is what a change that kills a chunk holds of it, about.
func referenceBytes(id string, metadata []byte) int { return len(id) + len(metadata) + 16 }

// checkReferences refuses a document that would have so many chunks, with ids and
// metadata of so many bytes.
func checkReferences(chunks, bytes int) *change.Error {
	if chunks > MaxChunks {
		return change.Errorf(change.TooLarge, "the document would have %d chunks, the limit is %d", chunks, MaxChunks).With("limit", MaxChunks)
	}
	if bytes > MaxReferenceBytes {
		return change.Errorf(change.TooLarge, "the ids and metadata of the document's chunks would take %d bytes, the limit is %d", bytes, MaxReferenceBytes).With("limit", MaxReferenceBytes)
	}
	return nil
}

func checkVectors(lib *libraryInfo, op *Op, ch *change.Chunk, i int) *change.Error {
	if len(ch.Vectors) == 0 {
		return change.BadField(fmt.Sprintf("chunks[%d].embedding", i), "library %q has embedding provider \"none\": send an embedding with each chunk", op.Library)
	}
	v := ch.Vectors[0]
	dim := v.Dim()
	field := fmt.Sprintf
	switch {
	case dim == 0:
		return change.BadField(field("chunks[%d].embedding", i), "the embedding is empty")
	case dim > MaxDimension:
		return change.BadField(field("chunks[%d].embedding", i), "the embedding has %d elements, the limit is %d", dim, MaxDimension)
	case op.prep.dim == 0:
		op.prep.dim = dim
	case op.prep.dim != dim:
		return change.Errorf(change.DimensionMismatch, "chunks[%d].embedding has %d elements, those before it have %d", i, dim, op.prep.dim).
			With("expected", op.prep.dim).With("got", dim)
	}
	zero := true
	for o := 0; o < len(v.Raw); o += 4 {
		bits := binary.LittleEndian.Uint32(v.Raw[o:])
		if bits&0x7f800000 == 0x7f800000 {
			return change.BadField(field("chunks[%d].embedding", i), "element %d is %v: every element is a finite float32", o/4, math.Float32frombits(bits))
		}
		zero = zero && bits&0x7fffffff == 0
	}
	if zero && lib.metric == "cosine" {
		return change.BadField(field("chunks[%d].embedding", i), "the vector has length zero: it has no direction, and the library's metric is cosine")
	}
	return nil
}

// quoted shows a value of unknown length and content in a message.
func quoted(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], "�"))
	}
	return fmt.Sprintf("%q", s)
}

// prepared is what the caller's goroutine works out for an Op before the
// sequencer sees it.
type prepared struct {
	err     *change.Error
	lib     uint32
	dim     int    // of every vector in the op, 0 where it has none
	content []byte // behind resolutionRoom bytes
	raw     []byte
	bytes   int // that the op's changes take in the log, about
	hash    uint64

	// read says that row was read from the store (nil: absent) after ticket was
	// applied.
	read   bool
	ticket uint64
	row    *docRow
}

func checkSpread(title string, metadata []byte, chunks int) *change.Error {
	if n := (len(title) + len(metadata)) * chunks; n > MaxSpreadBytes {
		return change.Errorf(change.TooLarge, "title and metadata of %d bytes for each of %d chunks: every chunk is found by them, and together they may take %d bytes; put what is long into the text", len(title)+len(metadata), chunks, MaxSpreadBytes).With("limit", MaxSpreadBytes)
	}
	return nil
}
