package rows

import (
	"errors"
	"fmt"
)

var (
	// ErrNoRow says that there is no row under a number, or no such space.
	ErrNoRow = errors.New("rows: no such row")
	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("rows: store is closed")
	// ErrReadOnly says that the store was opened for reading.
	ErrReadOnly = errors.New("rows: store is read-only")
	// ErrBusy says that a checkpoint is under way.
	ErrBusy = errors.New("rows: a checkpoint is under way")
	// ErrPoisoned wraps the first failed write or sync of a store. After it
	// nothing can be appended or checkpointed any more; reads go on.
	ErrPoisoned = errors.New("rows: an earlier write or sync failed")
)

// A ConflictError says that a row was appended again with other bytes: replay
// was not deterministic, or the store or the log is damaged.
type ConflictError struct {
	Key Key
	Num uint64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("rows: %v: row %d is there already with other bytes; it was not overwritten", e.Key, e.Num)
}

// A DamageError says that a file does not hold what was written to it.
type DamageError struct {
	File   string
	Offset int64
	Detail string
	// Key, Block and Rows tell whose block it is, for damage in a row file: block
	// Block of the space holds the numbers from First on.
	Key   *Key
	Block uint64
	First uint64
}

func (e *DamageError) Error() string {
	at := ""
	if e.Key != nil {
		at = fmt.Sprintf(", %v, block %d (numbers from %d)", *e.Key, e.Block, e.First)
	}
	return fmt.Sprintf("rows: %s: damage at offset %d%s: %s", e.File, e.Offset, at, e.Detail)
}

// A NewerFormatError says that a newer program wrote the store.
type NewerFormatError struct {
	File          string
	Found, Newest uint32
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("rows: %s has format %d, this program knows formats up to %d: use a newer arrwdb", e.File, e.Found, e.Newest)
}
