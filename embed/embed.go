package embed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// Providers of a library's embedding.
const (
	ProviderBuiltin = "builtin"
	ProviderOpenAI  = "openai"
	ProviderNone    = "none"
)

// builtinModel changes with anything that changes a vector: the words, the
// weights, the tokenizer.
const builtinModel = "glove-100d-sif-1"

// A Model makes vectors of texts. Its methods may be called from any goroutine.
type Model interface {
	// Info says which model it is. It never changes.
	Info() Info
	// Embed returns a vector of Info().Dimension finite numbers, not all zero, for
	// each text, in order. All come from one call or none does.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Info identifies a model. Vectors belong together only where Provider, Model and
// Hash are equal.
type Info struct {
	Provider  string
	Model     string
	Hash      string // of the model's data, where they are known; hex
	Dimension int
}

var builtinHash = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(modelFile))
	return hex.EncodeToString(sum[:])
})

// An Error is a failure of a provider. Neither texts nor keys are in it.
type Error struct {
	Provider string
	// Retryable says that the same texts may be embedded later.
	Retryable bool
	Detail    string // for the client
	Err       error  // for the log
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Provider + ": " + e.Detail + ": " + e.Err.Error()
	}
	return e.Provider + ": " + e.Detail
}

func (e *Error) Unwrap() error { return e.Err }
