package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/change"
)

// statuses is the one table from codes to HTTP statuses (API, section 2).
var statuses = map[change.Code]int{
	change.InvalidJSON: 400, change.InvalidArgument: 400, change.DimensionMismatch: 400, change.InvalidFilter: 400, change.InvalidCursor: 400,
	change.Unauthenticated: 401, change.PermissionDenied: 403,
	change.LibraryNotFound: 404, change.DocumentNotFound: 404, change.ChunkNotFound: 404, change.JobNotFound: 404, change.ConsumerNotFound: 404,
	change.NotFound: 404, change.MethodNotAllowed: 405,
	change.AlreadyExists: 409, change.Diverged: 409, change.Ahead: 409, change.JobFinished: 409, change.Conflict: 409,
	change.OffsetExpired: 410, change.PreconditionFailed: 412, change.TooLarge: 413, change.UnsupportedMedia: 415, change.RateLimited: 429,
	change.EmbeddingFailed: 502, change.Overloaded: 503, change.ReadOnly: 503, change.ShuttingDown: 503, change.OutcomeUnknown: 503,
	change.SeqNotReached: 504, change.DeadlineExceeded: 504, change.DiskFull: 507, change.Internal: 500,
}

// retryAfter is what clients are told to wait, in seconds, by code.
var retryAfter = map[change.Code]string{
	change.RateLimited: "1", change.Overloaded: "1", change.ReadOnly: "30", change.ShuttingDown: "2", change.OutcomeUnknown: "1",
}

// StatusOf returns the HTTP status of a code.
func StatusOf(code change.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return 500
}

func asError(err error) *change.Error {
	var e *change.Error
	if errors.As(err, &e) {
		return e
	}
	return &change.Error{Code: change.Internal, Detail: "the request failed inside the server; its log says why", Err: err}
}

// problemFields returns a problem's members in the order of the contract.
func problemFields(e *change.Error, requestID string) map[string]any {
	m := map[string]any{"type": "about:blank", "title": fasthttp.StatusMessage(StatusOf(e.Code)), "status": StatusOf(e.Code), "code": e.Code, "detail": e.Detail, "request_id": requestID}
	if e.Field != "" {
		m["field"] = e.Field
	}
	if e.Code == change.InvalidArgument && e.Field == "" {
		m["field"] = "body"
	}
	for k, v := range e.Extra {
		m[k] = v
	}
	return m
}

// problemJSON writes a problem, with the members of extra before it.
func problemJSON(e *change.Error, requestID string, extra map[string]any) []byte {
	m := problemFields(e, requestID)
	for k, v := range extra {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		return []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","detail":"the problem could not be written","request_id":""}`)
	}
	return b
}

func (c *call) problem(err error) {
	e := asError(err)
	c.logFault(e)
	r := &c.ctx.Response
	r.ResetBody()
	r.SetStatusCode(StatusOf(e.Code))
	r.Header.SetContentType("application/problem+json")
	if v, ok := retryAfter[e.Code]; ok {
		r.Header.Set("Retry-After", v)
	}
	if e.Code == change.Unauthenticated {
		r.Header.Set("WWW-Authenticate", `Bearer realm="arrwdb"`)
	}
	r.SetBody(problemJSON(e, c.requestID(), nil))
}

// logFault writes down what a client is not told.
func (c *call) logFault(err error) {
	e := asError(err)
	if e.Err == nil {
		return
	}
	level := slog.LevelDebug
	if StatusOf(e.Code) >= 500 && e.Code != change.ShuttingDown {
		level = slog.LevelError
	}
	route := ""
	if c.row != nil {
		route = c.row.method + " " + c.row.path
	}
	c.s.o.Logger.Log(context.Background(), level, "request failed", "request_id", c.id, "route", route, "code", e.Code, "err", e.Err)
}

// plainProblem is a whole answer with a problem, for a connection that was taken
// over.
func plainProblem(e *change.Error, requestID, headers string) []byte {
	status := StatusOf(e.Code)
	body := problemJSON(e, requestID, nil)
	b := append(make([]byte, 0, len(body)+512), "HTTP/1.1 "...)
	b = append(strconv.AppendInt(b, int64(status), 10), ' ')
	b = append(append(b, fasthttp.StatusMessage(status)...), "\r\nContent-Type: application/problem+json\r\nConnection: close\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, httpTime)
	b = append(append(b, "\r\nX-Request-Id: "...), requestID...)
	if v, ok := retryAfter[e.Code]; ok {
		b = append(append(b, "\r\nRetry-After: "...), v...)
	}
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	b = append(append(append(b, "\r\n"...), headers...), "\r\n"...)
	return append(b, body...)
}
