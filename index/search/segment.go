package search

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"

	"github.com/arrwdb/arrwdb/index/attr"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// The bytes of a segment, little-endian. Each section begins at a multiple of 8.
//
//	 0 "arrwseg" 0x01      8 u32 slots, u32 zero
//	16 u64 length of: numbers, id offsets, ids, keywords, metadata
//	56 u32 CRC-32C of everything behind the header   60 u32 CRC-32C of 0..60
//	64 numbers     u64 a slot: the chunk's number, 1<<63 set where a slot before it
//	               has held the chunk
//	   id offsets  u32 a slot, and one for the end
//	   ids         document id, 0, chunk id, without anything between them
//	   keywords    see index/keyword
//	   metadata    see index/attr
const (
	segmentMagic  = "arrwseg\x01"
	segmentHeader = 64
	sections      = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func align(n int) int { return (n + 7) &^ 7 }

// appendSegment puts the sections together.
func encodeSegment(n uint32, parts [sections][]byte) []byte {
	size := segmentHeader
	for _, p := range parts {
		size += align(len(p))
	}
	b := make([]byte, segmentHeader, size)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], n)
	for i, p := range parts {
		binary.LittleEndian.PutUint64(b[16+8*i:], uint64(len(p)))
		b = append(b, p...)
		b = append(b, make([]byte, align(len(p))-len(p))...)
	}
	binary.LittleEndian.PutUint32(b[56:], crc32.Checksum(b[segmentHeader:], castagnoli))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// openSegment takes a segment apart, and trusts none of it. last is the highest
// number of a chunk before it.
func openSegment(b []byte, last uint64) (*segment, uint64, error) {
	bad := func(format string, args ...any) (*segment, uint64, error) {
		return nil, 0, fmt.Errorf("search segment: "+format, args...)
	}
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic {
		return bad("it does not begin as one")
	}
	if got, want := crc32.Checksum(b[:60], castagnoli), binary.LittleEndian.Uint32(b[60:]); got != want {
		return bad("the header has the CRC %08x, it says %08x", got, want)
	}
	if got, want := crc32.Checksum(b[segmentHeader:], castagnoli), binary.LittleEndian.Uint32(b[56:]); got != want {
		return bad("the content has the CRC %08x, the header says %08x", got, want)
	}
	s := &segment{n: binary.LittleEndian.Uint32(b[8:]), bytes: b}
	var parts [sections][]byte
	rest := b[segmentHeader:]
	for i := range parts {
		n := binary.LittleEndian.Uint64(b[16+8*i:])
		if n > uint64(len(rest)) || align(int(n)) > len(rest) {
			return bad("section %d has %d bytes, %d are left", i, n, len(rest))
		}
		parts[i], rest = rest[:n:n], rest[align(int(n)):]
	}
	s.nums, s.offs, s.blob = parts[0], parts[1], parts[2]
	if uint64(len(s.nums)) != 8*uint64(s.n) || uint64(len(s.offs)) != 4*uint64(s.n)+4 {
		return bad("%d slots, but %d bytes of numbers and %d of offsets", s.n, len(s.nums), len(s.offs))
	}
	at := uint32(0)
	for i := range s.n + 1 {
		o := binary.LittleEndian.Uint32(s.offs[4*i:])
		if o < at || uint64(o) > uint64(len(s.blob)) {
			return bad("the id of slot %d ends at %d of %d, after %d", i, o, len(s.blob), at)
		}
		at = o
	}
	last, ok := s.makeOrder(last)
	if !ok {
		return bad("the numbers of its chunks do not ascend")
	}
	var err error
	if s.words, err = keyword.Open(parts[3]); err != nil {
		return nil, 0, err
	}
	if s.attrs, err = attr.Open(parts[4]); err != nil {
		return nil, 0, err
	}
	if s.words.Len() != int(s.n) || s.attrs.Len() != int(s.n) {
		return bad("%d slots, but %d of keywords and %d of metadata", s.n, s.words.Len(), s.attrs.Len())
	}
	return s, last, nil
}

// buildSegment makes a segment of a tail that gets no more slots.
func buildSegment(t *tail) []byte {
	n := len(t.nums)
	nums := make([]byte, 0, 8*n)
	offs := make([]byte, 4, 4*n+4)
	var blob []byte
	attrs := attr.NewBuilder()
	for i := range n {
		nums = binary.LittleEndian.AppendUint64(nums, t.nums[i])
		blob = append(append(append(blob, t.ids[i].doc...), 0), t.ids[i].chunk...)
		offs = binary.LittleEndian.AppendUint32(offs, uint32(len(blob)))
		attrs.Add(t.meta[i].doc, t.meta[i].chunk)
	}
	return encodeSegment(uint32(n), [sections][]byte{nums, offs, blob, t.words.Build(), attrs.Build()})
}

// mergeSegments makes one segment of several that follow each other. A purged slot
// keeps its number, and nothing else.
func mergeSegments(segs []*segment, purged func(seg int, local uint32) bool) ([]byte, error) {
	var n uint32
	var nums, blob []byte
	offs := make([]byte, 4)
	words, attrs := make([]*keyword.Segment, len(segs)), make([]*attr.Segment, len(segs))
	for i, s := range segs {
		n += s.n
		nums = append(nums, s.nums...)
		for local := range s.n {
			if !purged(i, local) {
				from, to := binary.LittleEndian.Uint32(s.offs[4*local:]), binary.LittleEndian.Uint32(s.offs[4*local+4:])
				blob = append(blob, s.blob[from:to]...)
			}
			offs = binary.LittleEndian.AppendUint32(offs, uint32(len(blob)))
		}
		words[i], attrs[i] = s.words, s.attrs
	}
	w, err := keyword.Merge(words, purged)
	if err != nil {
		return nil, err
	}
	a, err := attr.Merge(attrs, purged)
	if err != nil {
		return nil, err
	}
	runtime.KeepAlive(segs) // and so the mappings that they are in
	return encodeSegment(n, [sections][]byte{nums, offs, blob, w, a}), nil
}
