package docjson

import (
	"slices"

	"github.com/arrwdb/arrwdb/change"
)

// A Document is a document as a client sends it.
//
// It may be used again for the next Parse, which then allocates nothing. What
// Parse put into it stays valid until that next Parse, as long as the bytes that
// were parsed stay unchanged: strings without escapes are parts of them.
type Document struct {
	ID        string
	Title     string
	Metadata  []byte // a JSON object without needless white space; nil where empty or absent
	CreatedAt int64  // µs since 1970 UTC; 0 where not given
	// Chunks as given, "texts" and a lone "embedding" included. Num is 0; an ID
	// that was not given is "". A chunk without embedding has no Vectors. The
	// vectors of a document lie one after the other in one slice.
	Chunks []change.Chunk
	// Text of a document that is to be split by the library's chunking; HasText
	// says that it was given (with "text" and "embedding" together the document
	// is one chunk instead, and HasText is false).
	Text    string
	HasText bool

	scratch scratch
}

// scratch is the memory that a Document keeps from one Parse to the next.
type scratch struct {
	arena   []byte          // decoded strings, compacted metadata
	raw     []byte          // the vectors, little-endian float32
	spans   []span          // for each vector: which chunk, where in raw
	vectors []change.Vector // what the chunks' Vectors are parts of
	keys    [][]byte        // stack of the keys of the open objects
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

// Limits bounds what Parse accepts. A field that is 0 has its default. What is
// over a limit is change.TooLarge with "limit".
type Limits struct {
	Chunks    int // most chunks of a document; DefaultChunks
	Dimension int // most elements of an embedding; DefaultDimension
	Metadata  int // most bytes of one metadata object; DefaultMetadata
}

// Defaults of Limits, and the depth to which metadata may be nested.
const (
	DefaultChunks    = 100_000
	DefaultDimension = 65_536
	DefaultMetadata  = 1 << 20
	MaxDepth         = 128
)

func (l Limits) withDefaults() Limits {
	if l.Chunks <= 0 {
		l.Chunks = DefaultChunks
	}
	if l.Dimension <= 0 {
		l.Dimension = DefaultDimension
	}
	if l.Metadata <= 0 {
		l.Metadata = DefaultMetadata
	}
	return l
}

// maxID is the longest id that ValidID accepts.
const maxID = 128

// IDPattern is what the ids of documents and chunks match.
const IDPattern = `^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`

// ValidID reports whether s matches IDPattern.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > maxID || idBytes[s[0]] != 1 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if idBytes[s[i]] == 0 {
			return false
		}
	}
	return true
}

// idBytes: 1 may stand anywhere in an id, 2 not at its beginning, 0 nowhere.
var idBytes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			t[c] = 1
		case c == '.', c == '_', c == ':', c == '-':
			t[c] = 2
		}
	}
	return t
}()

// TextBytes returns the length of everything in the document but its vectors:
// what Detach appends.
func (d *Document) TextBytes() int {
	n := len(d.ID) + len(d.Title) + len(d.Metadata) + len(d.Text)
	for i := range d.Chunks {
		c := &d.Chunks[i]
		n += len(c.ID) + len(c.Text) + len(c.Metadata)
	}
	return n
}

// Detach appends TextBytes bytes to b and makes the document refer to them, so
// that it no longer depends on the bytes that were parsed. Digits of vectors are
// most of a line, and are not needed any more. It returns the extended b.
func (d *Document) Detach(b []byte) []byte {
	b = slices.Grow(b, d.TextBytes()) // so that b does not move below
	raw := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		at := len(b)
		b = append(b, p...)
		return b[at:len(b):len(b)]
	}
	text := func(s string) string {
		at := len(b)
		b = append(b, s...)
		return aliasString(b[at:len(b):len(b)])
	}
	d.ID, d.Title, d.Metadata, d.Text = text(d.ID), text(d.Title), raw(d.Metadata), text(d.Text)
	for i := range d.Chunks {
		c := &d.Chunks[i]
		c.ID, c.Text, c.Metadata = text(c.ID), text(c.Text), raw(c.Metadata)
	}
	return b
}
