package cdc

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// An event is one CloudEvent in an encoder's buffer, cut where readers differ:
//
//	{"specversion":…,"library_id":…,"last":  true  ,"data":{…   ,"match":"…"  }}
//	^from                                  ^last  ^last         ^end
//
// "last" and "match" are of the reader, everything else is the same for all.
type event struct {
	kind                 change.Kind
	document             bool // a filter can judge it
	library              string
	seq                  uint64
	from, last, end      int
	idFrom, idTo         int
	timeFrom, timeTo     int
	libraryAt, libraryTo int // the library's id as JSON
	dataAt               int // the '{' of data
}

// An encoder turns records into events. Its buffer and scratch are used again.
type encoder struct {
	buf  []byte
	doc  change.DocumentChange // the record decoded last
	view docjson.View

	lineage change.Lineage
	chain   uint32
	epoch   change.Epoch
	prefix  []byte // "<epoch>:"
	suffix  []byte // ":<check>"

	micros int64 // what clock shows
	clock  []byte
}

// frame prepares e for the records of a frame.
func (e *encoder) frame(lineage change.Lineage, chain uint32) {
	e.lineage = lineage
	if chain != e.chain || len(e.suffix) == 0 {
		e.chain = chain
		p := change.Position{Check: chain, HasCheck: true}.Append(nil)
		e.suffix = append(e.suffix[:0], p[len(p)-9:]...)
	}
}

func (e *encoder) position(seq uint64) {
	if epoch := e.lineage.At(seq); epoch != e.epoch || len(e.prefix) == 0 {
		e.epoch = epoch
		p := change.Position{Epoch: epoch}.Append(e.prefix[:0])
		e.prefix = p[:len(p)-1] // without the 0
	}
	e.buf = append(e.buf, e.prefix...)
	e.buf = strconv.AppendUint(e.buf, seq, 10)
	e.buf = append(e.buf, e.suffix...)
}

func (e *encoder) time(micros int64) {
	if micros != e.micros || len(e.clock) == 0 {
		e.micros = micros
		e.clock = docjson.AppendTime(e.clock[:0], micros)
	}
	e.buf = append(e.buf, e.clock...)
}

func isDocument(k change.Kind) bool {
	return k >= change.DocumentAdded && k <= change.ChunkDeleted
}

func isLibrary(k change.Kind) bool {
	return k >= change.LibraryCreated && k <= change.LibraryDeleted
}

// decode takes the body of a document's record apart into e.doc.
func (e *encoder) decode(r *change.Record) *change.Error {
	if err := e.doc.Decode(r); err != nil {
		return damaged(r, err)
	}
	return nil
}

func damaged(r *change.Record, err error) *change.Error {
	return &change.Error{Code: change.Internal, Detail: fmt.Sprintf("change %d (%s) cannot be read", r.Seq, r.Kind), Err: err}
}

// encode appends the event of r to the buffer. A document's record must have
// been decoded.
func (e *encoder) encode(r *change.Record, include Include) (event, *change.Error) {
	switch {
	case isDocument(r.Kind):
		return e.document(r, include), nil
	case isLibrary(r.Kind):
		c, err := change.DecodeLibrary(r)
		if err != nil {
			return event{}, damaged(r, err)
		}
		return e.library(r, c, include), nil
	case r.Kind.EventType() == "":
		return event{}, damaged(r, fmt.Errorf("kind %#02x is of a newer version of arrwDB", uint8(r.Kind)))
	}
	// Kinds whose bodies are not laid down yet: the event without data.
	ev := e.head(r, "", "", 0)
	e.buf = append(e.buf, `,"data":{`...)
	ev.dataAt, ev.end = len(e.buf)-1, len(e.buf)
	return ev, nil
}

// head appends an event up to the value of "last".
func (e *encoder) head(r *change.Record, library, subject string, micros int64) event {
	ev := event{kind: r.Kind, seq: r.Seq, library: library, from: len(e.buf)}
	e.buf = append(e.buf, `{"specversion":"1.0","id":"`...)
	ev.idFrom = len(e.buf)
	e.position(r.Seq)
	ev.idTo = len(e.buf)
	e.buf = append(e.buf, `","source":"/v1`...)
	if library != "" {
		e.buf = append(e.buf, `/libraries/`...)
		e.buf = append(e.buf, library...)
	}
	e.buf = append(e.buf, `","type":"`...)
	e.buf = append(e.buf, r.Kind.EventType()...)
	e.buf = append(e.buf, `","subject":`...)
	if subject == "" {
		e.buf = append(e.buf, "null"...)
	} else {
		e.buf = docjson.AppendString(e.buf, subject)
	}
	e.buf = append(e.buf, `,"time":"`...)
	ev.timeFrom = len(e.buf)
	e.time(micros)
	ev.timeTo = len(e.buf)
	e.buf = append(e.buf, `","datacontenttype":"application/json","sequence":"`...)
	e.buf = strconv.AppendUint(e.buf, r.Seq, 10)
	e.buf = append(e.buf, `","seq":`...)
	e.buf = strconv.AppendUint(e.buf, r.Seq, 10)
	e.buf = append(e.buf, `,"library_id":`...)
	ev.libraryAt = len(e.buf)
	if library == "" {
		e.buf = append(e.buf, "null"...)
	} else {
		e.buf = docjson.AppendString(e.buf, library)
	}
	ev.libraryTo = len(e.buf)
	e.buf = append(e.buf, `,"last":`...)
	ev.last = len(e.buf)
	return ev
}

func (e *encoder) document(r *change.Record, include Include) event {
	c := &e.doc
	ev := e.head(r, c.LibraryID, c.ID, c.Time)
	ev.document = true
	e.buf = append(e.buf, `,"data":{"document_id":`...)
	ev.dataAt = ev.last + len(`,"data":`)
	e.buf = docjson.AppendString(e.buf, c.ID)
	e.buf = append(e.buf, `,"title":`...)
	e.buf = docjson.AppendString(e.buf, c.Title)
	e.buf = append(e.buf, `,"num_chunks":`...)
	e.buf = strconv.AppendInt(e.buf, int64(c.NumChunks), 10)
	switch r.Kind {
	case change.ChunkAdded, change.ChunkDeleted:
		e.buf = append(e.buf, `,"chunk":`...)
		e.chunk(r.Kind, c, include)
	default:
		e.buf = append(e.buf, `,"document":`...)
		e.body(r, c, include)
	}
	e.buf = append(e.buf, `,"previous":`...)
	e.previous(c.Prev)
	ev.end = len(e.buf)
	return ev
}

// body appends data.document: what the change set.
func (e *encoder) body(r *change.Record, c *change.DocumentChange, include Include) {
	switch {
	case include == IncludeNone || r.Kind == change.DocumentDeleted:
		e.buf = append(e.buf, "null"...)
	case r.Kind == change.DocumentPatched:
		e.buf = append(e.buf, `{"id":`...)
		e.buf = docjson.AppendString(e.buf, c.ID)
		e.buf = append(e.buf, `,"library_id":`...)
		e.buf = docjson.AppendString(e.buf, c.LibraryID)
		e.buf = append(e.buf, `,"title":`...)
		e.buf = docjson.AppendString(e.buf, c.Title)
		e.buf = append(e.buf, `,"metadata":`...)
		e.buf = docjson.AppendMetadata(e.buf, c.Metadata)
		e.buf = append(e.buf, `,"num_chunks":`...)
		e.buf = strconv.AppendInt(e.buf, int64(c.NumChunks), 10)
		e.buf = append(e.buf, `,"seq":`...)
		e.buf = strconv.AppendUint(e.buf, r.Seq, 10)
		e.buf = append(e.buf, `,"created_at":"`...)
		e.buf = docjson.AppendTime(e.buf, c.CreatedAt)
		e.buf = append(e.buf, `","updated_at":"`...)
		e.time(c.Time)
		e.buf = append(e.buf, `","partial":true}`...)
	default:
		e.view = docjson.View{LibraryID: c.LibraryID, ID: c.ID, Title: c.Title, Metadata: c.Metadata, Seq: r.Seq,
			CreatedAt: c.CreatedAt, UpdatedAt: c.Time, NumChunks: c.NumChunks, Chunks: c.Added}
		e.buf = docjson.AppendView(e.buf, &e.view, include == IncludeEmbeddings)
	}
}

// chunk appends data.chunk: the chunk that was added, or what is known of the
// one that is gone.
func (e *encoder) chunk(k change.Kind, c *change.DocumentChange, include Include) {
	var id string
	switch {
	case k == change.ChunkAdded && len(c.Added) == 1:
		ch := &c.Added[0]
		if id = ch.ID; include == IncludeNone {
			break
		}
		var vector []byte
		if len(ch.Vectors) > 0 {
			vector = ch.Vectors[0].Raw
		}
		e.buf = docjson.AppendChunk(e.buf, ch.ID, ch.Text, ch.Metadata, vector, include == IncludeEmbeddings)
		return
	case k == change.ChunkDeleted && len(c.Killed) == 1:
		if id = c.Killed[0].ID; include == IncludeNone {
			break
		}
		e.buf = append(e.buf, `{"id":`...)
		e.buf = docjson.AppendString(e.buf, id)
		e.buf = append(e.buf, `,"metadata":`...)
		e.buf = docjson.AppendMetadata(e.buf, c.Killed[0].Metadata)
		e.buf = append(e.buf, '}')
		return
	default:
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = append(e.buf, `{"id":`...)
	e.buf = docjson.AppendString(e.buf, id)
	e.buf = append(e.buf, '}')
}

func (e *encoder) previous(p *change.Image) {
	if p == nil {
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = append(e.buf, `{"title":`...)
	e.buf = docjson.AppendString(e.buf, p.Title)
	e.buf = append(e.buf, `,"metadata":`...)
	e.buf = docjson.AppendMetadata(e.buf, p.Metadata)
	e.buf = append(e.buf, `,"seq":`...)
	e.buf = strconv.AppendUint(e.buf, p.Seq, 10)
	e.buf = append(e.buf, '}')
}

func (e *encoder) library(r *change.Record, c *change.LibraryChange, include Include) event {
	ev := e.head(r, c.ID, c.ID, c.Time)
	e.buf = append(e.buf, `,"data":{"library_id":`...)
	ev.dataAt = ev.last + len(`,"data":`)
	e.buf = docjson.AppendString(e.buf, c.ID)
	e.buf = append(e.buf, `,"library":`...)
	gone := r.Kind == change.LibraryDeleted
	settings := c.Settings
	if gone || include == IncludeNone {
		settings = nil
	}
	e.orNull(settings)
	e.buf = append(e.buf, `,"previous":`...)
	if r.Kind == change.LibraryCreated {
		e.buf = append(e.buf, "null"...)
	} else {
		before := c.PrevSettings
		if before == nil && gone {
			before = c.Settings
		}
		var former struct {
			Name     string          `json:"name"`
			Metadata json.RawMessage `json:"metadata"`
		}
		_ = json.Unmarshal(before, &former) // settings of another form show an empty name
		e.buf = docjson.AppendString(append(e.buf, `{"title":`...), former.Name)
		e.buf = docjson.AppendMetadata(append(e.buf, `,"metadata":`...), former.Metadata)
		e.buf = append(e.buf, `,"seq":`...)
		e.buf = strconv.AppendUint(e.buf, c.PrevSeq, 10)
		if include != IncludeNone {
			e.buf = append(e.buf, `,"library":`...)
			e.orNull(before)
		}
		e.buf = append(e.buf, '}')
	}
	if gone {
		e.buf = append(e.buf, `,"documents":`...)
		e.buf = strconv.AppendUint(e.buf, c.Documents, 10)
		e.buf = append(e.buf, `,"chunks":`...)
		e.buf = strconv.AppendUint(e.buf, c.Chunks, 10)
	}
	ev.end = len(e.buf)
	return ev
}

func (e *encoder) orNull(json []byte) {
	if len(json) == 0 {
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = append(e.buf, json...)
}

// keepBuffer is the size up to which an encoder keeps its buffer.
const keepBuffer = 1 << 20

// reset empties the buffer, and lets go of one that a large event has grown.
func (e *encoder) reset() {
	if cap(e.buf) > keepBuffer {
		e.buf = nil
	}
	e.buf = e.buf[:0]
}
