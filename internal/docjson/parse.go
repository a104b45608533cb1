package docjson

import (
	"fmt"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// Members of a document, in the order of documentFields.
const (
	fID = iota
	fTitle
	fMetadata
	fChunks
	fTexts
	fText
	fEmbedding
	fAuthor
	fDocumentType
	fSourceURL
	fTags
	fCreatedAt
	fLibraryID
	fSeq
	fUpdatedAt
	fNumChunks
)

var documentFields = []string{"id", "title", "metadata", "chunks", "texts", "text", "embedding",
	"author", "document_type", "source_url", "tags", "created_at", "library_id", "seq", "updated_at", "num_chunks"}

// Members of a chunk, in the order of chunkFields.
const (
	cID = iota
	cText
	cEmbedding
	cMetadata
)

var chunkFields = []string{"id", "text", "embedding", "metadata"}

func documentField(name []byte) int {
	switch string(name) {
	case "id":
		return fID
	case "title":
		return fTitle
	case "metadata":
		return fMetadata
	case "chunks":
		return fChunks
	case "texts":
		return fTexts
	case "text":
		return fText
	case "embedding":
		return fEmbedding
	case "author":
		return fAuthor
	case "document_type":
		return fDocumentType
	case "source_url":
		return fSourceURL
	case "tags":
		return fTags
	case "created_at":
		return fCreatedAt
	case "library_id":
		return fLibraryID
	case "seq":
		return fSeq
	case "updated_at":
		return fUpdatedAt
	case "num_chunks":
		return fNumChunks
	}
	return -1
}

func chunkField(name []byte) int {
	switch string(name) {
	case "id":
		return cID
	case "text":
		return cText
	case "embedding":
		return cEmbedding
	case "metadata":
		return cMetadata
	}
	return -1
}

// A span says where the vector of a chunk lies in scratch.raw.
type span struct{ chunk, start, end int }

type parser struct {
	scanner
	doc    *Document
	lim    Limits
	chunk  int // the chunk being read, -1 outside of chunks
	spans  []span
	floats []byte
	// extra holds what lies at the top level and belongs into the metadata.
	extra [4][]byte
}

// Parse reads one document as a client sends it (API, section 4) from src into
// dst. A failed Parse leaves nothing of use in dst.
//
// Exactly one of "chunks", "texts", "text" and "embedding" says what the
// document holds; "text" and "embedding" together are one chunk. A member that
// is null is as one that is absent. "author", "document_type", "source_url" and
// "tags" become members of the metadata where the metadata does not name them
// itself. "library_id", "seq", "updated_at" and "num_chunks" are ignored.
func Parse(dst *Document, src []byte, lim Limits) error {
	return parse(dst, src, lim, documentForm)
}

// ParseChunks reads {"chunks":[…]} into dst.Chunks: what is to be added to a
// document that exists.
func ParseChunks(dst *Document, src []byte, lim Limits) error {
	return parse(dst, src, lim, chunksForm)
}

type form uint8

const (
	documentForm form = iota
	chunksForm
)

// keepScratch is the size up to which a Document keeps a buffer for the next
// Parse, so that one large document does not hold its memory for ever.
const keepScratch = 4 << 20

func parse(dst *Document, src []byte, lim Limits, f form) error {
	s := &dst.scratch
	if cap(s.arena) > keepScratch {
		s.arena = nil
	}
	if cap(s.raw) > keepScratch {
		s.raw = nil
	}
	p := parser{
		scanner: scanner{src: src, arena: s.arena[:0], keys: s.keys[:0]},
		doc:     dst, lim: lim.withDefaults(), chunk: -1, spans: s.spans[:0], floats: s.raw[:0],
	}
	dst.ID, dst.Title, dst.Metadata, dst.CreatedAt, dst.Chunks = "", "", nil, 0, dst.Chunks[:0]
	dst.Text, dst.HasText = "", false
	p.document(f)
	s.arena, s.keys, s.spans, s.raw = p.arena, p.keys, p.spans, p.floats
	if p.err != nil {
		return p.err
	}
	p.placeVectors(s)
	return nil
}

// placeVectors hands the chunks their vectors, now that the slice that holds
// them does not move any more.
func (p *parser) placeVectors(s *scratch) {
	if cap(s.vectors) < len(p.spans) {
		s.vectors = make([]change.Vector, len(p.spans), max(len(p.spans), 2*cap(s.vectors)))
	}
	s.vectors = s.vectors[:len(p.spans)]
	for i, sp := range p.spans {
		s.vectors[i] = change.Vector{Raw: p.floats[sp.start:sp.end:sp.end]}
		p.doc.Chunks[sp.chunk].Vectors = s.vectors[i : i+1 : i+1]
	}
}

func (p *parser) document(f form) bool {
	if p.peek() != '{' {
		return p.wrongType("", "a document is a JSON object")
	}
	p.openObject()
	var given uint32 // named
	var set uint32   // named and not null
	text := ""
	for first := true; ; first = false {
		name, ok := p.key(first)
		if !ok {
			break
		}
		field := documentField(name)
		if field < 0 || f == chunksForm && field != fChunks {
			if f == chunksForm {
				return p.unknown(name, []string{"chunks"})
			}
			return p.unknown(name, documentFields)
		}
		bit := uint32(1) << field
		if given&bit != 0 {
			return p.twice(documentFields[field])
		}
		given |= bit
		if p.null() {
			continue
		}
		set |= bit
		if !p.field(field, &text) {
			return false
		}
	}
	return p.err == nil && p.end() && p.content(set, text) && p.mergeExtra() && p.checkIDs(f)
}

// field reads the value of a document's member.
func (p *parser) field(field int, text *string) (ok bool) {
	switch field {
	case fID:
		p.doc.ID, ok = p.id("id")
	case fTitle:
		p.doc.Title, ok = p.text("title")
	case fMetadata:
		p.doc.Metadata, ok = p.metadata("metadata")
	case fChunks:
		ok = p.chunks()
	case fTexts:
		ok = p.texts()
	case fText:
		*text, ok = p.text("text")
	case fEmbedding:
		ok = p.embedding()
	case fAuthor, fDocumentType, fSourceURL:
		if p.here() != '"' {
			return p.wrongType(documentFields[field], "it must be a string")
		}
		start := p.i
		_, _, ok = p.raw()
		p.extra[field-fAuthor] = p.src[start:p.i]
	case fTags:
		ok = p.tags()
	case fCreatedAt:
		ok = p.createdAt()
	default: // read-only
		ok = p.value(0)
	}
	return ok
}

// content decides what the document holds.
func (p *parser) content(set uint32, text string) bool {
	const hint = `give one of "chunks", "texts", "text" (with "embedding" if there is one) and "embedding"`
	has := func(f int) bool { return set&(1<<f) != 0 }
	d := p.doc
	switch {
	case has(fChunks):
		for _, f := range []int{fTexts, fText, fEmbedding} {
			if has(f) {
				return p.fail(change.BadField(documentFields[f], `%q beside "chunks": %s`, documentFields[f], hint))
			}
		}
		if len(d.Chunks) == 0 {
			return p.fail(change.BadField("chunks", `"chunks" is empty: a document has one or more chunks`))
		}
	case has(fTexts):
		for _, f := range []int{fText, fEmbedding} {
			if has(f) {
				return p.fail(change.BadField(documentFields[f], `%q beside "texts": %s`, documentFields[f], hint))
			}
		}
		if len(d.Chunks) == 0 {
			return p.fail(change.BadField("texts", `"texts" is empty: a document has one or more chunks`))
		}
	case has(fEmbedding):
		d.Chunks = append(d.Chunks, change.Chunk{Text: text})
	case has(fText):
		if text == "" {
			return p.fail(change.BadField("text", `"text" is empty: a document has one or more chunks`))
		}
		d.Text, d.HasText = text, true
	default:
		return p.fail(change.BadField("chunks", "a document has one or more chunks: %s", hint))
	}
	return true
}

func (p *parser) text(field string) (string, bool) {
	if p.here() != '"' {
		return "", p.wrongType(field, "it must be a string")
	}
	b, ok := p.bytes()
	return aliasString(b), ok
}

func (p *parser) id(field string) (string, bool) {
	s, ok := p.text(field)
	if ok && !ValidID(s) {
		return "", p.fail(change.BadField(p.path(field), "%s is not an id: 1 to %d letters, digits and . _ : -, the first a letter or digit", quote(s), maxID))
	}
	return s, ok
}

// metadata reads an object and returns its bytes without white space, nil for {}.
func (p *parser) metadata(field string) ([]byte, bool) {
	if p.here() != '{' {
		return nil, p.wrongType(field, "it must be an object")
	}
	start := p.i
	p.space = false
	if !p.object(0) {
		if p.err.Code == change.InvalidArgument {
			p.err.Field = p.path(field)
		}
		return nil, false
	}
	raw := p.compact(p.src[start:p.i:p.i], p.space)
	if len(raw) > p.lim.Metadata {
		return nil, p.fail(change.Errorf(change.TooLarge, "%s takes %d bytes, more than %d", p.path(field), len(raw), p.lim.Metadata).With("limit", p.lim.Metadata))
	}
	if len(raw) == 2 {
		raw = nil
	}
	return raw, true
}

func (p *parser) tags() bool {
	if p.here() != '[' {
		return p.wrongType("tags", "it must be an array of strings")
	}
	start := p.i
	p.space = false
	p.i++
	n := 0
	for first := true; p.element(first); first = false {
		if p.here() != '"' {
			return p.wrongType(fmt.Sprintf("tags[%d]", n), "it must be a string")
		}
		if _, _, ok := p.raw(); !ok {
			return false
		}
		n++
	}
	if p.err != nil {
		return false
	}
	p.extra[fTags-fAuthor] = p.compact(p.src[start:p.i], p.space)
	return true
}

func (p *parser) createdAt() bool {
	s, ok := p.text("created_at")
	if !ok {
		return false
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return p.fail(change.BadField("created_at", "%s is not a time as RFC 3339 writes it, for example 2026-01-31T12:00:00Z", quote(s)))
	}
	p.doc.CreatedAt = t.UnixMicro()
	return true
}

// mergeExtra writes the members of extra to the end of the metadata, but those
// that the metadata has itself.
func (p *parser) mergeExtra() bool {
	n := 0
	for i, v := range p.extra {
		if v != nil && p.doc.Metadata != nil && hasMember(p.doc.Metadata, documentFields[fAuthor+i]) {
			p.extra[i], v = nil, nil
		}
		if v != nil {
			n += len(documentFields[fAuthor+i]) + len(v) + 4
		}
	}
	if n == 0 {
		return true
	}
	dst := append(p.room(len(p.doc.Metadata)+n+2), '{')
	if m := p.doc.Metadata; m != nil {
		dst = append(dst, m[1:len(m)-1]...)
	}
	for i, v := range p.extra {
		if v == nil {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, documentFields[fAuthor+i]...)
		dst = append(dst, '"', ':')
		dst = append(dst, v...)
	}
	dst = append(dst, '}')
	p.arena = p.arena[:len(p.arena)+len(dst)]
	p.doc.Metadata = dst[:len(dst):len(dst)]
	return true
}

// checkIDs checks that no two chunks have one id; the id of a chunk without one
// is its place.
func (p *parser) checkIDs(f form) bool {
	chunks := p.doc.Chunks
	plain := true
	for i := range chunks {
		if id := chunks[i].ID; id != "" && (i >= 64 || id != change.DefaultChunkID(i)) {
			plain = false
			break
		}
	}
	if plain {
		return true
	}
	seen := make(map[string]int, len(chunks))
	for i := range chunks {
		id := chunks[i].ID
		if id == "" {
			if f == chunksForm {
				continue
			}
			id = change.DefaultChunkID(i)
		}
		if j, ok := seen[id]; ok {
			return p.fail(change.BadField(fmt.Sprintf("chunks[%d].id", i), "chunks %d and %d have the same id %q (a chunk without id has its place as id)", j, i, id))
		}
		seen[id] = i
	}
	return true
}
