package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// The document that every answer is held to.
var spec = sync.OnceValues(func() (*specification, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join("..", "..", "httpd", "openapi.json"))
	if err != nil {
		return nil, err
	}
	router, err := gorillamux.NewRouter(doc)
	return &specification{doc, router}, err
})

type specification struct {
	doc    *openapi3.T
	router routers.Router
}

// codes is the contract's table: a code belongs to one status.
var codes = map[string]int{
	"invalid_json": 400, "invalid_argument": 400, "dimension_mismatch": 400, "invalid_filter": 400, "invalid_cursor": 400,
	"unauthenticated": 401, "permission_denied": 403,
	"library_not_found": 404, "document_not_found": 404, "chunk_not_found": 404, "job_not_found": 404, "consumer_not_found": 404, "not_found": 404,
	"method_not_allowed": 405, "already_exists": 409, "diverged": 409, "ahead": 409, "job_finished": 409, "conflict": 409,
	"offset_expired": 410, "precondition_failed": 412, "too_large": 413, "unsupported_media_type": 415, "rate_limited": 429,
	"embedding_failed": 502, "overloaded": 503, "read_only": 503, "shutting_down": 503, "outcome_unknown": 503,
	"seq_not_reached": 504, "deadline_exceeded": 504, "disk_full": 507,
}

// codeFields are the fields that a code brings with it.
var codeFields = map[string][]string{
	"invalid_argument": {"field"}, "dimension_mismatch": {"expected", "got"}, "diverged": {"common_seq"},
	"offset_expired": {"earliest_seq", "head_seq", "epoch"}, "precondition_failed": {"seq"}, "too_large": {"limit"}, "embedding_failed": {"retryable"},
}

// checkAnswer validates one answer. The body of a stream is checked line by line
// by its reader.
func checkAnswer(req *http.Request, status int, header http.Header, body []byte, stream bool) error {
	s, err := spec()
	if err != nil {
		return err
	}
	if status >= 400 {
		return s.checkProblem(status, header, body)
	}
	bare, err := http.NewRequest(req.Method, req.URL.String(), nil)
	if err != nil {
		return err
	}
	route, params, err := s.router.FindRoute(bare)
	if err != nil {
		return fmt.Errorf("not in the OpenAPI document: %w", err)
	}
	mime, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	if stream || mime == "application/x-ndjson" || mime == "text/event-stream" || mime == "text/plain" {
		stream = true
		if ref := route.Operation.Responses.Status(status); ref == nil || ref.Value.Content[mime] == nil {
			return fmt.Errorf("content type %q with status %d is not in the OpenAPI document", mime, status)
		}
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: bare, PathParams: params, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: stream},
	}
	return openapi3filter.ValidateResponse(context.Background(), in)
}

func (s *specification) checkProblem(status int, header http.Header, body []byte) error {
	if mime, _, _ := strings.Cut(header.Get("Content-Type"), ";"); mime != "application/problem+json" {
		return fmt.Errorf("content type of a %d is %q, want application/problem+json", status, header.Get("Content-Type"))
	}
	var p J
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("problem: %w", err)
	}
	if err := s.checkValue("Problem", p); err != nil {
		return err
	}
	code, _ := p["code"].(string)
	if want, known := codes[code]; known && want != status {
		return fmt.Errorf("code %s came with status %d, the contract's table says %d", code, status, want)
	}
	if p["status"] != float64(status) {
		return fmt.Errorf("problem says status %v in a %d", p["status"], status)
	}
	for _, field := range codeFields[code] {
		if _, ok := p[field]; !ok {
			return fmt.Errorf("code %s without the field %q", code, field)
		}
	}
	switch {
	case status == 405 && header.Get("Allow") == "":
		return fmt.Errorf("405 without Allow")
	case (status == 503 || status == 429) && code != "outcome_unknown" && header.Get("Retry-After") == "":
		return fmt.Errorf("%d %s without Retry-After", status, code)
	}
	return nil
}

// checkValue validates a value against a component schema.
func (s *specification) checkValue(schema string, v any) error {
	ref := s.doc.Components.Schemas[schema]
	if ref == nil {
		return fmt.Errorf("no schema %q", schema)
	}
	if err := ref.Value.VisitJSON(v, openapi3.VisitAsResponse()); err != nil {
		return fmt.Errorf("does not match schema %s: %w", schema, err)
	}
	return nil
}

// mustMatch fails the test where raw is not of the schema, and returns it decoded.
func mustMatch(t testing.TB, schema string, raw []byte) J {
	t.Helper()
	s, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v J
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, clip(raw))
	}
	if err := s.checkValue(schema, v); err != nil {
		t.Errorf("%v\n%s", err, clip(raw))
	}
	return v
}

func clip(b []byte) string {
	if len(b) > 2000 {
		return string(b[:2000]) + "…"
	}
	return string(b)
}

// TestSpecOfMissingDocuments guards the one schema trick of the document.
func TestSpecOfMissingDocuments(t *testing.T) {
	s, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	doc := J{"id": "a", "library_id": "l", "title": "", "metadata": J{}, "chunks": []any{}, "num_chunks": 0.0, "seq": 1.0,
		"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05.123456Z"}
	item := s.doc.Paths.Value("/v1/libraries/{lib}/documents/get").Post.Responses.Status(200).Value.Content["application/json"].Schema.Value
	for _, docs := range [][]any{{nil}, {doc}, {doc, nil}} {
		if err := item.VisitJSON(J{"documents": docs}, openapi3.VisitAsResponse()); err != nil {
			t.Errorf("%v: %v", docs, err)
		}
	}
	if err := item.VisitJSON(J{"documents": []any{J{"id": "a"}}}); err == nil {
		t.Error("half a document passed")
	}
}
