package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"

	"github.com/arrwdb/arrwdb/change"
)

// The frame, the unit of group commit, of compression and of atomicity. All
// integers are little-endian; a frame begins at a multiple of 8 bytes.
//
//	 0 u32 magic            4 u32 header CRC-32C, over segment id and bytes 8..48
//	 8 u64 first seq       16 u64 durable offset: bytes of this segment known durable when the frame was built
//	24 u32 stored bytes    28 u16 records   30 u8 flags   31 u8 version
//	32 u32 chain before    36 u32 payload CRC-32C   40 u32 raw bytes   44 u32 commit time: ms after the base
//	48 payload, zero padding to 8
//
// The payload of a commit:
//
//	u32 bytes of the vector part | records part, maybe compressed | vector part
//
// A record in the records part (raw bytes is its length before compression):
//
//	u8 kind, u8 flags, uvarint library, uvarint body bytes, uvarint vector bytes, body
const (
	frameMagic      = 0x46575241 // "ARWF"
	frameHeaderSize = 48
	frameAlign      = 8

	// frameVersion is the newest version of a frame.
	//
	//	1: the first
	frameVersion = 1
)

// Flags of a frame. The low three bits are the codec of the records part.
const (
	codecMask  = 0x07
	codecNone  = 0
	codecS2    = 1
	flagMark   = 0x10 // empty: commits to what is durable before it
	flagSeal   = 0x20 // the segment's last frame: its sparse index
	flagNoSeq  = 0x40 // control records only
	knownFlags = codecMask | flagMark | flagSeal | flagNoSeq
)

// Limits of a frame, checked before anything is allocated or written.
const (
	MaxRecords    = 1<<16 - 1
	MaxFrameBytes = 64 << 20
	// compressAbove is the size of a records part from which compression is
	// tried; below it the saving is less than a device block.
	compressAbove = 8 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type frameHeader struct {
	firstSeq   uint64
	durable    uint64
	stored     uint32
	records    uint16
	flags      uint8
	version    uint8
	chain      uint32
	payloadCRC uint32
	raw        uint32
	ms         uint32
}

func (h *frameHeader) encode(b []byte, segment uint64) {
	_ = b[frameHeaderSize-1]
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint64(b[8:], h.firstSeq)
	binary.LittleEndian.PutUint64(b[16:], h.durable)
	binary.LittleEndian.PutUint32(b[24:], h.stored)
	binary.LittleEndian.PutUint16(b[28:], h.records)
	b[30], b[31] = h.flags, h.version
	binary.LittleEndian.PutUint32(b[32:], h.chain)
	binary.LittleEndian.PutUint32(b[36:], h.payloadCRC)
	binary.LittleEndian.PutUint32(b[40:], h.raw)
	binary.LittleEndian.PutUint32(b[44:], h.ms)
	binary.LittleEndian.PutUint32(b[4:], headerCRC(b, segment))
}

// headerCRC is keyed by the segment's id, so that the bytes of another segment
// are never a valid frame of this one.
func headerCRC(b []byte, segment uint64) uint32 {
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], segment)
	return crc32.Update(crc32.Update(0, castagnoli, id[:]), castagnoli, b[8:frameHeaderSize])
}

// decode reads a header and reports whether it is one of this segment.
func (h *frameHeader) decode(b []byte, segment uint64) bool {
	if len(b) < frameHeaderSize || binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint32(b[4:]) != headerCRC(b, segment) {
		return false
	}
	*h = frameHeader{
		firstSeq: binary.LittleEndian.Uint64(b[8:]), durable: binary.LittleEndian.Uint64(b[16:]),
		stored: binary.LittleEndian.Uint32(b[24:]), records: binary.LittleEndian.Uint16(b[28:]), flags: b[30], version: b[31],
		chain: binary.LittleEndian.Uint32(b[32:]), payloadCRC: binary.LittleEndian.Uint32(b[36:]),
		raw: binary.LittleEndian.Uint32(b[40:]), ms: binary.LittleEndian.Uint32(b[44:]),
	}
	return true
}

// isCommit reports whether the frame holds records: only such frames are
// numbered and move the chain.
func (h *frameHeader) isCommit() bool { return h.flags&(flagMark|flagSeal) == 0 }

// size is what the frame takes in the file, padding included.
func (h *frameHeader) size() int64 { return frameHeaderSize + alignUp(int64(h.stored)) }

func alignUp(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// after returns the chain after the frame. The segment id, the durable offset
// and the time are not in it: a frame that recovery moves to another segment
// keeps its chain, and with it every position that clients hold.
func (h *frameHeader) after() uint32 {
	if !h.isCommit() {
		return h.chain
	}
	var b [24]byte
	binary.LittleEndian.PutUint32(b[0:], h.chain)
	binary.LittleEndian.PutUint64(b[4:], h.firstSeq)
	binary.LittleEndian.PutUint32(b[12:], h.stored)
	binary.LittleEndian.PutUint32(b[16:], h.payloadCRC)
	binary.LittleEndian.PutUint16(b[20:], h.records)
	b[22] = h.flags
	b[23] = h.version
	return crc32.Checksum(b[:], castagnoli)
}

// payloadSize bounds the payload of records before it is built.
func payloadSize(recs []change.Record) (size int64) {
	for i := range recs {
		size += int64(len(recs[i].Body)) + int64(len(recs[i].Raw)) + 2 + 3*binary.MaxVarintLen64
	}
	return size + 4
}

// appendFrame appends a commit frame without its place in the segment: the
// header is completed by seal. scratch is used for compression.
func appendFrame(b []byte, recs []change.Record, compress bool, scratch []byte) (out, used []byte, h frameHeader) {
	start := len(b)
	b = append(b, make([]byte, frameHeaderSize+4)...)
	body := len(b)
	vectors := 0
	noSeq := uint8(flagNoSeq)
	for i := range recs {
		r := &recs[i]
		if !r.Kind.IsControl() {
			noSeq = 0
		}
		vectors += len(r.Raw)
		b = append(b, byte(r.Kind), byte(r.Flags))
		b = binary.AppendUvarint(b, uint64(r.Library))
		b = binary.AppendUvarint(b, uint64(len(r.Body)))
		b = binary.AppendUvarint(b, uint64(len(r.Raw)))
		b = append(b, r.Body...)
	}
	h = frameHeader{records: uint16(len(recs)), flags: noSeq, version: frameVersion, raw: uint32(len(b) - body)}
	if n := len(b) - body; compress && n > compressAbove {
		scratch = s2.Encode(scratch[:cap(scratch)], b[body:])
		if len(scratch) <= n-n/8 {
			b = append(b[:body], scratch...)
			h.flags |= codecS2
		}
	}
	for i := range recs {
		b = append(b, recs[i].Raw...)
	}
	payload := b[start+frameHeaderSize:]
	binary.LittleEndian.PutUint32(payload, uint32(vectors))
	h.stored = uint32(len(payload))
	h.payloadCRC = crc32.Checksum(payload, castagnoli)
	for len(b)%frameAlign != start%frameAlign {
		b = append(b, 0)
	}
	return b, scratch, h
}

// checkHeader says what is wrong with a header whose CRC is right, given what
// the frames before it lead one to expect.
func checkHeader(h *frameHeader, chain uint32, nextSeq uint64) error {
	switch {
	case h.version > frameVersion:
		return &NewerFormatError{What: "a frame of the log", Found: int(h.version), Read: frameVersion}
	case h.version == 0 || h.flags&^knownFlags != 0 || h.flags&codecMask > codecS2:
		return fmt.Errorf("frame of version %d with flags %#02x", h.version, h.flags)
	case h.chain != chain:
		return fmt.Errorf("chain %08x, expected %08x: it does not follow the frame before it", h.chain, chain)
	case h.firstSeq != nextSeq:
		return fmt.Errorf("first seq %d, expected %d", h.firstSeq, nextSeq)
	case int64(h.stored) > MaxFrameBytes || int64(h.raw) > MaxFrameBytes:
		return fmt.Errorf("%d bytes stored, %d raw: over the limit of %d", h.stored, h.raw, MaxFrameBytes)
	}
	return nil
}

// decodeRecords takes a commit's payload apart. The records alias payload, or
// memory of their own. Changes get their seq from firstSeq on.
func decodeRecords(h *frameHeader, payload []byte) ([]change.Record, error) {
	if len(payload) < 4 {
		return nil, fmt.Errorf("a payload of %d bytes", len(payload))
	}
	vectors := int64(binary.LittleEndian.Uint32(payload))
	if vectors > int64(len(payload)-4) {
		return nil, fmt.Errorf("a vector part of %d bytes in a payload of %d", vectors, len(payload))
	}
	part := payload[4 : int64(len(payload))-vectors]
	raw := payload[int64(len(payload))-vectors:]
	if h.flags&codecMask == codecS2 {
		n, err := s2.DecodedLen(part)
		if err != nil || n != int(h.raw) {
			return nil, fmt.Errorf("compressed records of %d bytes, expected %d (%v)", n, h.raw, err)
		}
		if part, err = s2.Decode(make([]byte, n), part); err != nil {
			return nil, err
		}
	}
	if len(part) != int(h.raw) {
		return nil, fmt.Errorf("a records part of %d bytes, expected %d", len(part), h.raw)
	}
	if int(h.records)*5 > len(part) {
		return nil, fmt.Errorf("%d records in %d bytes", h.records, len(part))
	}
	recs := make([]change.Record, h.records)
	seq := h.firstSeq
	for i := range recs {
		r := &recs[i]
		if len(part) < 5 {
			return nil, fmt.Errorf("record %d of %d is cut off", i, len(recs))
		}
		r.Kind, r.Flags = change.Kind(part[0]), change.Flags(part[1])
		part = part[2:]
		var n [3]uint64
		for j := range n {
			v, used := binary.Uvarint(part)
			if used <= 0 {
				return nil, fmt.Errorf("record %d of %d: bad length", i, len(recs))
			}
			n[j], part = v, part[used:]
		}
		if n[0] > 1<<32-1 || n[1] > uint64(len(part)) || n[2] > uint64(len(raw)) {
			return nil, fmt.Errorf("record %d of %d is longer than its frame", i, len(recs))
		}
		r.Library = uint32(n[0])
		if n[1] > 0 {
			r.Body = part[:n[1]:n[1]]
		}
		if n[2] > 0 {
			r.Raw = raw[:n[2]:n[2]]
		}
		part, raw = part[n[1]:], raw[n[2]:]
		if !r.Kind.IsControl() {
			r.Seq = seq
			seq++
		}
	}
	if len(part) != 0 || len(raw) != 0 {
		return nil, fmt.Errorf("%d bytes after the last record", len(part)+len(raw))
	}
	if control := seq == h.firstSeq; control != (h.flags&flagNoSeq != 0) {
		return nil, fmt.Errorf("the mark of a frame of control records is wrong")
	}
	return recs, nil
}
