package demo

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"io"

	"github.com/arrwdb/arrwdb/client"
)

// The glosses of WordNet 3.0 that mkcorpus chose; WORDNET-LICENSE is their
// licence.
//
//go:embed wordnet.ndjson.gz
var packed []byte

// Corpus returns the documents of the demo, each with one chunk.
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
		d.Chunks = []client.Chunk{{Text: d.Text}}
		docs = append(docs, d.Document)
	}
}
