package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"github.com/arrwdb/arrwdb/change"
)

// The keys of the store. The first byte is the kind; integers are big-endian so
// that keys sort by them; an id or a name stands last and needs no end mark.
//
//	0x01                      → the store's stamp and the chain at its seq
//	'L' library id            → library row
//	'N' u32 library           → library id, kept after the library is deleted
//	'D' u32 library, doc id   → document row: everything but the texts
//	'C' u32 library, u64 num  → chunk row: document id and text
//	'S' u32 library, name     → source row
//	'K' key id                → API key (JSON)
//	'I' hash                  → remembered answer (body of its control record)
//	'J' u64 time, hash        → nothing; orders the remembered answers by age
const (
	prefixLibrary     = 'L'
	prefixLibraryName = 'N'
	prefixDocument    = 'D'
	prefixChunk       = 'C'
	prefixSource      = 'S'
	prefixKey         = 'K'
	prefixOnce        = 'I'
	prefixOnceAge     = 'J'
)

var keyApplied = []byte{0x01}

// storeFormat is the version of the rows below.
//
//	1: the first
const storeFormat = 1

func libraryKey(id string) []byte { return append([]byte{prefixLibrary}, id...) }

func libraryNameKey(num uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefixLibraryName}, num)
}

func appendDocumentKey(b []byte, lib uint32, id string) []byte {
	b = append(b, prefixDocument)
	b = binary.BigEndian.AppendUint32(b, lib)
	return append(b, id...)
}

func appendChunkKey(b []byte, lib uint32, num uint64) []byte {
	b = append(b, prefixChunk)
	b = binary.BigEndian.AppendUint32(b, lib)
	return binary.BigEndian.AppendUint64(b, num)
}

func sourceKey(lib uint32, name string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{prefixSource}, lib)
	return append(b, name...)
}

func apiKeyKey(id string) []byte { return append([]byte{prefixKey}, id...) }

func onceKey(hash []byte) []byte { return append([]byte{prefixOnce}, hash...) }

func onceAgeKey(time int64, hash []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{prefixOnceAge}, uint64(time))
	return append(b, hash...)
}

// libraryRange returns the bounds of all rows of a kind that belong to lib.
func libraryRange(prefix byte, lib uint32) (lower, upper []byte) {
	lower = binary.BigEndian.AppendUint32([]byte{prefix}, lib)
	if lib == 1<<32-1 {
		return lower, []byte{prefix + 1}
	}
	return lower, binary.BigEndian.AppendUint32([]byte{prefix}, lib+1)
}

// errRow is wrapped where a row of the store cannot be decoded: damage, as the
// store's own checksums passed.
var errRow = errors.New("malformed row in the store")

type rowReader struct {
	b   []byte
	bad bool
}

func (r *rowReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		r.b = nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	if len(v) == 0 {
		return nil
	}
	return v
}

func (r *rowReader) string() string {
	v := r.bytes()
	if len(v) == 0 {
		return ""
	}
	return unsafe.String(&v[0], len(v))
}

func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// A docRow is a document in the store without the texts and vectors of its
// chunks.
//
//	uvarint version, seq, created_at, updated_at; string title; bytes metadata;
//	uvarint number of chunks; for each: uvarint number, string id, bytes metadata
type docRow struct {
	Seq       uint64
	CreatedAt int64
	UpdatedAt int64
	Title     string
	Metadata  []byte
	Chunks    []change.ChunkRef
}

func (d *docRow) append(b []byte) []byte {
	b = append(b, storeFormat)
	b = binary.AppendUvarint(b, d.Seq)
	b = binary.AppendUvarint(b, uint64(d.CreatedAt))
	b = binary.AppendUvarint(b, uint64(d.UpdatedAt))
	b = appendBytes(b, d.Title)
	b = appendBytes(b, d.Metadata)
	b = binary.AppendUvarint(b, uint64(len(d.Chunks)))
	for i := range d.Chunks {
		c := &d.Chunks[i]
		b = binary.AppendUvarint(b, c.Num)
		if c.ID == change.DefaultChunkID(i) {
			b = append(b, 0)
		} else {
			b = appendBytes(b, c.ID)
		}
		b = appendBytes(b, c.Metadata)
	}
	return b
}

// decodeDocRow decodes a document row; the result aliases b.
func decodeDocRow(b []byte) (*docRow, error) {
	r := rowReader{b: b}
	if v := r.uvarint(); v != storeFormat {
		return nil, fmt.Errorf("%w: document row of version %d", errRow, v)
	}
	d := &docRow{Seq: r.uvarint(), CreatedAt: int64(r.uvarint()), UpdatedAt: int64(r.uvarint()), Title: r.string(), Metadata: r.bytes()}
	n := r.uvarint()
	if n > uint64(len(r.b))/3 {
		return nil, fmt.Errorf("%w: document row with %d chunks", errRow, n)
	}
	d.Chunks = make([]change.ChunkRef, n)
	for i := range d.Chunks {
		c := &d.Chunks[i]
		c.Num, c.ID, c.Metadata = r.uvarint(), r.string(), r.bytes()
		if c.ID == "" {
			c.ID = change.DefaultChunkID(i)
		}
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: document row", errRow)
	}
	return d, nil
}

func appendChunkRow(b []byte, docID, text string) []byte {
	b = append(b, storeFormat)
	b = appendBytes(b, docID)
	return appendBytes(b, text)
}

// decodeChunkRow decodes a chunk row; the results alias b.
func decodeChunkRow(b []byte) (docID, text string, err error) {
	r := rowReader{b: b}
	v := r.uvarint()
	docID, text = r.string(), r.string()
	if v != storeFormat || r.bad || len(r.b) != 0 {
		return "", "", fmt.Errorf("%w: chunk row", errRow)
	}
	return docID, text, nil
}

// A libRow is a library in the store.
//
//	uvarint version, number, created_at, updated_at, seq, dimension, next chunk
//	number, documents, chunks, dead chunks, last seq; bytes settings (JSON)
type libRow struct {
	Num       uint32
	CreatedAt int64
	UpdatedAt int64
	Seq       uint64 // of the last change to the settings
	Dimension int    // 0 until it is fixed
	NextChunk uint64
	Documents uint64
	Chunks    uint64
	Dead      uint64
	LastSeq   uint64 // of the last change to anything in the library
	Settings  []byte
}

func (l *libRow) append(b []byte) []byte {
	b = append(b, storeFormat)
	for _, v := range [...]uint64{uint64(l.Num), uint64(l.CreatedAt), uint64(l.UpdatedAt), l.Seq, uint64(l.Dimension),
		l.NextChunk, l.Documents, l.Chunks, l.Dead, l.LastSeq} {
		b = binary.AppendUvarint(b, v)
	}
	return appendBytes(b, l.Settings)
}

func decodeLibRow(b []byte) (*libRow, error) {
	r := rowReader{b: b}
	v := r.uvarint()
	l := &libRow{Num: uint32(r.uvarint()), CreatedAt: int64(r.uvarint()), UpdatedAt: int64(r.uvarint()), Seq: r.uvarint(),
		Dimension: int(r.uvarint()), NextChunk: r.uvarint(), Documents: r.uvarint(), Chunks: r.uvarint(), Dead: r.uvarint(),
		LastSeq: r.uvarint(), Settings: append([]byte(nil), r.bytes()...)}
	if v != storeFormat || r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: library row", errRow)
	}
	return l, nil
}

// settings returns the library's settings as they are now: a vector may have fixed
// the dimension since they were given.
func (l *libRow) settings() (s *LibrarySettings, text []byte, err error) {
	s = new(LibrarySettings)
	if err := json.Unmarshal(l.Settings, s); err != nil {
		return nil, nil, fmt.Errorf("%w: settings of a library: %v", errRow, err)
	}
	s.Dimension = Dimension(l.Dimension)
	text, err = json.Marshal(s)
	return s, text, err
}

// library returns the row as the API's library.
func (l *libRow) library() (*Library, error) {
	s, _, err := l.settings()
	if err != nil {
		return nil, err
	}
	out := &Library{LibrarySettings: *s, Num: l.Num, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, Seq: l.Seq}
	// There is no index beside the rows yet: all that is applied can be found.
	out.Stats = LibraryStats{Documents: l.Documents, Chunks: l.Chunks, DeletedChunks: l.Dead, IndexedChunks: l.Chunks, IndexSeq: l.LastSeq}
	return out, nil
}

// An applied row is the store's stamp, with what positions need.
type applied struct {
	change.Stamp
	Chain uint32 // check of positions at Seq
	Time  int64  // of the last commit, so that time never goes back
}

func (a *applied) append(b []byte) []byte {
	b = append(b, storeFormat)
	b = binary.AppendUvarint(b, a.Seq)
	b = binary.AppendUvarint(b, a.Commit)
	b = binary.AppendUvarint(b, uint64(a.Chain))
	return binary.AppendUvarint(b, uint64(a.Time))
}

func decodeApplied(b []byte) (applied, error) {
	r := rowReader{b: b}
	v := r.uvarint()
	a := applied{Stamp: change.Stamp{Seq: r.uvarint(), Commit: r.uvarint()}, Chain: uint32(r.uvarint()), Time: int64(r.uvarint())}
	if v != storeFormat || r.bad || len(r.b) != 0 {
		return applied{}, fmt.Errorf("%w: the store's stamp", errRow)
	}
	return a, nil
}
