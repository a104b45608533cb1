package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// A scan walks the frames of one segment whose bytes are all in memory.
type scan struct {
	seg  *segment
	data []byte

	offset  int64 // of the next frame
	commit  uint64
	seq     uint64 // next seq
	chain   uint32
	lastMS  uint32
	durable int64 // highest durable offset seen; the header is durable from the first
}

func newScan(seg *segment, data []byte) *scan {
	return &scan{seg: seg, data: data, offset: segmentHeaderSize, commit: seg.firstCommit, seq: seg.firstSeq, chain: seg.chain, durable: segmentHeaderSize}
}

// A scanned is one frame that a scan has met.
type scanned struct {
	frameHeader
	offset  int64
	commit  uint64 // of a commit frame
	lastSeq uint64
	records []change.Record
	payload []byte // as stored
}

var errNoFrame = errors.New("no valid frame header")

// next returns the next frame. An error says what is wrong at s.offset; it wraps
// errNoFrame where there is no header with a right CRC, and io.EOF at the end
// of the data.
func (s *scan) next() (*scanned, error) {
	if s.offset >= int64(len(s.data)) {
		return nil, io.EOF
	}
	f := &scanned{offset: s.offset}
	if !f.decode(s.data[s.offset:], s.seg.id) {
		return nil, errNoFrame
	}
	if err := checkHeader(&f.frameHeader, s.chain, s.seq); err != nil {
		return nil, err
	}
	if f.ms < s.lastMS {
		return nil, fmt.Errorf("commit time %d ms is before that of the frame before, %d ms", f.ms, s.lastMS)
	}
	if int64(f.durable) > s.offset {
		return nil, fmt.Errorf("durable offset %d lies behind the frame", f.durable)
	}
	from := s.offset + frameHeaderSize
	if from+int64(f.stored) > int64(len(s.data)) {
		return nil, fmt.Errorf("a payload of %d bytes goes past the end of the file, %d", f.stored, len(s.data))
	}
	f.payload = s.data[from : from+int64(f.stored)]
	if got := crc32.Checksum(f.payload, castagnoli); got != f.payloadCRC {
		return nil, fmt.Errorf("payload CRC %08x, its bytes give %08x", f.payloadCRC, got)
	}
	for i, c := range s.data[from+int64(f.stored) : min(s.offset+f.size(), int64(len(s.data)))] {
		if c != 0 {
			return nil, fmt.Errorf("padding byte %d is %#02x, expected 0", i, c)
		}
	}
	if f.isCommit() {
		recs, err := decodeRecords(&f.frameHeader, f.payload)
		if err != nil {
			return nil, err
		}
		f.records, f.commit = recs, s.commit
		f.lastSeq = s.seq - 1
		for i := range recs {
			if recs[i].Seq != 0 {
				f.lastSeq = recs[i].Seq
			}
		}
	} else if f.flags&flagMark != 0 && f.stored != 0 {
		return nil, fmt.Errorf("a mark with %d bytes of payload", f.stored)
	}
	s.advance(f)
	return f, nil
}

func (s *scan) advance(f *scanned) {
	s.durable = max(s.durable, int64(f.durable))
	s.lastMS = f.ms
	s.offset += f.size()
	if !f.isCommit() {
		return
	}
	s.chain = f.after()
	s.commit++
	if f.flags&flagNoSeq == 0 {
		s.seq = f.lastSeq + 1
	}
}

// apply moves the segment's ends by a commit frame.
func (s *segment) apply(f *scanned) {
	if !f.isCommit() {
		return
	}
	s.note(&f.frameHeader, f.commit, f.offset)
	s.lastCommit, s.endChain = f.commit, f.after()
	if f.flags&flagNoSeq == 0 {
		s.lastSeq, s.seqChain, s.hasSeq = f.lastSeq, f.after(), true
	}
}

// laterFrame looks behind from for a valid frame of the segment that commits to
// bytes past upTo, and returns its offset and seq, or -1.
func laterFrame(data []byte, id uint64, from, upTo int64) (offset int64, seq uint64) {
	var h frameHeader
	for o := alignUp(from + 1); o+frameHeaderSize <= int64(len(data)); o += frameAlign {
		if binary.LittleEndian.Uint32(data[o:]) == frameMagic && h.decode(data[o:], id) && int64(h.durable) > upTo {
			return o, h.firstSeq
		}
	}
	return -1, 0
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func readAll(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, st.Size())
	_, err = io.ReadFull(f, b)
	return b, errors.Join(err, f.Close())
}
