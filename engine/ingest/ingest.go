package ingest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// Limits of an upload and of a batch. DefaultMaxLine is also what a group may
// take, so that a longer line could hardly be committed.
const (
	DefaultMaxLine = 16 << 20
	MaxErrors      = 100 // listed in a Summary

	batchLines = 4096
	batchBytes = 4 << 20
	batchIdle  = 10 * time.Millisecond
	inFlight   = 2
)

// Options says how an upload goes.
type Options struct {
	Library *engine.Library
	Mode    engine.PutMode
	Abort   bool   // the first bad line ends the upload
	Source  string // the upload source whose lines are counted; "" is none
	// FirstLine is the number of the first line of this body, from 1. Default 1.
	FirstLine uint64
	// MaxLineBytes is the longest line. A longer one fails with TooLarge; it is
	// read over without being kept. Default DefaultMaxLine.
	MaxLineBytes int
	// Interrupt, when set, is called once where the upload ends before the body
	// does. It must make a Read of the body that is blocked return, and those
	// after it fail. Run does not return while a Read is blocked, so that the body
	// is the caller's again: without Interrupt, the caller must unblock it.
	Interrupt func()
}

// A Sink hears what happens while it happens, in the order of the lines. Its
// methods are called from one goroutine at a time; while one of them runs,
// batches are not taken further.
type Sink interface {
	// WantLines says whether Line is to be called.
	WantLines() bool
	// Line tells of a line that was taken: "added", "updated" or "skipped".
	Line(line uint64, id string, seq uint64, result string)
	// Error tells of a line that failed.
	Error(e LineError)
	// Ack tells after each batch how many lines of this body, from its first one,
	// have been dealt with for good, and the last change that they made.
	Ack(lines, lastSeq uint64)
}

// A LineError says why a line failed.
type LineError struct {
	Line   uint64      `json:"line"`
	Code   change.Code `json:"code"`
	Detail string      `json:"detail"`
	Field  string      `json:"field,omitempty"`
}

// A Summary is what came of an upload.
type Summary struct {
	Successful uint64 // documents added or replaced
	Failed     uint64
	Skipped    uint64 // documents that existed, with the mode Skip
	NumChunks  uint64 // of the documents added or replaced
	// Lines of this body, from its first one, that have been dealt with: taken,
	// blank, failed, skipped, or passed over because the source had them.
	Lines    uint64
	FirstSeq uint64 // 0 where nothing was changed
	LastSeq  uint64
	// Complete says that the body was read to its end and all of it dealt with;
	// otherwise Problem says why not.
	Complete bool
	Problem  *change.Error
	// Errors are the first MaxErrors of the Failed lines.
	Errors          []LineError
	ErrorsTruncated bool
	// Position is the place in the feed after the last batch (where there was
	// none: the head).
	Position change.Position
	// Read counts the lines that could be read at all, dealt with or not.
	Read uint64
	Took time.Duration
}

// Run takes the documents of body. The error is a *change.Error, and only comes
// where the upload could not begin; all else is in the summary. sink may be nil.
//
// The context's cause, where it is a *change.Error, becomes the Problem of an
// upload that it ends. The lines read until then are committed.
func Run(ctx context.Context, db *engine.DB, body io.Reader, o Options, sink Sink) (*Summary, error) {
	start := time.Now()
	if o.FirstLine == 0 {
		o.FirstLine = 1
	}
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = DefaultMaxLine
	}
	slots := inFlight
	if o.Abort {
		slots = 1 // a batch must not be taken before the one before it is known to be good
	}
	s := &settler{db: db, o: &o, sink: sink, stop: make(chan struct{}), base: o.FirstLine - 1, settled: o.FirstLine - 1}
	u := &upload{
		settler: s, next: o.FirstLine,
		slots:  make(chan struct{}, slots),
		flight: make(chan *batch, slots),
	}
	if o.Source != "" {
		release, ok := db.LockSource(o.Library, o.Source)
		if !ok {
			return nil, change.Errorf(change.Conflict, "another upload of source %q is going on; try again when it has ended", o.Source)
		}
		defer release()
	}
	if err := u.position(); err != nil {
		return nil, err
	}
	u.run(ctx, body)

	sum := &s.sum
	sum.Read = u.next - o.FirstLine
	sum.Lines = max(s.settled, min(u.skip, u.next-1)) - s.base
	if s.aborted {
		sum.Lines++
	}
	if sum.Problem == nil {
		sum.Problem = u.cut
	}
	sum.Complete = sum.Problem == nil
	if s.groups == 0 {
		sum.Position = db.Head()
	}
	sum.Took = time.Since(start)
	return sum, nil
}

// position checks the library and finds out which lines the source has.
func (u *upload) position() error {
	snap := u.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(u.o.Library.ID)
	if err != nil {
		return asError(err)
	}
	if lib.Num != u.o.Library.Num {
		return change.Errorf(change.LibraryNotFound, "library %q was deleted, and made again", lib.ID)
	}
	if u.o.Source == "" {
		return nil
	}
	lines, _, err := snap.Source(lib, u.o.Source)
	if err != nil {
		return asError(err)
	}
	if u.o.FirstLine > lines+1 {
		return change.Errorf(change.Conflict, "first_line is %d, but of source %q only %d lines have been taken: begin at line %d or before", u.o.FirstLine, u.o.Source, lines, lines+1).
			With("lines", lines)
	}
	u.skip = lines
	return nil
}

func asError(err error) *change.Error {
	var e *change.Error
	if errors.As(err, &e) {
		return e
	}
	return &change.Error{Code: change.Internal, Detail: "the request failed inside the server; its log says why", Err: err}
}

// ended returns the problem of an upload whose context has ended.
func ended(ctx context.Context) *change.Error {
	cause := context.Cause(ctx)
	var e *change.Error
	if errors.As(cause, &e) {
		return e
	}
	return &change.Error{Code: change.DeadlineExceeded, Detail: "the request ended before the upload did; the lines up to there are kept", Err: cause}
}

// cutBody returns the problem of a body that could not be read to its end.
func cutBody(err error) *change.Error {
	var e *change.Error
	if errors.As(err, &e) {
		return e
	}
	return &change.Error{Code: change.InvalidArgument, Field: "body", Detail: "the body broke off before its end; its whole lines are kept", Err: err}
}
