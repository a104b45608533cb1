package cdc

import "github.com/arrwdb/arrwdb/change"

// A Log is what the feed needs of the engine. All methods may be called at the
// same time from any number of goroutines.
type Log interface {
	// Head returns the position of the newest change that readers may see. Its
	// Seq never falls.
	Head() change.Position
	// EarliestSeq returns the oldest seq that is still in the log; head+1 where
	// there is none.
	EarliestSeq() uint64
	Lineage() change.Lineage
	// Notify returns a channel that is closed when the head moves next.
	Notify() <-chan struct{}
	// CheckPosition verifies the check of a position whose epoch and seq are
	// known to be of this history.
	CheckPosition(p change.Position) *change.Error
	// PositionAt returns the position after the change seq, with its check.
	PositionAt(seq uint64) (change.Position, error)
	// ReadLog reads frames from the one on that holds fromSeq.
	ReadLog(fromSeq uint64) (FrameReader, error)
}

// A FrameReader reads the frames of the log in order; one goroutine uses it.
type FrameReader interface {
	// Next returns the next visible frame, or io.EOF at the head; it may be
	// called again when the head has moved. The frame stays valid and unchanged
	// until the following call of Next or Close.
	Next() (*Frame, error)
	Close() error
}

// A Frame is one commit of the log as the feed sees it.
type Frame struct {
	Chain   uint32          // the check of every position in this frame
	Records []change.Record // changes with their Seq, and control records, which are passed over
}

// Adapt makes the Log's ReadLog out of a reader with another frame type, so that
// neither package needs to know the other's.
//
//	func (l logView) ReadLog(from uint64) (cdc.FrameReader, error) {
//		return cdc.Adapt(l.DB.ReadLog(from))(func(f *wal.Frame) cdc.Frame {
//			return cdc.Frame{Chain: f.Chain, Records: f.Records}
//		})
//	}
func Adapt[F any, R interface {
	Next() (F, error)
	Close() error
}](r R, err error) func(convert func(F) Frame) (FrameReader, error) {
	return func(convert func(F) Frame) (FrameReader, error) {
		if err != nil {
			return nil, err
		}
		return &adapted[F, R]{r: r, convert: convert}, nil
	}
}

type adapted[F any, R interface {
	Next() (F, error)
	Close() error
}] struct {
	r       R
	convert func(F) Frame
	frame   Frame
}

func (a *adapted[F, R]) Next() (*Frame, error) {
	f, err := a.r.Next()
	if err != nil {
		return nil, err
	}
	a.frame = a.convert(f)
	return &a.frame, nil
}

func (a *adapted[F, R]) Close() error { return a.r.Close() }
