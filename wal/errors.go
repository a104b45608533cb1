package wal

import (
	"errors"
	"fmt"
)

// ErrPoisoned is wrapped by every refusal to write after a write or a sync of
// the log has failed. It is for good: only a restart recovers.
var ErrPoisoned = errors.New("the log failed and takes no more writes")

// ErrClosed says that the log has been closed.
var ErrClosed = errors.New("the log is closed")

// ErrTooLarge says that a group does not fit into a frame. Nothing was written.
var ErrTooLarge = errors.New("group too large for a frame of the log")

// A CorruptionError says that the log is not what was written and acknowledged.
type CorruptionError struct {
	File     string
	Offset   int64  // of the damage, or of the frame in which it is
	FirstSeq uint64 // first seq that is missing or in doubt
	LastSeq  uint64 // last one known to have been there, 0 where unknown
	Detail   string // what was expected and what was found
}

func (e *CorruptionError) Error() string {
	seqs := fmt.Sprintf("seq %d on", e.FirstSeq)
	if e.LastSeq != 0 {
		seqs = fmt.Sprintf("seq %d to %d", e.FirstSeq, e.LastSeq)
	}
	return fmt.Sprintf("the log is corrupt in %s at byte %d (%s): %s; `arrwdb log dump` shows what can be read, the files were left as they are", e.File, e.Offset, seqs, e.Detail)
}

// A NewerFormatError says that a newer version of arrwDB wrote something. It is
// not damage.
type NewerFormatError struct {
	What        string
	Found, Read int
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s has format version %d, this program reads up to %d: a newer version of arrwDB wrote it", e.What, e.Found, e.Read)
}

// An ExpiredError says that a reader asks for what is no longer in the log.
type ExpiredError struct {
	Asked, Earliest uint64 // seqs
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("seq %d is no longer in the log, which begins at seq %d", e.Asked, e.Earliest)
}
