package engine

import (
	"encoding/json"
	"strconv"
)

// LibrarySettings is a library as it is configured, in the API's form.
type LibrarySettings struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Metadata    json.RawMessage   `json:"metadata"`
	Dimension   Dimension         `json:"dimension"`
	Metric      string            `json:"metric"` // cosine, l2 or dot
	Index       IndexSettings     `json:"index"`
	Embedding   EmbeddingSettings `json:"embedding"`
	Chunking    ChunkingSettings  `json:"chunking"`
	Analyzer    AnalyzerSettings  `json:"analyzer"`
}

// A Dimension is how many numbers a library's vectors have. 0 says that the first
// vector fixes it; as JSON that is null.
type Dimension int

// MarshalJSON implements json.Marshaler.
func (d Dimension) MarshalJSON() ([]byte, error) {
	if d == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(d), 10), nil
}

// IndexSettings configures a library's vector index.
type IndexSettings struct {
	Type           string `json:"type"` // flat
	M              int    `json:"m"`
	EfConstruction int    `json:"ef_construction"`
	EfSearch       int    `json:"ef_search"`
	Quantization   string `json:"quantization"` // int8 or float32
}

// EmbeddingSettings says where vectors come from.
type EmbeddingSettings struct {
	Provider  string `json:"provider"` // builtin, openai or none
	BaseURL   string `json:"base_url,omitempty"`
	Model     string `json:"model,omitempty"`
	APIKeyEnv string `json:"api_key_env,omitempty"`
	// Hash pins the model: vectors of models with different hashes never meet. It is
	// set when the library is made, and is not given.
	Hash string `json:"hash,omitempty"`
}

// ChunkingSettings says how a document's "text" is split.
type ChunkingSettings struct {
	MaxWords int `json:"max_words"`
	Overlap  int `json:"overlap"`
}

// AnalyzerSettings configures keyword search.
type AnalyzerSettings struct {
	Language string `json:"language"`
}

// LibraryStats counts what a library holds.
type LibraryStats struct {
	Documents     uint64 `json:"documents"`
	Chunks        uint64 `json:"chunks"`
	DeletedChunks uint64 `json:"deleted_chunks"` // dead, not yet reclaimed
	IndexedChunks uint64 `json:"indexed_chunks"`
	IndexSeq      uint64 `json:"index_seq"`
	DiskBytes     uint64 `json:"disk_bytes"`
	MemoryBytes   uint64 `json:"memory_bytes"`
}

// A Library is a library's settings and state at some seq.
type Library struct {
	LibrarySettings
	Num       uint32 // its small integer in the log and the store
	CreatedAt int64  // µs since 1970 UTC
	UpdatedAt int64
	Seq       uint64 // of the last change to the settings
	Stats     LibraryStats
}
