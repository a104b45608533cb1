package wal

import (
	"reflect"
	"testing"

	"github.com/arrwdb/arrwdb/change"
)

// FuzzDecodeRecords feeds payloads that no encoder wrote to the decoder: it
// never panics, and what it accepts encodes to the same records.
func FuzzDecodeRecords(f *testing.F) {
	for _, compress := range []bool{false, true} {
		recs := []change.Record{
			{Kind: change.DocumentAdded, Flags: change.GroupFirst, Library: 3, Body: make([]byte, 9000), Raw: []byte{1, 2, 3, 4}, Seq: 7},
			{Kind: change.ControlSource, Flags: change.GroupLast, Library: 1 << 31, Body: []byte("x")},
		}
		b, _, h := appendFrame(nil, recs, compress, nil)
		f.Add(b[frameHeaderSize:frameHeaderSize+h.stored], h.flags, h.records, h.raw)
	}
	f.Fuzz(func(t *testing.T, payload []byte, flags uint8, records uint16, raw uint32) {
		if raw > 1<<20 {
			return
		}
		h := frameHeader{firstSeq: 7, stored: uint32(len(payload)), records: records, flags: flags & knownFlags, raw: raw}
		recs, err := decodeRecords(&h, payload)
		if err != nil || len(recs) == 0 {
			return
		}
		b, _, h2 := appendFrame(nil, recs, false, nil)
		h2.firstSeq = 7
		again, err := decodeRecords(&h2, b[frameHeaderSize:frameHeaderSize+h2.stored])
		if err != nil || !reflect.DeepEqual(recs, again) {
			t.Fatalf("%+v is encoded and decoded to %+v, %v", recs, again, err)
		}
	})
}

// FuzzScan feeds whole segments to the scanner and to the search for later
// frames: they never panic, and never go past the end.
func FuzzScan(f *testing.F) {
	seg := &segment{segmentHeader: segmentHeader{version: 1, id: 5, firstSeq: 1, firstCommit: 1}}
	b := seg.encode()
	frame, _, h := appendFrame(nil, []change.Record{{Kind: change.DocumentAdded, Body: []byte("abc"), Seq: 1}}, false, nil)
	h.firstSeq = 1
	h.encode(frame, 5)
	f.Add(append(b, frame...))
	f.Fuzz(func(t *testing.T, data []byte) {
		seg := &segment{}
		if seg.decode(data) != nil {
			return
		}
		sc := newScan(seg, data)
		for {
			fr, err := sc.next()
			if err != nil {
				break
			}
			if fr.flags&flagSeal != 0 {
				_ = seg.loadSeal(&fr.frameHeader, fr.payload, fr.offset)
				break
			}
			seg.apply(fr)
		}
		laterFrame(data, seg.id, sc.offset, sc.offset)
	})
}
