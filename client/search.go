package client

import (
	"context"
	"encoding/json"
)

// A Search says what to look for. What is empty has the server's default.
type Search struct {
	Query             string          `json:"query,omitempty"`
	Embedding         []float32       `json:"embedding,omitempty"`
	Mode              string          `json:"mode,omitempty"` // vector, keyword or hybrid
	K                 int             `json:"k,omitempty"`
	Filter            json.RawMessage `json:"filter,omitempty"`
	DistanceThreshold *float64        `json:"distance_threshold,omitempty"`
	Exact             bool            `json:"exact,omitempty"`
	Ef                int             `json:"ef,omitempty"`
	Include           []string        `json:"include,omitempty"`
	Fusion            string          `json:"fusion,omitempty"` // relative or rrf
	VectorWeight      *float64        `json:"vector_weight,omitempty"`
	Highlight         bool            `json:"highlight,omitempty"`
}

// A Hit is a chunk that was found.
type Hit struct {
	Rank       int             `json:"rank"`
	ChunkID    string          `json:"chunk_id"`
	DocumentID string          `json:"document_id"`
	Score      float64         `json:"score"`    // higher is better
	Distance   *float64        `json:"distance"` // lower is better; nil where it was not found by its vector
	Title      string          `json:"title"`
	Text       *string         `json:"text"`
	Metadata   json.RawMessage `json:"metadata"`
	// Highlight has parts of title and text, with <em> and </em> around the query's
	// words, where they were asked for.
	Highlight *Highlight `json:"highlight,omitempty"`
}

// A Highlight has the parts of a hit that the query's words stand in.
type Highlight struct {
	Title []string `json:"title"`
	Text  []string `json:"text"`
}

// A SearchAnswer is a ranking, best first.
type SearchAnswer struct {
	Results []Hit   `json:"results"`
	Total   int     `json:"total"`
	TookMS  float64 `json:"took_ms"`
	Seq     uint64  `json:"seq"`
	Index   string  `json:"index"`
}

// Search ranks the chunks of a library. It sees every write that was acknowledged
// before it began.
func (c *Client) Search(ctx context.Context, lib string, s Search) (*SearchAnswer, error) {
	out := new(SearchAnswer)
	return out, c.call(ctx, "POST", libraryPath(lib)+"/search", nil, s, out)
}
