package keyword

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A section:
//
//	header     64 bytes
//	dict index 16 bytes a block of 16 terms: place in dict u64, place in postings u64
//	places     5 bytes a slot and one more: where its forward list begins in forward
//	lengths    4 bytes a slot
//	dict       terms in byte order, prefixes left out within a block
//	postings   a list a term, in the order of the terms
//	forward    a list of tokens a slot
//	zeros      8 bytes, so that 8 bytes can be loaded wherever a packed value begins
//	sum        CRC-32C of everything before, u32
//
// The header:
//
//	 0 magic "arrwKWS\n"
//	 8 version u32
//	12 slots u32
//	16 terms u32
//	20 docs u32, slots whose length is not 0
//	24 sum of the lengths u64
//	32 bytes of dict u64
//	40 bytes of postings u64
//	48 bytes of forward u64
//	56 zero u64
//
// Numbers are little endian. DESIGN.md has the parts.
const (
	magic        = "arrwKWS\n"
	headerLen    = 64
	dictBlock    = 16 // terms
	dictEntryLen = 16
	placeLen     = 5
	padLen       = 8
	sumLen       = 4
)

// Versions of the section. History:
//
//	1 the first
const (
	version    = 1
	oldestRead = 1
)

// Limits.
const (
	maxTermBytes  = 255 // analyzers cut terms before
	maxSection    = 1 << 40
	maxPlace      = 1<<40 - 1
	maxTerms      = 1<<31 - 2 // a token holds a term's number, one more, and a bit
	maxVarintLen  = 10
	saturated     = 1<<16 - 1 // of a block's largest tf: any; of its smallest length: at least
	blockLen      = 128
	blockEntryLen = 16
	// boundsFrom is the list length from which a short list states its largest tf
	// and smallest length; it is cheaper to look at all of a shorter one.
	boundsFrom = 8
)

// ErrCorrupt is what a section's fault is, where it is not a newer format.
var ErrCorrupt = errors.New("corrupt keyword section")

// ErrNewer says that a newer program has written the section.
var ErrNewer = errors.New("newer format of a keyword section")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A header is the first bytes of a section in numbers.
type header struct {
	slots, terms, docs      uint32
	total                   uint64
	dict, postings, forward uint64
}

func (h *header) append(b []byte) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, v := range []uint32{h.slots, h.terms, h.docs} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range []uint64{h.total, h.dict, h.postings, h.forward, 0} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func (h *header) parse(b []byte) error {
	if len(b) < headerLen+padLen+sumLen {
		return corrupt("%d bytes, fewer than an empty section has", len(b))
	}
	if string(b[:8]) != magic {
		return corrupt("begins with %q", b[:8])
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[8:]); v > version {
		return fmt.Errorf("%w: version %d, this program reads %d to %d", ErrNewer, v, oldestRead, version)
	} else if v < oldestRead {
		return corrupt("version %d", v)
	}
	h.slots, h.terms, h.docs = le.Uint32(b[12:]), le.Uint32(b[16:]), le.Uint32(b[20:])
	h.total, h.dict, h.postings, h.forward = le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])
	if z := le.Uint64(b[56:]); z != 0 {
		return corrupt("reserved bytes are %#x", z)
	}
	if h.dict > maxSection || h.postings > maxSection || h.forward > maxPlace {
		return corrupt("parts of %d, %d and %d bytes", h.dict, h.postings, h.forward)
	}
	if h.terms > maxTerms || h.docs > h.slots {
		return corrupt("%d terms, %d of %d slots with terms", h.terms, h.docs, h.slots)
	}
	if want := h.size(); want != uint64(len(b)) {
		return corrupt("%d bytes, the header says %d", len(b), want)
	}
	return nil
}

// blocks returns how many blocks the dictionary has.
func (h *header) blocks() uint64 { return (uint64(h.terms) + dictBlock - 1) / dictBlock }

// size returns the length of the whole section.
func (h *header) size() uint64 {
	return headerLen + h.blocks()*dictEntryLen + placeLen*(uint64(h.slots)+1) + 4*uint64(h.slots) +
		h.dict + h.postings + h.forward + padLen + sumLen
}

// uvarint reads a number at the front of b; n is 0 where there is none.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n = binary.Uvarint(b)
	return v, max(n, 0)
}

func place(b []byte, i int) uint64 {
	p := b[i*placeLen : i*placeLen+placeLen]
	return uint64(binary.LittleEndian.Uint32(p)) | uint64(p[4])<<32
}

func appendPlace(b []byte, v uint64) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32))
}
