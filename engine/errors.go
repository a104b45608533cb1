package engine

import (
	"errors"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/wal"
)

// ErrNoDatabase says that a directory holds no database.
var ErrNoDatabase = errors.New("no arrwDB database here")

// ErrClosed says that the database has been closed.
var ErrClosed = errors.New("the database is closed")

// An InUseError says that another process has the directory open.
type InUseError struct {
	Dir string
	PID int // 0 where it is not known
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.PID)
}

// A FormatError says that a newer version of arrwDB wrote the directory.
type FormatError struct {
	Dir         string
	Found, Read int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d, this program reads up to format %d: a newer version of arrwDB wrote it", e.Dir, e.Found, e.Read)
}

// A DamageError says that what is on disk cannot be what was written.
type DamageError struct {
	Where string
	Err   error
}

func (e *DamageError) Error() string { return fmt.Sprintf("damage found in %s: %v", e.Where, e.Err) }
func (e *DamageError) Unwrap() error { return e.Err }

// IsDamage reports whether err says that what is on disk is damaged, rather
// than absent, in use, too new or out of reach.
func IsDamage(err error) bool {
	var damage *DamageError
	var corrupt *wal.CorruptionError
	var conflict *rows.ConflictError
	var row *rows.DamageError
	return errors.As(err, &damage) || errors.As(err, &corrupt) || errors.As(err, &row) || errors.As(err, &conflict) || errors.Is(err, errRow)
}

func libraryNotFound(id string) *change.Error {
	return change.Errorf(change.LibraryNotFound, "library %s does not exist", quoted(id))
}

func documentNotFound(lib, id string) *change.Error {
	return change.Errorf(change.DocumentNotFound, "document %s does not exist in library %q", quoted(id), lib)
}

func internalError(err error) *change.Error {
	if errors.Is(err, ErrClosed) {
		return closedError()
	}
	return &change.Error{Code: change.Internal, Detail: "the request failed inside the server; its log says why", Err: err}
}

func closedError() *change.Error {
	return &change.Error{Code: change.ShuttingDown, Detail: "the server is shutting down", Err: ErrClosed}
}

// asError returns err as an error of the API.
func asError(err error) *change.Error {
	var e *change.Error
	if errors.As(err, &e) {
		return e
	}
	return internalError(err)
}
