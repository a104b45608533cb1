package search

import (
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// DocumentWords are the words of a document: half of the work of indexing it, which
// can be done before its commit has a place in the log.
type DocumentWords struct {
	title keyword.Words
	texts []keyword.Words // by chunk
}

// A TextAnalysis analyses the texts of one library. Its tokenizers, which remember
// words, are used again.
type TextAnalysis struct{ tokenizers sync.Pool }

// NewTextAnalysis returns one for a library's analyzer.
func NewTextAnalysis(a *analysis.Analyzer) *TextAnalysis {
	return &TextAnalysis{sync.Pool{New: func() any { return a.NewTokenizer() }}}
}

// Document works out the words of a document. Any goroutine may call it.
func (x *TextAnalysis) Document(title string, chunks []change.Chunk) DocumentWords {
	t := x.tokenizers.Get().(*analysis.Tokenizer)
	defer x.tokenizers.Put(t)
	d := DocumentWords{title: keyword.Analyse(t, title), texts: make([]keyword.Words, len(chunks))}
	for i := range chunks {
		d.texts[i] = keyword.Analyse(t, chunks[i].Text)
	}
	return d
}
