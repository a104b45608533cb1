package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/keyword"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// HitOptions say what of a hit is wanted beside ids, title and scores.
type HitOptions struct {
	Text, Metadata, Embedding, Highlight bool
}

// highlightBytes is about how long the shown parts of a text are.
const highlightBytes = 240

// AppendHit appends the i-th hit as a JSON object (API, section 6), with head behind
// the opening brace.
func (r *SearchResult) AppendHit(dst []byte, i int, o HitOptions, head string) ([]byte, error) {
	h := r.Hit(i)
	num := r.capture.Num(h.Slot)
	text, row, ref, err := r.read(num)
	if err != nil {
		return dst, internalError(err)
	}
	dst = append(append(dst, '{'), head...)
	dst = append(dst, `"rank":`...)
	dst = strconv.AppendInt(dst, int64(i+1), 10)
	dst = append(dst, `,"chunk_id":`...)
	dst = docjson.AppendString(dst, ref.ID)
	dst = append(dst, `,"document_id":`...)
	doc, _ := r.capture.ID(h.Slot)
	dst = docjson.AppendString(dst, doc)
	dst = append(dst, `,"score":`...)
	dst = docjson.AppendDouble(dst, h.Score)
	dst = append(dst, `,"distance":`...)
	if h.InVectors {
		dst = docjson.AppendDouble(dst, h.Distance)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"title":`...)
	dst = docjson.AppendString(dst, row.Title)
	dst = append(dst, `,"text":`...)
	if o.Text {
		dst = docjson.AppendString(dst, text)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"metadata":`...)
	if o.Metadata {
		dst = docjson.AppendOverlay(dst, row.Metadata, ref.Metadata)
	} else {
		dst = append(dst, "null"...)
	}
	if o.Embedding {
		dst = append(dst, `,"embedding":`...)
		if dst, err = r.appendVector(dst, num); err != nil {
			return dst, internalError(err)
		}
	}
	if o.Highlight {
		dst = append(dst, `,"highlight":{"title":`...)
		dst = r.appendHighlight(dst, row.Title)
		dst = append(dst, `,"text":`...)
		dst = append(r.appendHighlight(dst, text), '}')
	}
	return append(dst, '}'), nil
}

// ID returns the ids of the i-th hit's document and chunk.
func (r *SearchResult) ID(i int) (doc, chunk string) { return r.capture.ID(r.hits[i].Slot) }

// cachedRows is how many documents of the hits before are kept: chunks of one document
// often come together, or by turns with those of a few others.
const cachedRows = 64

// read returns a chunk's text, valid until the next call, and its document's row.
func (r *SearchResult) read(num uint64) (string, *docRow, *change.ChunkRef, error) {
	s := r.snap
	s.key = appendChunkKey(s.key[:0], r.info.num, num)
	val, closer, err := s.snap.Get(s.key)
	if err != nil {
		return "", nil, nil, &DamageError{Where: "the store", Err: fmt.Errorf("chunk row %d of library number %d: %w", num, r.info.num, err)}
	}
	s.row = append(s.row[:0], val...)
	if err := closer.Close(); err != nil {
		return "", nil, nil, err
	}
	id, text, err := decodeChunkRow(s.row)
	if err != nil {
		return "", nil, nil, err
	}
	row := r.rows[id]
	if row == nil {
		row, err = readDocRow(s.snap, r.info.num, id)
		if err == nil && row == nil {
			err = &DamageError{Where: "the store", Err: fmt.Errorf("chunk %d belongs to document %q, which is not there", num, id)}
		}
		if err != nil {
			return "", nil, nil, err
		}
		if len(r.rows) >= cachedRows {
			for any := range r.rows {
				delete(r.rows, any)
				break
			}
		}
		if r.rows == nil {
			r.rows = map[string]*docRow{}
		}
		r.rows[strings.Clone(id)] = row
	}
	ref, _ := findRef(row.Chunks, num, 0)
	if ref == nil {
		return "", nil, nil, &DamageError{Where: "the store", Err: fmt.Errorf("chunk %d is not among those of document %q", num, id)}
	}
	return text, row, ref, nil
}

func (r *SearchResult) appendVector(dst []byte, num uint64) ([]byte, error) {
	space, ok := r.vectors(r.capture.Dim())
	if !ok || !space.Has(num) {
		return append(dst, "null"...), nil
	}
	floats, err := space.Row(num, nil)
	if err != nil {
		return dst, err
	}
	return docjson.AppendVector(dst, change.AppendRaw(make([]byte, 0, 4*len(floats)), floats)), nil
}

// appendHighlight appends the parts of a text that the query's words stand in, each
// word between <em> and </em>.
func (r *SearchResult) appendHighlight(dst []byte, text string) []byte {
	dst = append(dst, '[')
	if r.words == nil {
		r.words = keyword.Parse(r.info.analyzer, r.query)
	}
	for i, f := range keyword.Highlight(r.info.analyzer, r.words, text, highlightBytes) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = docjson.AppendString(dst, mark(text, f))
	}
	return append(dst, ']')
}

// mark puts what matches in a part of a text between <em> and </em>.
func mark(text string, f keyword.Fragment) string {
	var b strings.Builder
	at := f.Start
	for _, m := range f.Matches {
		b.WriteString(text[at:m[0]])
		b.WriteString("<em>")
		b.WriteString(text[m[0]:m[1]])
		b.WriteString("</em>")
		at = m[1]
	}
	b.WriteString(text[at:f.End])
	return b.String()
}
