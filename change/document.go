package change

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// documentVersion is the newest version of document bodies.
//
//	1: the first
const documentVersion = 1

// A Vector is one embedding of a chunk.
type Vector struct {
	Space      uint8  // which of the library's vector spaces; 0 is the default one
	Generation uint32 // which embedding generation; 0 until vectors are regenerated
	Raw        []byte // little-endian float32, 4 × dimension bytes
}

// Dim returns the vector's dimension.
func (v Vector) Dim() int { return len(v.Raw) / 4 }

// Floats appends the vector's elements to dst.
func (v Vector) Floats(dst []float32) []float32 { return AppendFloats(dst, v.Raw) }

// AppendFloats appends the little-endian float32 in raw to dst.
func AppendFloats(dst []float32, raw []byte) []float32 {
	for i := 0; i+4 <= len(raw); i += 4 {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
	}
	return dst
}

// AppendRaw appends v to dst as little-endian float32.
func AppendRaw(dst []byte, v []float32) []byte {
	for _, f := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
	}
	return dst
}

// A Chunk is a part of a document, as a change adds it.
type Chunk struct {
	Num      uint64 // the library's internal number of the chunk, never reused
	ID       string
	Text     string
	Metadata []byte // a JSON object, nil where empty
	Vectors  []Vector
}

// A ChunkRef names a chunk that a change kills or touches, with what a filter
// needs to know of it.
type ChunkRef struct {
	Num      uint64
	ID       string
	Metadata []byte
}

// An Image is what a document was before a change.
type Image struct {
	Seq      uint64
	Title    string
	Metadata []byte
}

// A DocumentChange is the body of the kinds Document* and Chunk*.
//
//	kind              Added          Killed             Touched         Prev
//	DocumentAdded     all chunks     -                  -               nil
//	DocumentUpdated   all new ones   all former ones    -               set
//	DocumentPatched   -              -                  all chunks      set
//	DocumentDeleted   -              all                -               set
//	ChunkAdded        one            -                  -               set
//	ChunkDeleted      -              one                -               set
//
// Title and Metadata are those after the change (of a deleted document: the
// last ones).
type DocumentChange struct {
	Time      int64 // commit time, µs since 1970 UTC
	CreatedAt int64 // of the document, µs since 1970 UTC
	NumChunks int   // of the document, after the change
	Prev      *Image
	Killed    []ChunkRef
	Touched   []ChunkRef

	LibraryID string
	ID        string
	Title     string
	Metadata  []byte // a JSON object, nil where empty
	Added     []Chunk
}

// The layout of a document body. Numbers are unsigned varints, a string or a
// byte string is its length and its bytes, times are µs since 1970 UTC.
//
//	u8      version
//	        -- the resolution, written by the sequencer --
//	uvarint time
//	uvarint created_at
//	uvarint num_chunks after the change
//	u8      1 if an image before follows, else 0
//	 uvarint seq, string title, bytes metadata
//	refs    killed
//	refs    touched
//	uvarint number of ranges of chunk numbers added
//	 uvarint first, uvarint count
//	        -- the content, written by the caller --
//	string  library id
//	string  document id
//	string  title
//	bytes   metadata
//	uvarint number of chunks added; for each
//	 string id, string text, bytes metadata
//	 uvarint number of vectors; for each: u8 space, uvarint generation, uvarint dimension
//
//	refs: uvarint n; for each: uvarint number, string id, bytes metadata
//
// An id that equals the element's place in its list in decimal is stored as the
// empty string. The vectors themselves stand in the record's Raw, in the order
// of their descriptions, 4 × dimension bytes each.

// AppendContent appends the part of a document body that does not depend on the
// order of commits, and appends the vectors to raw. It may run in any goroutine,
// before the change has a place in the log.
func (c *DocumentChange) AppendContent(body, raw []byte) (newBody, newRaw []byte) {
	body = appendString(body, c.LibraryID)
	body = appendString(body, c.ID)
	body = appendString(body, c.Title)
	body = appendBytes(body, c.Metadata)
	body = binary.AppendUvarint(body, uint64(len(c.Added)))
	for i := range c.Added {
		ch := &c.Added[i]
		body = appendID(body, ch.ID, i)
		body = appendString(body, ch.Text)
		body = appendBytes(body, ch.Metadata)
		body = binary.AppendUvarint(body, uint64(len(ch.Vectors)))
		for _, v := range ch.Vectors {
			body = append(body, v.Space)
			body = binary.AppendUvarint(body, uint64(v.Generation))
			body = binary.AppendUvarint(body, uint64(v.Dim()))
			raw = append(raw, v.Raw...)
		}
	}
	return body, raw
}

// AppendResolution appends the part of a document body that the sequencer
// decides. The content follows it.
func (c *DocumentChange) AppendResolution(body []byte) []byte {
	body = append(body, documentVersion)
	body = binary.AppendUvarint(body, uint64(c.Time))
	body = binary.AppendUvarint(body, uint64(c.CreatedAt))
	body = binary.AppendUvarint(body, uint64(c.NumChunks))
	if c.Prev == nil {
		body = append(body, 0)
	} else {
		body = append(body, 1)
		body = binary.AppendUvarint(body, c.Prev.Seq)
		body = appendString(body, c.Prev.Title)
		body = appendBytes(body, c.Prev.Metadata)
	}
	body = appendRefs(body, c.Killed)
	body = appendRefs(body, c.Touched)
	return appendRanges(body, c.Added)
}

func appendRanges(body []byte, added []Chunk) []byte {
	ranges := 0
	for i := range added {
		if i == 0 || added[i].Num != added[i-1].Num+1 {
			ranges++
		}
	}
	body = binary.AppendUvarint(body, uint64(ranges))
	for i := 0; i < len(added); {
		j := i + 1
		for j < len(added) && added[j].Num == added[j-1].Num+1 {
			j++
		}
		body = binary.AppendUvarint(body, added[i].Num)
		body = binary.AppendUvarint(body, uint64(j-i))
		i = j
	}
	return body
}

func appendRefs(body []byte, refs []ChunkRef) []byte {
	body = binary.AppendUvarint(body, uint64(len(refs)))
	for i, r := range refs {
		body = binary.AppendUvarint(body, r.Num)
		body = appendID(body, r.ID, i)
		body = appendBytes(body, r.Metadata)
	}
	return body
}

func appendID(body []byte, id string, place int) []byte {
	if isDecimal(id, place) {
		return append(body, 0)
	}
	return appendString(body, id)
}

func isDecimal(id string, n int) bool {
	if n < 10 {
		return len(id) == 1 && id[0] == byte('0'+n)
	}
	return id == strconv.Itoa(n)
}

var smallInts = func() (t [64]string) {
	for i := range t {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

// DefaultChunkID returns the id of the chunk at place i that was given none.
func DefaultChunkID(i int) string {
	if i < len(smallInts) {
		return smallInts[i]
	}
	return strconv.Itoa(i)
}

// Encode returns the record's body and raw part.
func (c *DocumentChange) Encode() (body, raw []byte) {
	return c.AppendContent(c.AppendResolution(nil), nil)
}

// DecodeDocument decodes the body of a record of a kind Document* or Chunk*.
// The result aliases the record's bytes.
func DecodeDocument(r *Record) (*DocumentChange, error) {
	c := new(DocumentChange)
	if err := c.Decode(r); err != nil {
		return nil, err
	}
	return c, nil
}

// Decode is DecodeDocument into c, whose slices are used again.
func (c *DocumentChange) Decode(r *Record) error {
	d := decoder{b: r.Body}
	d.version("a document change", documentVersion)
	c.Time = int64(d.uvarint())
	c.CreatedAt = int64(d.uvarint())
	c.NumChunks = int(d.uvarint() & math.MaxInt32)
	c.Prev = nil
	switch d.byte() {
	case 0:
	case 1:
		c.Prev = &Image{Seq: d.uvarint(), Title: d.string(), Metadata: nonEmpty(d.bytes())}
	default:
		d.fail("bad image mark")
	}
	c.Killed = d.refs(c.Killed[:0])
	c.Touched = d.refs(c.Touched[:0])
	type span struct{ first, count uint64 }
	var few [4]span
	ranges := few[:0]
	total := uint64(0)
	for range d.count(2) {
		s := span{d.uvarint(), d.uvarint()}
		if s.count > uint64(len(r.Body)) || total+s.count > uint64(len(r.Body)) {
			d.fail("more chunk numbers than bytes")
			break
		}
		total += s.count
		ranges = append(ranges, s)
	}
	c.LibraryID = d.string()
	c.ID = d.string()
	c.Title = d.string()
	c.Metadata = nonEmpty(d.bytes())
	n := d.count(4)
	if d.err == nil && uint64(n) != total {
		d.fail("chunk numbers and chunks disagree")
	}
	if d.err != nil {
		return d.err
	}
	c.decodeChunks(&d, n, r.Raw)
	if err := d.end(); err != nil {
		return err
	}
	i := 0
	for _, s := range ranges {
		for k := uint64(0); k < s.count; k++ {
			c.Added[i].Num = s.first + k
			i++
		}
	}
	return nil
}

func (c *DocumentChange) decodeChunks(d *decoder, n int, raw []byte) {
	if cap(c.Added) < n {
		c.Added = make([]Chunk, n)
	}
	c.Added = c.Added[:n]
	vectors := make([]Vector, 0, n)
	for i := range c.Added {
		ch := &c.Added[i]
		*ch = Chunk{ID: d.string(), Text: d.string(), Metadata: nonEmpty(d.bytes())}
		if ch.ID == "" {
			ch.ID = DefaultChunkID(i)
		}
		first := len(vectors)
		for range d.count(3) {
			v := Vector{Space: d.byte(), Generation: uint32(d.uvarint())}
			dim := d.uvarint()
			if d.err == nil && (dim > uint64(len(raw))/4 || dim*4 > uint64(len(raw))) {
				d.fail("vector longer than the vector part")
			}
			if d.err != nil {
				return
			}
			v.Raw = raw[: dim*4 : dim*4]
			raw = raw[dim*4:]
			vectors = append(vectors, v)
		}
		ch.Vectors = vectors[first:len(vectors):len(vectors)]
	}
	if d.err == nil && len(raw) != 0 {
		d.err = fmt.Errorf("%w: %d bytes of vectors that no chunk describes", ErrMalformed, len(raw))
	}
}

func (d *decoder) refs(dst []ChunkRef) []ChunkRef {
	n := d.count(3)
	if n == 0 {
		return nil
	}
	if cap(dst) < n {
		dst = make([]ChunkRef, 0, n)
	}
	for i := range n {
		r := ChunkRef{Num: d.uvarint(), ID: d.string(), Metadata: nonEmpty(d.bytes())}
		if r.ID == "" {
			r.ID = DefaultChunkID(i)
		}
		dst = append(dst, r)
	}
	return dst
}

func nonEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
