package demo

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"strings"
	"unicode"

	"github.com/arrwdb/arrwdb/client"
)

// The glosses of WordNet 3.0 that mkcorpus chose; WORDNET-LICENSE is their
// licence.
//
//go:embed wordnet.ndjson.gz
var packed []byte

// Corpus returns the documents of the demo, each with one chunk and its vector.
func Corpus() ([]client.Document, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var docs []client.Document
	for dec := json.NewDecoder(z); ; {
		var d struct {
			client.Document
			Text string `json:"text"`
		}
		err := dec.Decode(&d)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		d.Chunks = []client.Chunk{{Text: d.Text, Embedding: Vector(d.Title + " " + d.Text)}}
		docs = append(docs, d.Document)
	}
}

// Dimension of the vectors that Vector makes.
const Dimension = 64

// Vector hashes the words of a text into a unit vector (feature hashing:
// Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009,
// section 2): each word adds √count to one element, with a sign of its own. It
// is lexical: texts are near each other where they share words, whatever the
// words mean.
func Vector(text string) []float32 {
	counts := map[string]float64{}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		counts[w]++
	}
	var sum [Dimension]float64
	for w, n := range counts {
		h := fnv.New64a()
		_, _ = io.WriteString(h, w) // a hash takes everything
		x := h.Sum64()
		sign := 1.0
		if x>>63 == 1 {
			sign = -1
		}
		sum[x%Dimension] += sign * math.Sqrt(n)
	}
	norm := 0.0
	for _, v := range sum {
		norm += v * v
	}
	out := make([]float32, Dimension)
	if norm == 0 {
		out[0] = 1 // no words: cosine has no use for a zero vector
		return out
	}
	for i, v := range sum {
		out[i] = float32(v / math.Sqrt(norm))
	}
	return out
}
