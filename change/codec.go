package change

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// ErrMalformed is wrapped by every error of a decoder that met bytes which no
// encoder of this package writes.
var ErrMalformed = errors.New("malformed record body")

// A NewerVersionError says that a body was written by a newer version of the
// program. It is not damage.
type NewerVersionError struct {
	What          string
	Version, Read int
}

func (e *NewerVersionError) Error() string {
	return fmt.Sprintf("%s has format version %d, this program reads up to %d: a newer version of arrwDB wrote it", e.What, e.Version, e.Read)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// A decoder takes a body apart. After the first fault it returns zero values
// and keeps the error. Strings and slices that it returns alias the body.
type decoder struct {
	b   []byte
	off int
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s at byte %d of %d", ErrMalformed, what, d.off, len(d.b))
	}
}

func (d *decoder) byte() byte {
	if d.err != nil || d.off >= len(d.b) {
		d.fail("ends early")
		return 0
	}
	c := d.b[d.off]
	d.off++
	return c
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	if d.off < len(d.b) && d.b[d.off] < 0x80 {
		d.off++
		return uint64(d.b[d.off-1])
	}
	v, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.off += n
	return v
}

// count reads a number of elements of at least size bytes each, so that a
// hostile count never makes the caller allocate more than the body can hold.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.b)-d.off)/uint64(size) {
		d.fail("count larger than the rest of the body")
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.b)-d.off) {
		d.fail("length larger than the rest of the body")
		return nil
	}
	v := d.b[d.off : d.off+int(n) : d.off+int(n)]
	d.off += int(n)
	return v
}

func (d *decoder) string() string {
	v := d.bytes()
	if len(v) == 0 {
		return ""
	}
	return unsafe.String(&v[0], len(v))
}

func (d *decoder) version(what string, newest int) {
	v := int(d.byte())
	if d.err == nil && v > newest {
		d.err = &NewerVersionError{What: what, Version: v, Read: newest}
	}
	if d.err == nil && v == 0 {
		d.fail("version 0")
	}
}

func (d *decoder) end() error {
	if d.err == nil && d.off != len(d.b) {
		d.fail("bytes after the end")
	}
	return d.err
}
