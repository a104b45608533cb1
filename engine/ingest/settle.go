package ingest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// A settler hears in order what became of the batches. All but stop and gen is
// its goroutine's until that has ended.
type settler struct {
	db   *engine.DB
	o    *Options
	sink Sink
	stop chan struct{} // closed when the upload ends before the body
	// gen counts what was submitted again: a batch of an older generation may
	// have missed its place in the source because of that.
	gen atomic.Uint64

	base    uint64 // the line before the first one of this body
	settled uint64 // everything up to this line is dealt with
	aborted bool   // the line after settled is bad, and ended the upload
	groups  int    // committed
	sum     Summary
}

// settle waits for the group of entries[lo:hi], which takes the lines from+1…to,
// and deals with what became of it. It reports false where the upload ends.
//
// A group that fails as a whole may have to be submitted again in other parts:
// where one operation is at fault, what lies before it; where it is too large,
// its halves. In an upload with a source the batches behind it then fail, since
// the source is not where they begin; they are submitted again in their turn.
func (s *settler) settle(b *batch, lo, hi int, from, to uint64, p *engine.Pending) bool {
	if p == nil {
		return s.report(b, lo, hi, from, to, nil)
	}
	// Not the upload's context: a group that is on its way comes through, and
	// until it has, the batch cannot be used again.
	rec, err := p.Wait(context.Background())
	if err == nil {
		return s.report(b, lo, hi, from, to, rec)
	}
	if s.over() {
		return false // what failed after the end of the upload is not part of it
	}
	e := asError(err)
	ops := len(b.ops)
	again := func(lo, hi int, from, to uint64) bool {
		ok := s.settle(b, lo, hi, from, to, b.submit(s.db, s.o, lo, hi, from, to))
		s.gen.Add(1)
		return ok
	}
	n, isOp := e.Extra["operation"].(int)
	if !isOp && ops == 1 && (e.Code == change.TooLarge || s.o.Abort && !stops(e) && e.Code != change.Conflict) {
		n, isOp = 0, true
	}
	if isOp {
		e = ofOperation(e, n)
	}
	switch {
	case isOp && !stops(e) && !s.o.Abort: // alone too large for a group
		b.entries[b.nth(lo, hi, n)].err = e
		return again(lo, hi, from, to)
	case isOp:
		k := b.nth(lo, hi, n)
		line := b.entries[k].line
		if again(lo, k, from, line-1) {
			if stops(e) {
				s.end(atLine(e, line))
			} else {
				s.bad(line, e)
			}
		}
		return false
	case e.Code == change.TooLarge && ops > 1:
		k := b.nth(lo, hi, ops/2)
		line := b.entries[k].line
		return again(lo, k, from, line-1) && again(k, hi, line-1, to)
	case e.Code == change.Conflict && b.gen < s.gen.Load():
		b.gen = s.gen.Load()
		return again(lo, hi, from, to)
	}
	s.end(e)
	return false
}

// stops reports whether e ends an upload, rather than being the fault of a line.
func stops(e *change.Error) bool { return e.Transient() || e.Code == change.LibraryNotFound }

// report tells and counts what became of entries[lo:hi]. It reports false where
// the upload ends.
func (s *settler) report(b *batch, lo, hi int, from, to uint64, rec *engine.Receipt) bool {
	after := s.over() // what is committed is told and counted all the same
	if rec != nil {
		s.groups++
		s.sum.Position = rec.Position
		if rec.LastSeq > 0 {
			s.sum.LastSeq = rec.LastSeq
			if s.sum.FirstSeq == 0 {
				s.sum.FirstSeq = rec.FirstSeq
			}
		}
	}
	lines := s.sink != nil && s.sink.WantLines()
	taken, op := to, 0
	for i := lo; i < hi; i++ {
		e := &b.entries[i]
		if e.err != nil {
			if !s.over() {
				s.bad(e.line, e.err)
			}
			continue
		}
		out := &rec.Outcomes[op]
		op++
		switch {
		case out.Result == engine.Failed && stops(out.Err):
			if !s.over() {
				taken = e.line - 1
				s.end(atLine(out.Err, e.line))
			}
			continue
		case out.Result == engine.Failed:
			if !s.over() {
				s.bad(e.line, out.Err)
			}
			continue
		case out.Result == engine.Skipped:
			s.sum.Skipped++
		default:
			s.sum.Successful++
			s.sum.NumChunks += uint64(out.NumChunks)
		}
		if lines {
			s.sink.Line(e.line, strings.Clone(out.ID), out.Seq, out.Result.String())
		}
	}
	if !after && taken > s.settled {
		s.settled = taken
		if s.sink != nil {
			s.sink.Ack(s.settled-s.base, s.sum.LastSeq)
		}
	}
	return !s.over()
}

// bad tells of a line that failed; with Abort it ends the upload.
func (s *settler) bad(line uint64, err *change.Error) {
	// Cloned, since what was parsed is used again.
	le := LineError{Line: line, Code: err.Code, Detail: strings.Clone(err.Detail), Field: strings.Clone(err.Field)}
	s.sum.Failed++
	if len(s.sum.Errors) < MaxErrors {
		s.sum.Errors = append(s.sum.Errors, le)
	} else {
		s.sum.ErrorsTruncated = true
	}
	if s.sink != nil {
		s.sink.Error(le)
	}
	if s.o.Abort {
		s.aborted = true
		s.end(atLine(err, line))
	}
}

// end ends the upload; the first problem counts.
func (s *settler) end(problem *change.Error) {
	if s.sum.Problem == nil {
		s.sum.Problem = problem
		close(s.stop)
	}
}

func (s *settler) over() bool { return s.sum.Problem != nil }

// ofOperation takes from e what the engine says of the place of the operation,
// which means nothing to whoever sent lines.
func ofOperation(err *change.Error, n int) *change.Error {
	e := *err
	e.Detail = strings.TrimPrefix(e.Detail, fmt.Sprintf("operation %d: ", n))
	e.Extra = maps.Clone(err.Extra)
	delete(e.Extra, "operation")
	return &e
}

// atLine returns err as the problem of an upload that it ended.
func atLine(err *change.Error, line uint64) *change.Error {
	e := *err
	e.Detail = fmt.Sprintf("line %d: %s", line, err.Detail)
	e.Field = strings.Clone(err.Field)
	e.Extra = maps.Clone(err.Extra)
	return e.With("line", line)
}
