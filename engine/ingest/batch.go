package ingest

import (
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Sizes of what a batch keeps for the next one.
const (
	slabSize  = 256 << 10
	slabText  = 64 << 10 // a longer document has memory of its own, which is not kept
	keepDocs  = 16 << 20 // about what the documents of a batch may hold
	keepSlabs = batchBytes/slabSize + 4
)

// A batch is a run of physical lines, from+1…to, that are committed together.
// Its documents refer to its slabs, so it is used again only when its group is
// done.
type batch struct {
	from, to uint64
	entries  []entry // the lines that are not blank, in order
	weight   int

	slabs [][]byte // Invariant: slabs[:full+1] are in use, the last one up to its len
	full  int
	docs  []slot
	used  int // docs[:used] are in use
	kept  int // about what all docs hold

	group   engine.Group
	ops     []engine.Op
	pending *engine.Pending // nil where there is nothing to commit
	gen     uint64          // the generation at its submission
}

// An entry is a line with a document, or with the fault that it has none.
type entry struct {
	line uint64
	doc  *docjson.Document
	err  *change.Error
}

// A slot is a document that is used again.
type slot struct {
	doc  *docjson.Document
	most int // about what it holds
	own  bool
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(from uint64) *batch {
	b := batches.Get().(*batch)
	b.from, b.to = from, from
	return b
}

// release gives the batch back.
func (b *batch) release() {
	for i := range b.docs[:b.used] {
		if b.docs[i].own { // it keeps that memory alive
			b.kept -= b.docs[i].most
			b.docs[i] = slot{}
		}
	}
	if b.kept > keepDocs {
		b.docs, b.kept = nil, 0
	}
	if len(b.slabs) > keepSlabs {
		clear(b.slabs[keepSlabs:])
		b.slabs = b.slabs[:keepSlabs]
	}
	for i := range b.slabs {
		b.slabs[i] = b.slabs[i][:0]
	}
	clear(b.entries)
	clear(b.ops)
	b.entries, b.ops, b.group, b.pending = b.entries[:0], b.ops[:0], engine.Group{}, nil
	b.full, b.used, b.weight = 0, 0, 0
	batches.Put(b)
}

// room returns n bytes of the batch's memory, empty.
func (b *batch) room(n int) []byte {
	if n > slabText {
		return make([]byte, 0, n)
	}
	if len(b.slabs) == 0 {
		b.slabs = append(b.slabs, make([]byte, 0, slabSize))
	}
	if s := b.slabs[b.full]; cap(s)-len(s) < n {
		if b.full++; b.full == len(b.slabs) {
			b.slabs = append(b.slabs, make([]byte, 0, slabSize))
		}
	}
	s := b.slabs[b.full]
	at := len(s)
	b.slabs[b.full] = s[:at+n]
	return s[at : at : at+n]
}

// add parses a line. It keeps nothing of it.
func (b *batch) add(n uint64, line []byte) *change.Error {
	if b.used == len(b.docs) {
		b.docs = append(b.docs, slot{})
	}
	d := &b.docs[b.used]
	if d.doc == nil {
		d.doc = new(docjson.Document)
	}
	b.used++
	err := docjson.Parse(d.doc, line, docjson.Limits{})
	// A number of an embedding takes 4 bytes and may be 2 of the line.
	holds := 2*len(line) + 128*len(d.doc.Chunks)
	if holds > d.most {
		b.kept += holds - d.most
		d.most = holds
	}
	b.weight += len(line) + 128*len(d.doc.Chunks)
	if err != nil {
		d.own = d.own || len(line) > slabText // what was parsed of it refers to the line
		e := asError(err)
		b.entries = append(b.entries, entry{line: n, err: e})
		return e
	}
	size := d.doc.TextBytes()
	d.own = d.own || size > slabText
	d.doc.Detach(b.room(size))
	b.entries = append(b.entries, entry{line: n, doc: d.doc})
	return nil
}

// submit queues entries[lo:hi] as one group that takes the source from line from
// to line to. It returns nil where there is nothing to commit. The group before
// must be done.
func (b *batch) submit(db *engine.DB, o *Options, lo, hi int, from, to uint64) *engine.Pending {
	clear(b.ops)
	b.ops = b.ops[:0]
	for i := range b.entries[lo:hi] {
		if e := &b.entries[lo+i]; e.err == nil {
			b.ops = append(b.ops, engine.Op{Kind: engine.OpPut, Library: o.Library.ID, Mode: o.Mode, Doc: e.doc})
		}
	}
	b.group = engine.Group{Ops: b.ops, Atomic: o.Abort}
	if o.Source != "" && to > from {
		b.group.Source = &engine.SourceMove{Library: o.Library.ID, Name: o.Source, From: from, To: to}
	}
	if len(b.ops) == 0 && b.group.Source == nil {
		return nil
	}
	return db.Submit(&b.group)
}

// nth returns the index of the entry of the nth operation of entries[lo:hi].
func (b *batch) nth(lo, hi, n int) int {
	for i := lo; i < hi; i++ {
		if b.entries[i].err != nil {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return -1
}
