package httpd_test

import (
	"context"
	"encoding/json"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	doc := loadDocument(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAPIEveryOperationIsComplete holds the habits that a reader relies on:
// a summary, a tag, a unique operationId, and a problem answer everywhere.
func TestOpenAPIEveryOperationIsComplete(t *testing.T) {
	doc := loadDocument(t)
	seen := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			where := method + " " + path
			if op.Summary == "" || len(op.Tags) != 1 || op.OperationID == "" {
				t.Errorf("%s: needs a summary, one tag and an operationId", where)
			}
			if before, ok := seen[op.OperationID]; ok {
				t.Errorf("%s: operationId %s is also that of %s", where, op.OperationID, before)
			}
			seen[op.OperationID] = where
			if op.Responses.Default() == nil || op.Responses.Default().Ref != "#/components/responses/Problem" {
				t.Errorf("%s: the default response must be the problem", where)
			}
		}
	}
}

// TestOpenAPIAnswersRequireTheirFields: every documented field of an answer is
// always present, so each property of an answer object is required, but for the
// few that depend on what was asked.
func TestOpenAPIAnswersRequireTheirFields(t *testing.T) {
	optional := map[string]string{
		"Chunk.embedding":        "only with include=embeddings",
		"SearchHit.embedding":    "only with include embeddings",
		"SearchHit.highlight":    "only with highlight",
		"IngestSummary.type":     "only in flowing answers",
		"IngestSummary.position": "only in flowing answers",
		"IngestSummary.problem":  "only where the upload ended early",
	}
	doc := loadDocument(t)
	for name, ref := range doc.Components.Schemas {
		s := ref.Value
		if strings.HasSuffix(name, "In") || strings.HasSuffix(name, "Create") || strings.HasSuffix(name, "Patch") || name == "Batch" || name == "Search" {
			continue // requests
		}
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			continue // open shapes
		}
		required := map[string]bool{}
		for _, r := range s.Required {
			required[r] = true
			if s.Properties[r] == nil {
				t.Errorf("%s requires %q, which it does not document", name, r)
			}
		}
		for prop := range s.Properties {
			if !required[prop] && optional[name+"."+prop] == "" {
				t.Errorf("%s.%s is documented but not required", name, prop)
			}
		}
	}
}

// TestOpenAPIHasNoUnusedComponents keeps the document honest: a component that
// nothing refers to is a leftover, or an answer that was forgotten.
func TestOpenAPIHasNoUnusedComponents(t *testing.T) {
	raw, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components map[string]map[string]json.RawMessage `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	// Named in prose: bodies of SSE events have no place in an OpenAPI 3.0 schema.
	inProse := map[string]bool{"StreamOpen": true, "StreamLive": true, "StreamCheckpoint": true}
	var unused []string
	for kind, members := range doc.Components {
		for name := range members {
			if kind == "securitySchemes" || inProse[name] {
				continue
			}
			if !strings.Contains(string(raw), `"#/components/`+kind+`/`+name+`"`) {
				unused = append(unused, kind+"/"+name)
			}
		}
	}
	sort.Strings(unused)
	if len(unused) > 0 {
		t.Errorf("nothing refers to %s", strings.Join(unused, ", "))
	}
}
