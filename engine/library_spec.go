package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/embed"
	"github.com/arrwdb/arrwdb/index/analysis"
)

// Limits and defaults of a library's settings.
const (
	MaxNameBytes        = 256
	MaxDescriptionBytes = 16 << 10

	defaultMetric         = "cosine"
	defaultIndex          = "flat"
	defaultM              = 16
	defaultEfConstruction = 200
	defaultEfSearch       = 64
	defaultQuantization   = "int8"
	defaultMaxWords       = 200
	defaultOverlap        = 20
	defaultLanguage       = "en"
)

// LibraryIDPattern is what a library's id matches.
const LibraryIDPattern = `^[a-z0-9][a-z0-9._:-]{0,63}$`

var libraryID = regexp.MustCompile(LibraryIDPattern)

// ValidLibraryID reports whether s can be the id of a library.
func ValidLibraryID(s string) bool { return libraryID.MatchString(s) }

// A LibrarySpec is a library as a client asks for it; nil means not given.
type LibrarySpec struct {
	ID          *string            `json:"id"`
	Name        *string            `json:"name"`
	Description *string            `json:"description"`
	Metadata    json.RawMessage    `json:"metadata"`
	Dimension   *int               `json:"dimension"`
	Metric      *string            `json:"metric"`
	Index       *IndexSpec         `json:"index"`
	Embedding   *EmbeddingSettings `json:"embedding"`
	Chunking    *ChunkingSpec      `json:"chunking"`
	Analyzer    *AnalyzerSettings  `json:"analyzer"`
}

// An IndexSpec is an index as a client asks for it; nil means not given.
type IndexSpec struct {
	Type           *string `json:"type"`
	M              *int    `json:"m"`
	EfConstruction *int    `json:"ef_construction"`
	EfSearch       *int    `json:"ef_search"`
	Quantization   *string `json:"quantization"`
}

// A ChunkingSpec is a chunking as a client asks for it; nil means not given.
type ChunkingSpec struct {
	MaxWords *int `json:"max_words"`
	Overlap  *int `json:"overlap"`
}

// A LibraryPatch changes what of a library may change; nil leaves it. Metadata
// replaces the former metadata. Of Index only EfSearch may be set.
type LibraryPatch struct {
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	Metadata    json.RawMessage `json:"metadata"`
	Index       *IndexSpec      `json:"index"`
}

// settings validates the spec and fills in the defaults.
func (spec *LibrarySpec) settings() (*LibrarySettings, *change.Error) {
	s := &LibrarySettings{
		Metadata: json.RawMessage("{}"), Metric: defaultMetric,
		Index:     IndexSettings{Type: defaultIndex, M: defaultM, EfConstruction: defaultEfConstruction, EfSearch: defaultEfSearch, Quantization: defaultQuantization},
		Embedding: EmbeddingSettings{Provider: "builtin"},
		Chunking:  ChunkingSettings{MaxWords: defaultMaxWords, Overlap: defaultOverlap},
		Analyzer:  AnalyzerSettings{Language: defaultLanguage},
	}
	if spec.ID == nil && spec.Name == nil {
		return nil, change.BadField("id", "a library needs an \"id\" or a \"name\"")
	}
	if spec.ID == nil {
		s.ID = uuid.Must(uuid.NewV7()).String()
	} else if s.ID = *spec.ID; !ValidLibraryID(s.ID) {
		return nil, change.BadField("id", "library id %s does not match %s", quoted(s.ID), LibraryIDPattern)
	}
	s.Name = s.ID
	patch := LibraryPatch{Name: spec.Name, Description: spec.Description, Metadata: spec.Metadata}
	if err := patch.apply(s); err != nil {
		return nil, err
	}
	if d := spec.Dimension; d != nil {
		if *d < 1 || *d > MaxDimension {
			return nil, change.BadField("dimension", "dimension %d is not between 1 and %d", *d, MaxDimension)
		}
		s.Dimension = Dimension(*d)
	}
	if m := spec.Metric; m != nil {
		if *m != "cosine" && *m != "l2" && *m != "dot" {
			return nil, change.BadField("metric", "metric %s is not one of cosine, l2, dot", quoted(*m))
		}
		s.Metric = *m
	}
	if err := spec.Index.apply(&s.Index); err != nil {
		return nil, err
	}
	if err := spec.chunking(&s.Chunking); err != nil {
		return nil, err
	}
	if a := spec.Analyzer; a != nil {
		if !slices.Contains(analysis.Languages(), a.Language) {
			return nil, change.BadField("analyzer.language", "language %s is not one of %s", quoted(a.Language), strings.Join(analysis.Languages(), ", "))
		}
		s.Analyzer = *a
	}
	return s, spec.embedding(s)
}

// embedding validates the provider, pins its model and gives the library the
// model's dimension.
func (spec *LibrarySpec) embedding(s *LibrarySettings) *change.Error {
	if spec.Embedding != nil {
		s.Embedding = *spec.Embedding
	}
	e := &s.Embedding
	if e.Provider == "" {
		e.Provider = embed.ProviderBuiltin
	}
	if e.Hash != "" {
		return change.BadField("embedding.hash", "the hash of the model is set by the server")
	}
	if e.Provider != embed.ProviderOpenAI && (e.BaseURL != "" || e.APIKeyEnv != "") {
		return change.BadField("embedding", "base_url and api_key_env belong to the provider \"openai\"; this one is %s", quoted(e.Provider))
	}
	switch e.Provider {
	case embed.ProviderNone:
		if e.Model != "" {
			return change.BadField("embedding.model", "provider \"none\" has no model: the client sends every vector")
		}
		return nil
	case embed.ProviderBuiltin:
		info := embed.Builtin().Info()
		if e.Model != "" && e.Model != info.Model {
			return change.BadField("embedding.model", "the built-in model is %q, not %s", info.Model, quoted(e.Model))
		}
		e.Model, e.Hash = info.Model, info.Hash
		if s.Dimension == 0 {
			s.Dimension = Dimension(info.Dimension)
		}
		if int(s.Dimension) != info.Dimension {
			return change.BadField("dimension", "the built-in model gives %d numbers, not %d; leave the dimension out, or use provider \"none\" and send every vector", info.Dimension, s.Dimension)
		}
		return nil
	case embed.ProviderOpenAI:
		return nil // needs the network: see pinService
	}
	return change.BadField("embedding.provider", "embedding provider %s is not one of builtin, openai, none", quoted(e.Provider))
}

func (spec *IndexSpec) apply(s *IndexSettings) *change.Error {
	if spec == nil {
		return nil
	}
	if t := spec.Type; t != nil {
		switch *t {
		case "flat":
			s.Type = *t
		case "hnsw", "ivf":
			return change.BadField("index.type", "index type %q is not in this build yet: use flat", *t)
		default:
			return change.BadField("index.type", "index type %s is not one of flat, hnsw, ivf", quoted(*t))
		}
	}
	if q := spec.Quantization; q != nil {
		if *q != "int8" && *q != "float32" {
			return change.BadField("index.quantization", "quantization %s is not one of int8, float32", quoted(*q))
		}
		s.Quantization = *q
	}
	for _, n := range []struct {
		field    string
		v        *int
		min, max int
		to       *int
	}{
		{"index.m", spec.M, 2, 128, &s.M},
		{"index.ef_construction", spec.EfConstruction, 1, 10_000, &s.EfConstruction},
		{"index.ef_search", spec.EfSearch, 1, 10_000, &s.EfSearch},
	} {
		if n.v == nil {
			continue
		}
		if *n.v < n.min || *n.v > n.max {
			return change.BadField(n.field, "%d is not between %d and %d", *n.v, n.min, n.max)
		}
		*n.to = *n.v
	}
	return nil
}

func (spec *LibrarySpec) chunking(s *ChunkingSettings) *change.Error {
	if c := spec.Chunking; c != nil {
		if c.MaxWords != nil {
			s.MaxWords = *c.MaxWords
		}
		if c.Overlap != nil {
			s.Overlap = *c.Overlap
		} else {
			s.Overlap = min(s.Overlap, max(s.MaxWords-1, 0))
		}
	}
	if s.MaxWords < 1 || s.MaxWords > 100_000 {
		return change.BadField("chunking.max_words", "%d is not between 1 and 100000", s.MaxWords)
	}
	if s.Overlap < 0 || s.Overlap >= s.MaxWords {
		return change.BadField("chunking.overlap", "%d is not between 0 and max_words-1 (%d)", s.Overlap, s.MaxWords-1)
	}
	return nil
}

// apply validates the patch and moves the settings by it.
func (p *LibraryPatch) apply(s *LibrarySettings) *change.Error {
	if p.Name != nil {
		if len(*p.Name) > MaxNameBytes || !utf8.ValidString(*p.Name) || *p.Name == "" {
			return change.BadField("name", "a name is between 1 and %d bytes of UTF-8", MaxNameBytes)
		}
		s.Name = *p.Name
	}
	if p.Description != nil {
		if len(*p.Description) > MaxDescriptionBytes || !utf8.ValidString(*p.Description) {
			return change.BadField("description", "a description is at most %d bytes of UTF-8", MaxDescriptionBytes)
		}
		s.Description = *p.Description
	}
	if p.Metadata != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Metadata); err != nil || compact.Len() == 0 || compact.Bytes()[0] != '{' {
			return change.BadField("metadata", "metadata is a JSON object")
		}
		if compact.Len() > MaxMetadataBytes {
			return change.BadField("metadata", "the metadata takes %d bytes, the limit is %d", compact.Len(), MaxMetadataBytes)
		}
		s.Metadata = compact.Bytes()
	}
	if i := p.Index; i != nil {
		if i.Type != nil || i.M != nil || i.EfConstruction != nil || i.Quantization != nil {
			return change.BadField("index", "only index.ef_search can be changed here; a rebuild changes the rest")
		}
		return i.apply(&s.Index)
	}
	return nil
}

// CreateLibrary makes a library. It fails with AlreadyExists or InvalidArgument.
func (db *DB) CreateLibrary(ctx context.Context, spec *LibrarySpec, once *Once) (*Library, *Receipt, error) {
	settings, err := spec.settings()
	if err == nil {
		err = db.pinService(ctx, settings)
	}
	if err != nil {
		return nil, nil, err
	}
	return db.commitLibrary(ctx, &libraryOp{kind: change.LibraryCreated, id: settings.ID, spec: settings}, once)
}

// UpdateLibrary changes a library's settings. It fails with LibraryNotFound or
// InvalidArgument.
func (db *DB) UpdateLibrary(ctx context.Context, id string, patch *LibraryPatch, once *Once) (*Library, *Receipt, error) {
	return db.commitLibrary(ctx, &libraryOp{kind: change.LibraryUpdated, id: id, patch: patch}, once)
}

// DeleteLibrary deletes a library with all its documents: one change.
func (db *DB) DeleteLibrary(ctx context.Context, id string) (*Receipt, error) {
	_, r, err := db.commitLibrary(ctx, &libraryOp{kind: change.LibraryDeleted, id: id}, nil)
	return r, err
}

func (db *DB) commitLibrary(ctx context.Context, op *libraryOp, once *Once) (*Library, *Receipt, error) {
	r, err := db.Commit(ctx, &Group{Atomic: true, Once: once, lib: op})
	if err != nil {
		return nil, nil, err
	}
	if r.Replayed != nil {
		return nil, r, nil
	}
	return r.Outcomes[0].Library, r, nil
}

// settingsDimension returns the dimension in a library's stored settings.
func settingsDimension(settings []byte) int {
	var s struct {
		Dimension int `json:"dimension"`
	}
	if json.Unmarshal(settings, &s) != nil {
		return 0
	}
	return s.Dimension
}
