package client

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Embedding says who makes a library's vectors.
type Embedding struct {
	Provider  string `json:"provider"` // builtin, openai, or none: the client sends every vector
	BaseURL   string `json:"base_url,omitempty"`
	Model     string `json:"model,omitempty"`
	APIKeyEnv string `json:"api_key_env,omitempty"`
}

// A LibrarySpec says what library is to be created. What is empty has the
// server's default.
type LibrarySpec struct {
	ID          string         `json:"id,omitempty"`
	Name        string         `json:"name,omitempty"`
	Description string         `json:"description,omitempty"`
	Metadata    map[string]any `json:"metadata,omitempty"`
	Dimension   int            `json:"dimension,omitempty"` // default: the provider's; with none the first vector fixes it
	Metric      string         `json:"metric,omitempty"`    // cosine, l2 or dot
	Embedding   *Embedding     `json:"embedding,omitempty"`
}

// A Library is one as the server returns it.
type Library struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Metadata    json.RawMessage `json:"metadata"`
	Dimension   int             `json:"dimension"` // 0: not fixed yet
	Metric      string          `json:"metric"`
	Embedding   Embedding       `json:"embedding"`
	Seq         uint64          `json:"seq"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Stats       struct {
		Documents uint64 `json:"documents"`
		Chunks    uint64 `json:"chunks"`
	} `json:"stats"`
}

// A Chunk is a part of a document: the unit that is searched.
type Chunk struct {
	ID        string         `json:"id,omitempty"` // default: its index
	Text      string         `json:"text,omitempty"`
	Embedding []float32      `json:"embedding,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// A Document is one to be written, or as the server returns it; what only the
// server sets is ignored in a write.
type Document struct {
	ID        string         `json:"id,omitempty"`
	Title     string         `json:"title,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
	Chunks    []Chunk        `json:"chunks,omitempty"`
	LibraryID string         `json:"library_id,omitempty"`
	Seq       uint64         `json:"seq,omitempty"`
	NumChunks int            `json:"num_chunks,omitempty"`
	CreatedAt *time.Time     `json:"created_at,omitempty"`
	UpdatedAt *time.Time     `json:"updated_at,omitempty"`
}

// CreateLibrary creates a library. Where it exists the error has the code
// "already_exists".
func (c *Client) CreateLibrary(ctx context.Context, spec LibrarySpec) (*Library, error) {
	out := new(Library)
	return out, c.call(ctx, "POST", "/v1/libraries", nil, spec, out)
}

// Library returns a library with its counts.
func (c *Client) Library(ctx context.Context, lib string) (*Library, error) {
	out := new(Library)
	return out, c.call(ctx, "GET", libraryPath(lib), nil, nil, out)
}

// DeleteLibrary deletes a library with all that it holds and returns the seq of
// that change.
func (c *Client) DeleteLibrary(ctx context.Context, lib string) (uint64, error) {
	return c.deleted(ctx, libraryPath(lib))
}

// PutDocument creates a document or replaces it whole. Once it returns, the
// document is durable and every read sees it.
func (c *Client) PutDocument(ctx context.Context, lib, id string, doc Document) (*Document, error) {
	out := new(Document)
	return out, c.call(ctx, "PUT", documentPath(lib, id), nil, doc, out)
}

// Document returns a document, with its vectors where embeddings is set.
func (c *Client) Document(ctx context.Context, lib, id string, embeddings bool) (*Document, error) {
	q := url.Values{}
	if embeddings {
		q.Set("include", "embeddings")
	}
	out := new(Document)
	return out, c.call(ctx, "GET", documentPath(lib, id), q, nil, out)
}

// DeleteDocument deletes a document and returns the seq of that change.
func (c *Client) DeleteDocument(ctx context.Context, lib, id string) (uint64, error) {
	return c.deleted(ctx, documentPath(lib, id))
}

// Count returns how many documents match a filter, all where it is empty.
func (c *Client) Count(ctx context.Context, lib, filter string) (uint64, error) {
	q := url.Values{}
	if filter != "" {
		q.Set("filter", filter)
	}
	var out struct {
		Count uint64 `json:"count"`
	}
	err := c.call(ctx, "GET", libraryPath(lib)+"/count", q, nil, &out)
	return out.Count, err
}

func (c *Client) deleted(ctx context.Context, path string) (uint64, error) {
	var out struct {
		Seq uint64 `json:"seq"`
	}
	err := c.call(ctx, "DELETE", path, nil, nil, &out)
	return out.Seq, err
}

func documentPath(lib, id string) string {
	return libraryPath(lib) + "/documents/" + url.PathEscape(id)
}
