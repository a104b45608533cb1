package wal

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/arrwdb/arrwdb/change"
)

// The segment header. A segment is named <first seq, 20 digits>-<id, 16 hex>.seg.
//
//	 0 magic "arrwlog\x00"   8 u16 format version  10 u16 flags  12 u32 zero
//	16 log id, 16 bytes     32 u64 segment id      40 u64 first seq
//	48 u64 epoch            56 i64 base time, µs since 1970 UTC
//	64 u64 first commit     72 u32 chain at the end of the segment before
//	76 i64 bytes allocated  84 u32 CRC-32C over bytes 0..84  88 zeros
const (
	segmentMagic      = "arrwlog\x00"
	segmentHeaderSize = 96

	// FormatVersion is the newest format of a segment.
	//
	//	1: the first
	FormatVersion = 1

	// flagRecovered says that the segment begins with frames that recovery took
	// over from the segment before, which ends where this one begins.
	flagRecovered = 1 << 0

	segmentSuffix = ".seg"
)

type segmentHeader struct {
	version     uint16
	flags       uint16
	logID       [16]byte
	id          uint64
	firstSeq    uint64
	epoch       change.Epoch
	baseTime    int64
	firstCommit uint64
	chain       uint32
	allocated   int64 // the file's length until it is sealed
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint16(b[8:], h.version)
	binary.LittleEndian.PutUint16(b[10:], h.flags)
	copy(b[16:], h.logID[:])
	binary.LittleEndian.PutUint64(b[32:], h.id)
	binary.LittleEndian.PutUint64(b[40:], h.firstSeq)
	binary.LittleEndian.PutUint64(b[48:], uint64(h.epoch))
	binary.LittleEndian.PutUint64(b[56:], uint64(h.baseTime))
	binary.LittleEndian.PutUint64(b[64:], h.firstCommit)
	binary.LittleEndian.PutUint32(b[72:], h.chain)
	binary.LittleEndian.PutUint64(b[76:], uint64(h.allocated))
	binary.LittleEndian.PutUint32(b[84:], crcOf(b[:84]))
	return b
}

func (h *segmentHeader) decode(b []byte) error {
	if len(b) < segmentHeaderSize {
		return fmt.Errorf("the file has %d bytes, a segment header takes %d", len(b), segmentHeaderSize)
	}
	if string(b[:8]) != segmentMagic {
		return fmt.Errorf("it begins with %q, not with the mark of a log segment", b[:8])
	}
	if got, want := binary.LittleEndian.Uint32(b[84:]), crcOf(b[:84]); got != want {
		return fmt.Errorf("the segment header's CRC is %08x, its bytes give %08x", got, want)
	}
	*h = segmentHeader{version: binary.LittleEndian.Uint16(b[8:]), flags: binary.LittleEndian.Uint16(b[10:]),
		id: binary.LittleEndian.Uint64(b[32:]), firstSeq: binary.LittleEndian.Uint64(b[40:]), epoch: change.Epoch(binary.LittleEndian.Uint64(b[48:])),
		baseTime: int64(binary.LittleEndian.Uint64(b[56:])), firstCommit: binary.LittleEndian.Uint64(b[64:]), chain: binary.LittleEndian.Uint32(b[72:]), allocated: int64(binary.LittleEndian.Uint64(b[76:]))}
	copy(h.logID[:], b[16:32])
	if h.version > FormatVersion {
		return &NewerFormatError{What: "a segment of the log", Found: int(h.version), Read: FormatVersion}
	}
	for i, c := range b[88:segmentHeaderSize] {
		if c != 0 {
			return fmt.Errorf("byte %d of the segment header is %#02x, expected 0", 88+i, c)
		}
	}
	if h.version == 0 || h.flags&^flagRecovered != 0 || binary.LittleEndian.Uint32(b[12:]) != 0 {
		return fmt.Errorf("segment header of version %d with flags %#04x", h.version, h.flags)
	}
	return nil
}

func segmentName(firstSeq, id uint64) string {
	return fmt.Sprintf("%020d-%016x%s", firstSeq, id, segmentSuffix)
}

func parseSegmentName(name string) (firstSeq, id uint64, ok bool) {
	base, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(base) != 37 || base[20] != '-' {
		return 0, 0, false
	}
	firstSeq, err := strconv.ParseUint(base[:20], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	id, err = strconv.ParseUint(base[21:], 16, 64)
	return firstSeq, id, err == nil
}

// An indexEntry of a segment's sparse index: a commit frame, and where it is.
type indexEntry struct {
	seq    uint64 // first seq of the frame
	commit uint64
	offset int64
	chain  uint32 // before the frame
}

// indexEvery is the distance in bytes between entries of the sparse index.
const indexEvery = 4 << 10

// A segment is what is known of one file of the log.
//
// Invariant: segments of a log follow each other without gaps in commits and
// seqs, and by the chain; all but the last are sealed.
type segment struct {
	segmentHeader
	name   string
	sealed bool
	// The rest is exact for a sealed segment; for the last one it moves with
	// each commit, under Log.mu.
	end        int64 // offset behind the last frame (of a sealed one: behind the seal)
	lastSeq    uint64
	lastCommit uint64
	endChain   uint32
	seqChain   uint32 // chain after the last frame with a change; valid if hasSeq
	hasSeq     bool
	index      []indexEntry
}

// note adds a commit frame to the sparse index where it is due.
func (s *segment) note(h *frameHeader, commit uint64, offset int64) {
	if n := len(s.index); n == 0 || offset-s.index[n-1].offset >= indexEvery {
		s.index = append(s.index, indexEntry{h.firstSeq, commit, offset, h.chain})
	}
}

// find returns the last entry of the index that stands at or before what is
// looked for, or the beginning of the segment.
func (s *segment) find(before func(e *indexEntry) bool) indexEntry {
	i := sort.Search(len(s.index), func(i int) bool { return !before(&s.index[i]) })
	if i == 0 {
		return indexEntry{s.firstSeq, s.firstCommit, segmentHeaderSize, s.chain}
	}
	return s.index[i-1]
}

// The payload of a SEAL:
//
//	u64 last seq, u64 last commit, u32 chain after the last frame with a change,
//	u8 1 if there is one, 3 zero bytes, u32 entries; for each:
//	u32 seq and u32 commit after the segment's first, u32 offset, u32 chain before;
//	then u64 the offset of this frame, so that it is found from the end
const sealFixed = 8 + 8 + 4 + 4 + 4

func (s *segment) sealPayload(offset int64) []byte {
	b := make([]byte, 0, sealFixed+16*len(s.index)+16)
	b = binary.LittleEndian.AppendUint64(b, s.lastSeq)
	b = binary.LittleEndian.AppendUint64(b, s.lastCommit)
	b = binary.LittleEndian.AppendUint32(b, s.seqChain)
	has := byte(0)
	if s.hasSeq {
		has = 1
	}
	b = append(b, has, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.index)))
	for _, e := range s.index {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.seq-s.firstSeq))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.commit-s.firstCommit))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.offset))
		b = binary.LittleEndian.AppendUint32(b, e.chain)
	}
	for (len(b)+8)%frameAlign != 0 {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(offset))
}

// loadSeal takes over what a SEAL says.
func (s *segment) loadSeal(h *frameHeader, payload []byte, offset int64) error {
	if len(payload) < sealFixed+8 {
		return fmt.Errorf("a seal of %d bytes", len(payload))
	}
	n := int64(binary.LittleEndian.Uint32(payload[24:]))
	if want := alignUp(sealFixed+16*n) + 8; int64(len(payload)) != want {
		return fmt.Errorf("a seal of %d bytes with %d entries, expected %d bytes", len(payload), n, want)
	}
	if at := binary.LittleEndian.Uint64(payload[len(payload)-8:]); int64(at) != offset {
		return fmt.Errorf("the seal says that it stands at %d, it stands at %d", at, offset)
	}
	s.lastSeq, s.lastCommit = binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:])
	s.seqChain, s.hasSeq = binary.LittleEndian.Uint32(payload[16:]), payload[20] == 1
	s.index = make([]indexEntry, n)
	for i := range s.index {
		e := payload[sealFixed+16*i:]
		s.index[i] = indexEntry{s.firstSeq + uint64(binary.LittleEndian.Uint32(e)), s.firstCommit + uint64(binary.LittleEndian.Uint32(e[4:])),
			int64(binary.LittleEndian.Uint32(e[8:])), binary.LittleEndian.Uint32(e[12:])}
		if s.index[i].offset < segmentHeaderSize || s.index[i].offset >= offset {
			return fmt.Errorf("entry %d of the seal points to %d, outside the segment", i, s.index[i].offset)
		}
	}
	if s.lastSeq+1 < s.firstSeq || s.lastCommit+1 < s.firstCommit || h.firstSeq != s.lastSeq+1 {
		return fmt.Errorf("the seal ends at seq %d, commit %d, the segment begins at seq %d, commit %d", s.lastSeq, s.lastCommit, s.firstSeq, s.firstCommit)
	}
	s.endChain, s.end, s.sealed = h.chain, offset+h.size(), true
	return nil
}
