// Package docjson reads and writes documents as JSON, in the one shape that
// ingest, REST, the feed and export share.
//
// It stands apart from encoding/json because this is the hot path of ingest and
// of the feed: most bytes that the server handles are the text and the vectors
// of documents.
package docjson

import "github.com/arrwdb/arrwdb/change"

// A Document is a document as a client sends it.
type Document struct {
	ID        string
	Title     string
	Metadata  []byte // a JSON object without needless white space; nil where empty or absent
	CreatedAt int64  // µs since 1970 UTC; 0 where not given
	// Chunks as given, "texts" and a lone "embedding" included. Num is 0; an ID
	// that was not given is "". A chunk without embedding has no Vectors.
	Chunks []change.Chunk
	// Text of a document that is to be split by the library's chunking; HasText
	// says that it was given (with "text" and "embedding" together the document
	// is one chunk instead, and HasText is false).
	Text    string
	HasText bool
}

// A View is a document as the server returns it.
type View struct {
	LibraryID string
	ID        string
	Title     string
	Metadata  []byte // nil is written as {}
	Seq       uint64
	CreatedAt int64 // µs since 1970 UTC
	UpdatedAt int64
	NumChunks int
	Chunks    []change.Chunk
}
