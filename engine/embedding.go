package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/embed"
	"github.com/arrwdb/arrwdb/embed/openai"
)

// A wanted is a chunk that waits for its vector.
type wanted struct {
	op, chunk int
}

// embedGroup splits the texts of documents that are to be split, and gives every
// chunk that came without a vector one of its library's model, those of all
// operations together. It runs in the caller's goroutine, before the group has a
// place in any queue. A fault stays with the operations that it concerns.
func (db *DB) embedGroup(ctx context.Context, g *Group) {
	var texts []string
	var want []wanted
	var of *libraryInfo // the library of want
	flush := func() {
		if len(want) > 0 {
			db.embedChunks(ctx, of, g, texts, want)
		}
		texts, want = texts[:0], want[:0]
	}
	for i := range g.Ops {
		op := &g.Ops[i]
		lib := db.library(op.Library)
		if lib == nil || op.Doc == nil {
			continue
		}
		if op.Doc.HasText {
			op.Doc.Chunks = splitText(op.Doc.Chunks[:0], op.Doc.Text, lib.chunking)
			op.Doc.HasText = false
		}
		if lib.embedding.Provider == embed.ProviderNone || len(op.Doc.Chunks) > MaxChunks {
			continue
		}
		if of != lib {
			flush()
			of = lib
		}
		for j := range op.Doc.Chunks {
			if ch := &op.Doc.Chunks[j]; len(ch.Vectors) == 0 {
				texts, want = append(texts, ch.Text), append(want, wanted{i, j})
			}
		}
	}
	flush()
}

func (db *DB) embedChunks(ctx context.Context, lib *libraryInfo, g *Group, texts []string, want []wanted) {
	vectors, err := db.embedTexts(ctx, lib, texts)
	if err != nil {
		for _, w := range want {
			g.Ops[w.op].prep.err = err
		}
		return
	}
	dim := len(vectors[0])
	raw := make([]byte, 0, 4*dim*len(want))
	all := make([]change.Vector, len(want))
	for i, w := range want {
		at := len(raw)
		raw = change.AppendRaw(raw, vectors[i])
		all[i].Raw = raw[at:len(raw):len(raw)]
		g.Ops[w.op].Doc.Chunks[w.chunk].Vectors = all[i : i+1 : i+1]
	}
}

// embedTexts returns the vectors of texts by a library's model.
func (db *DB) embedTexts(ctx context.Context, lib *libraryInfo, texts []string) ([][]float32, *change.Error) {
	model, err := db.model(lib)
	if err != nil {
		return nil, err
	}
	vectors, cause := model.Embed(ctx, texts)
	if cause == nil {
		return vectors, nil
	}
	if ctx.Err() != nil {
		return nil, &change.Error{Code: change.DeadlineExceeded, Detail: "the request ended while its texts were being embedded; nothing of it was written", Err: cause}
	}
	return nil, embeddingError(cause)
}

func embeddingError(cause error) *change.Error {
	out := &change.Error{Code: change.EmbeddingFailed, Detail: "the embedding provider failed", Err: cause}
	var e *embed.Error
	if !errors.As(cause, &e) {
		return out.With("retryable", true)
	}
	out.Detail = "embedding provider " + e.Provider + ": " + e.Detail
	return out.With("retryable", e.Retryable)
}

// service returns the model of a service, as a library's settings name it.
func (db *DB) service(e *EmbeddingSettings, dimension int) (*openai.Model, *change.Error) {
	key := ""
	if e.APIKeyEnv != "" {
		if err := openai.CheckKeyEnv(e.APIKeyEnv); err != nil {
			return nil, change.BadField("embedding.api_key_env", "%s: %v", quoted(e.APIKeyEnv), err)
		}
		if key = os.Getenv(e.APIKeyEnv); key == "" {
			return nil, change.BadField("embedding.api_key_env", "the server has no variable %s", e.APIKeyEnv)
		}
	}
	m, err := openai.New(openai.Config{BaseURL: e.BaseURL, Model: e.Model, APIKey: key, Dimension: dimension, Client: db.opts.OpenAI})
	if err == nil {
		return m, nil
	}
	field, detail, _ := strings.Cut(err.Error(), ": ")
	return nil, change.BadField("embedding."+field, "%s", detail)
}

// pinService completes the settings of a new library whose vectors a service makes:
// its dimension, where it was not given, and what its vectors are told by.
func (db *DB) pinService(ctx context.Context, s *LibrarySettings) *change.Error {
	e := &s.Embedding
	if e.Provider != embed.ProviderOpenAI {
		return nil
	}
	m, err := db.service(e, int(s.Dimension))
	if err != nil {
		return err
	}
	if s.Dimension == 0 {
		dim, err := m.Probe(ctx)
		if err != nil {
			return embeddingError(err)
		}
		s.Dimension = Dimension(dim)
	}
	e.Hash = openai.Hash(e.BaseURL, e.Model, int(s.Dimension))
	return nil
}

// errNoModel says that a library's vectors come from its clients.
var errNoModel = errors.New("the library has no embedding model")

// model returns the model of a library, if this program has the very one that
// made the library's vectors.
func (db *DB) model(lib *libraryInfo) (embed.Model, *change.Error) {
	switch lib.embedding.Provider {
	case embed.ProviderNone:
		return nil, &change.Error{Code: change.InvalidArgument, Field: "embedding", Err: errNoModel,
			Detail: "the library has embedding provider \"none\": send an embedding"}
	case embed.ProviderBuiltin:
		m := embed.Builtin()
		if info := m.Info(); info.Hash != lib.embedding.Hash {
			return nil, change.Errorf(change.EmbeddingFailed, "the library's vectors were made by the built-in model %q (%.12s); this program has %q (%.12s), and vectors of the two do not mix: send embeddings, or use the program's older version", lib.embedding.Model, lib.embedding.Hash, info.Model, info.Hash).
				With("retryable", false)
		}
		return m, nil
	}
	m, err := db.service(&lib.embedding, int(lib.settings.Dimension))
	if err != nil { // it was right when the library was made: the server is set up otherwise now
		return nil, change.Errorf(change.EmbeddingFailed, "the library's embedding provider cannot be called: %s", err.Detail).With("retryable", true)
	}
	return m, nil
}

// splitText appends the chunks of a text: at most MaxWords words each, the last
// Overlap of which begin the next one. A chunk is a part of the text as it stands,
// from its first word to the end of its last. A text without a word is one chunk.
func splitText(chunks []change.Chunk, text string, c ChunkingSettings) []change.Chunk {
	var starts, ends []int // of the words, from the chunk's first one
	in := false
	cut := func() {
		chunks = append(chunks, change.Chunk{Text: text[starts[0]:ends[len(ends)-1]]})
	}
	fresh := 0 // words that no chunk has yet
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		switch space := unicode.IsSpace(r); {
		case space:
			in = false
		case !in:
			if len(starts) == c.MaxWords {
				cut()
				starts = append(starts[:0], starts[c.MaxWords-c.Overlap:]...)
				ends = append(ends[:0], ends[c.MaxWords-c.Overlap:]...)
				fresh = 0
			}
			starts, ends = append(starts, i), append(ends, i+size)
			in = true
			fresh++
		default:
			ends[len(ends)-1] = i + size
		}
		i += size
	}
	if len(chunks) == 0 && len(starts) <= c.MaxWords { // short: as it is
		return append(chunks, change.Chunk{Text: text})
	}
	if fresh > 0 {
		cut()
	}
	return chunks
}
