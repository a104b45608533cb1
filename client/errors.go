package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is a problem that the server answered with (RFC 9457). It is also
// what ends a feed whose position cannot be served: the code is then "diverged",
// "ahead" or "offset_expired".
type Error struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Field     string `json:"field"` // with "invalid_argument"

	// RetryAfter is how long the server asks to wait; 0 where it does not say.
	RetryAfter time.Duration `json:"-"`
	// Raw is the whole problem, with the members of its code.
	Raw json.RawMessage `json:"-"`
}

func (e *Error) Error() string {
	s := e.Detail
	if s == "" {
		s = e.Title
	}
	if e.Code == "" {
		return fmt.Sprintf("%s (status %d)", s, e.Status)
	}
	return fmt.Sprintf("%s (%s, status %d)", s, e.Code, e.Status)
}

// Transient reports whether the same request may succeed later unchanged.
func (e *Error) Transient() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return true
	}
	switch e.Code {
	case "embedding_failed", "overloaded", "read_only", "shutting_down", "outcome_unknown", "deadline_exceeded", "disk_full", "rate_limited", "internal":
		return true
	}
	return false
}

// IsCode reports whether err is a problem with that code.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// maxProblem bounds what is read of an answer that is a problem.
const maxProblem = 1 << 20

// problem reads the error of an answer that is no 2xx.
func problem(res *http.Response) *Error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	e := parseProblem(b)
	e.Status = res.StatusCode
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

func parseProblem(b []byte) *Error {
	e := &Error{Raw: b}
	if err := json.Unmarshal(b, e); err != nil || e.Code == "" && e.Detail == "" {
		e.Detail = strings.TrimSpace(strings.ToValidUTF8(string(b[:min(len(b), 200)]), ""))
		if e.Detail == "" {
			e.Detail = "the server gave no reason"
		}
	}
	return e
}

// transient reports whether an attempt that failed may be repeated: anything
// but an answer that says otherwise, for what cut a connection may be gone.
func transient(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Transient()
	}
	return true
}
