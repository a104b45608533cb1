package engine

import (
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/search"
)

// aheadBytes is how many bytes of text a group has at least for its analysis to have
// a goroutine of its own.
const aheadBytes = 256

// A textsAhead is the words of a group's texts, worked out while the group waits for
// its place in the log and for the sync, on another processor where one is idle.
type textsAhead struct {
	done chan struct{}
	docs []search.DocumentWords // by operation
}

// analyse begins the analysis of what a group will put into the indexes.
func (db *DB) analyse(p *Pending) {
	size := 0
	for i := range p.group.Ops {
		if op := &p.group.Ops[i]; op.Kind == OpPut && op.prep.err == nil {
			size += op.prep.bytes - len(op.prep.raw)
		}
	}
	if size < aheadBytes {
		return
	}
	a := &textsAhead{done: make(chan struct{}), docs: make([]search.DocumentWords, len(p.group.Ops))}
	p.ahead = a
	go func() {
		defer close(a.done)
		start := time.Now()
		defer func() { db.check.cost.analysing.Add(int64(time.Since(start))) }()
		for i := range p.group.Ops {
			op := &p.group.Ops[i]
			if lib := db.library(op.Library); lib != nil && op.Kind == OpPut && op.prep.err == nil {
				a.docs[i] = lib.texts.Document(op.Doc.Title, op.Doc.Chunks)
			}
		}
	}()
}

// wait ends once nothing of the group's documents is read any more.
func (a *textsAhead) wait() {
	if a != nil {
		<-a.done
	}
}

// awaitWords waits until the texts of a commit's records have been analysed.
func awaitWords(recs []change.Record) {
	for i := range recs {
		if w, ok := recs[i].Ahead.(wordsAhead); ok {
			w.of.wait()
		}
	}
}

// A wordsAhead is the words of one record's document.
type wordsAhead struct {
	of *textsAhead
	op int
}

// wordsOf returns the words of a record, nil where the view has to look itself.
func wordsOf(r *change.Record) *search.DocumentWords {
	w, ok := r.Ahead.(wordsAhead)
	if !ok {
		return nil
	}
	w.of.wait()
	return &w.of.docs[w.op]
}
