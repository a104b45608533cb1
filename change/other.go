package change

import "encoding/binary"

// Versions of the other bodies; every history begins with 1: the first.
const (
	libraryVersion     = 1
	sourceVersion      = 1
	keyVersion         = 1
	idempotencyVersion = 1
)

// A LibraryChange is the body of the kinds Library*.
//
//	u8 version, uvarint time, uvarint created_at, string library id,
//	bytes settings, uvarint seq before, bytes settings before, uvarint next chunk number,
//	uvarint documents killed, uvarint chunks killed
type LibraryChange struct {
	Time      int64
	CreatedAt int64
	ID        string
	// Settings is the library's JSON after the change (of a deleted one: the
	// last). Its form is the API's, without stats.
	Settings     []byte
	PrevSeq      uint64 // 0 when created
	PrevSettings []byte
	// NextChunk bounds the chunk numbers that a deletion kills: all below it.
	NextChunk uint64
	Documents uint64 // killed by a deletion
	Chunks    uint64 // killed by a deletion
}

// Encode returns the record's body.
func (c *LibraryChange) Encode() []byte {
	b := []byte{libraryVersion}
	b = binary.AppendUvarint(b, uint64(c.Time))
	b = binary.AppendUvarint(b, uint64(c.CreatedAt))
	b = appendString(b, c.ID)
	b = appendBytes(b, c.Settings)
	b = binary.AppendUvarint(b, c.PrevSeq)
	b = appendBytes(b, c.PrevSettings)
	b = binary.AppendUvarint(b, c.NextChunk)
	b = binary.AppendUvarint(b, c.Documents)
	return binary.AppendUvarint(b, c.Chunks)
}

// DecodeLibrary decodes the body of a record of a kind Library*.
func DecodeLibrary(r *Record) (*LibraryChange, error) {
	d := decoder{b: r.Body}
	d.version("a library change", libraryVersion)
	c := &LibraryChange{
		Time: int64(d.uvarint()), CreatedAt: int64(d.uvarint()), ID: d.string(), Settings: nonEmpty(d.bytes()),
		PrevSeq: d.uvarint(), PrevSettings: nonEmpty(d.bytes()), NextChunk: d.uvarint(),
		Documents: d.uvarint(), Chunks: d.uvarint(),
	}
	return c, d.end()
}

// A Source is the body of ControlSource and ControlSourceDeleted: how many
// physical lines of an upload source have been taken.
//
//	u8 version, uvarint time, string library id, string name, uvarint lines, uvarint seq
type Source struct {
	Time      int64
	LibraryID string
	Name      string
	Lines     uint64
	Seq       uint64 // the last change that the source's lines made
}

// Encode returns the record's body.
func (c *Source) Encode() []byte {
	b := []byte{sourceVersion}
	b = binary.AppendUvarint(b, uint64(c.Time))
	b = appendString(b, c.LibraryID)
	b = appendString(b, c.Name)
	b = binary.AppendUvarint(b, c.Lines)
	return binary.AppendUvarint(b, c.Seq)
}

// DecodeSource decodes the body of a ControlSource or ControlSourceDeleted.
func DecodeSource(r *Record) (*Source, error) {
	d := decoder{b: r.Body}
	d.version("a source record", sourceVersion)
	c := &Source{Time: int64(d.uvarint()), LibraryID: d.string(), Name: d.string(), Lines: d.uvarint(), Seq: d.uvarint()}
	return c, d.end()
}

// A Key is the body of ControlKey and ControlKeyRevoked.
//
//	u8 version, uvarint time, string id, bytes settings (JSON; empty when revoked)
type Key struct {
	Time     int64
	ID       string
	Settings []byte
}

// Encode returns the record's body.
func (c *Key) Encode() []byte {
	b := []byte{keyVersion}
	b = binary.AppendUvarint(b, uint64(c.Time))
	b = appendString(b, c.ID)
	return appendBytes(b, c.Settings)
}

// DecodeKey decodes the body of a ControlKey or ControlKeyRevoked.
func DecodeKey(r *Record) (*Key, error) {
	d := decoder{b: r.Body}
	d.version("a key record", keyVersion)
	c := &Key{Time: int64(d.uvarint()), ID: d.string(), Settings: nonEmpty(d.bytes())}
	return c, d.end()
}

// An Idempotency is the body of ControlIdempotency: the answer that a request
// with an Idempotency-Key got.
//
//	u8 version, uvarint time, bytes key, bytes fingerprint, uvarint status, uvarint seq, bytes answer
type Idempotency struct {
	Time        int64
	Key         []byte // hash of the caller and the header's value
	Fingerprint []byte // hash of method, path and body
	Status      int
	Seq         uint64 // last change of the request's group
	Answer      []byte // the answer's body
}

// Encode returns the record's body.
func (c *Idempotency) Encode() []byte {
	b := []byte{idempotencyVersion}
	b = binary.AppendUvarint(b, uint64(c.Time))
	b = appendBytes(b, c.Key)
	b = appendBytes(b, c.Fingerprint)
	b = binary.AppendUvarint(b, uint64(c.Status))
	b = binary.AppendUvarint(b, c.Seq)
	return appendBytes(b, c.Answer)
}

// DecodeIdempotency decodes the body of a ControlIdempotency.
func DecodeIdempotency(r *Record) (*Idempotency, error) {
	d := decoder{b: r.Body}
	d.version("an idempotency record", idempotencyVersion)
	c := &Idempotency{Time: int64(d.uvarint()), Key: d.bytes(), Fingerprint: d.bytes(), Status: int(d.uvarint() & 0xffff), Seq: d.uvarint(), Answer: d.bytes()}
	return c, d.end()
}
