package change

import "fmt"

// A Code names a fault for programs. Codes are stable; the one table that maps
// them to HTTP statuses is in httpd.
type Code string

const (
	InvalidJSON        Code = "invalid_json"
	InvalidArgument    Code = "invalid_argument"
	DimensionMismatch  Code = "dimension_mismatch"
	InvalidFilter      Code = "invalid_filter"
	InvalidCursor      Code = "invalid_cursor"
	Unauthenticated    Code = "unauthenticated"
	PermissionDenied   Code = "permission_denied"
	LibraryNotFound    Code = "library_not_found"
	DocumentNotFound   Code = "document_not_found"
	ChunkNotFound      Code = "chunk_not_found"
	JobNotFound        Code = "job_not_found"
	ConsumerNotFound   Code = "consumer_not_found"
	NotFound           Code = "not_found"
	MethodNotAllowed   Code = "method_not_allowed"
	AlreadyExists      Code = "already_exists"
	Diverged           Code = "diverged"
	Ahead              Code = "ahead"
	JobFinished        Code = "job_finished"
	Conflict           Code = "conflict"
	OffsetExpired      Code = "offset_expired"
	PreconditionFailed Code = "precondition_failed"
	TooLarge           Code = "too_large"
	UnsupportedMedia   Code = "unsupported_media_type"
	RateLimited        Code = "rate_limited"
	EmbeddingFailed    Code = "embedding_failed"
	Overloaded         Code = "overloaded"
	ReadOnly           Code = "read_only"
	ShuttingDown       Code = "shutting_down"
	OutcomeUnknown     Code = "outcome_unknown"
	SeqNotReached      Code = "seq_not_reached"
	DeadlineExceeded   Code = "deadline_exceeded"
	DiskFull           Code = "disk_full"
	Internal           Code = "internal"
)

// An Error is a fault as a client is told of it. Detail names the offending
// field, line or value and what would be right; it never holds internal detail
// (that is in Err, which is logged and not shown).
type Error struct {
	Code   Code
	Detail string
	Field  string         // with InvalidArgument: the field or parameter
	Extra  map[string]any // further members of the problem, by the code
	Err    error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

func (e *Error) Unwrap() error { return e.Err }

// With sets a further member of the problem and returns e.
func (e *Error) With(name string, v any) *Error {
	if e.Extra == nil {
		e.Extra = make(map[string]any, 2)
	}
	e.Extra[name] = v
	return e
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// BadField makes an InvalidArgument that names a field or parameter.
func BadField(field, format string, args ...any) *Error {
	return &Error{Code: InvalidArgument, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Transient reports whether the same request may succeed later unchanged, so
// that an upload ends there instead of counting its line as bad.
func (e *Error) Transient() bool {
	switch e.Code {
	case EmbeddingFailed:
		return e.Extra["retryable"] != false
	case Overloaded, ReadOnly, ShuttingDown, OutcomeUnknown, DeadlineExceeded, DiskFull, RateLimited, Internal:
		return true
	}
	return false
}
