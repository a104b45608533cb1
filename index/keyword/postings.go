package keyword

import (
	"encoding/binary"
	"math/bits"
)

// A list of postings, ascending by slot. Up to 128 are
//
//	[largest tf, smallest length: varints, from 8 postings on]
//	a posting: varint (slots since the last one - 1) << 1 | (tf is 1), varint tf if it is not
//
// Longer ones are a table, the packed blocks, and what is left over in postings of
// the short kind. An entry of the table, 16 bytes:
//
//	 0 last slot u32
//	 4 place behind the table, in 16 bytes u32
//	 8 largest tf u16, 65535: any
//	10 smallest length u16
//	12 bits of a distance u8   13 bits of a tf u8   14 zero u16
//
// A block has 128 distances (slots since the last one - 1), then 128 tf - 1. The
// left over ones have an entry too, with 255 and 255 for bits.
const bitsVarint = 255

// A listWriter appends a list to b. It is told beforehand how many come.
type listWriter struct {
	b       []byte
	lengths func(slot uint32) uint32

	df, done int
	table    int // where the table begins, or -1
	data     int // where the blocks begin
	before   int64
	n        int
	slots    [blockLen]uint32
	tfs      [blockLen]uint32
}

func (w *listWriter) begin(df int) {
	w.df, w.done, w.n, w.before, w.table = df, 0, 0, -1, -1
	if df > blockLen {
		w.table = len(w.b)
		w.b = append(w.b, make([]byte, (df+blockLen-1)/blockLen*blockEntryLen)...)
		w.data = len(w.b)
	}
}

func (w *listWriter) add(slot, tf uint32) {
	w.slots[w.n], w.tfs[w.n] = slot, tf
	w.n++
	w.done++
	if w.n == blockLen || w.done == w.df {
		w.flush()
	}
}

// flush writes the postings that have come since the last block.
func (w *listWriter) flush() {
	n := w.n
	maxTF, minLen := uint32(0), ^uint32(0)
	for i := range n {
		maxTF = max(maxTF, w.tfs[i])
		minLen = min(minLen, w.lengths(w.slots[i]))
	}
	last := int64(w.slots[n-1])
	for i := range n {
		slot := int64(w.slots[i])
		w.slots[i] = uint32(slot - w.before - 1)
		w.before = slot
	}
	w.n = 0
	if w.table < 0 {
		if n >= boundsFrom {
			w.b = binary.AppendUvarint(w.b, uint64(maxTF))
			w.b = binary.AppendUvarint(w.b, uint64(minLen))
		}
		w.varints(n)
		return
	}
	entry := blockEntry{last: uint32(last), place: uint32((len(w.b) - w.data) / 16),
		maxTF: uint16(min(maxTF, saturated)), minLen: uint16(min(minLen, saturated)), slotBits: bitsVarint, tfBits: bitsVarint}
	if n < blockLen {
		w.varints(n)
	} else {
		w.pack(&entry)
	}
	entry.put(w.b[w.table:])
	w.table += blockEntryLen
}

func (w *listWriter) varints(n int) {
	for i := range n {
		v := uint64(w.slots[i]) << 1
		if w.tfs[i] == 1 {
			w.b = binary.AppendUvarint(w.b, v|1)
			continue
		}
		w.b = binary.AppendUvarint(w.b, v)
		w.b = binary.AppendUvarint(w.b, uint64(w.tfs[i]))
	}
}

func (w *listWriter) pack(e *blockEntry) {
	var slots, tfs uint32
	for i := range blockLen {
		w.tfs[i]--
		slots |= w.slots[i]
		tfs |= w.tfs[i]
	}
	e.slotBits, e.tfBits = uint8(bits.Len32(slots)), uint8(bits.Len32(tfs))
	w.b = pack(w.b, &w.slots, uint(e.slotBits))
	w.b = pack(w.b, &w.tfs, uint(e.tfBits))
}

type blockEntry struct {
	last, place      uint32
	maxTF, minLen    uint16
	slotBits, tfBits uint8
}

func (e *blockEntry) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, e.last)
	le.PutUint32(b[4:], e.place)
	le.PutUint16(b[8:], e.maxTF)
	le.PutUint16(b[10:], e.minLen)
	b[12], b[13], b[14], b[15] = e.slotBits, e.tfBits, 0, 0
}

func (e *blockEntry) parse(b []byte) {
	le := binary.LittleEndian
	_ = b[15]
	e.last, e.place = le.Uint32(b), le.Uint32(b[4:])
	e.maxTF, e.minLen = le.Uint16(b[8:]), le.Uint16(b[10:])
	e.slotBits, e.tfBits = b[12], b[13]
}

// A list is a term's postings in a segment. check has seen it.
type list struct {
	b      []byte // with at least 8 bytes behind the list
	df     int
	data   int // where the blocks or varints begin in b
	end    int // of the list in b
	blocks int

	maxTF, minLen uint32 // of a short list that states them
	bounds        bool   // whether it does
}

// newList looks at the front of a list.
func newList(b []byte, df, size int) list {
	l := list{b: b, df: df, end: size, blocks: (df + blockLen - 1) / blockLen}
	switch {
	case df > blockLen:
		l.data = l.blocks * blockEntryLen
	case df >= boundsFrom:
		tf, n := uvarint(b[:size])
		length, m := uvarint(b[n:size])
		l.maxTF, l.minLen = uint32(min(tf, 1<<32-1)), uint32(min(length, 1<<32-1))
		l.data, l.bounds = n+m, true
	}
	return l
}

func (l *list) entry(i int) (e blockEntry) {
	e.parse(l.b[i*blockEntryLen:])
	return e
}

// last returns the last slot of a block of a long list.
func (l *list) last(i int) uint32 { return binary.LittleEndian.Uint32(l.b[i*blockEntryLen:]) }

// count returns how many postings a block has.
func (l *list) count(block int) int { return min(blockLen, l.df-block*blockLen) }

// check says what is wrong with a list's frame, so that decoding it stays within b
// for whatever the postings themselves are.
func (l *list) check(slots uint32) error {
	if l.data > l.end || l.df <= blockLen && l.df > l.end {
		return corrupt("a list of %d postings in %d bytes", l.df, l.end)
	}
	if l.df <= blockLen {
		return nil
	}
	at, before := uint64(0), int64(-1)
	for i := range l.blocks {
		e := l.entry(i)
		if int64(e.last) <= before || e.last >= slots || uint64(e.place)*16 != at {
			return corrupt("block %d of a list ends with slot %d after %d of %d, at %d instead of %d", i, e.last, before, slots, uint64(e.place)*16, at)
		}
		before = int64(e.last)
		if packed := l.count(i) == blockLen; packed {
			if e.slotBits > 32 || e.tfBits > 32 {
				return corrupt("block %d of a list has %d and %d bits", i, e.slotBits, e.tfBits)
			}
			at += 16 * (uint64(e.slotBits) + uint64(e.tfBits))
		} else if e.slotBits != bitsVarint || e.tfBits != bitsVarint {
			return corrupt("block %d of a list has %d and %d bits, and %d postings", i, e.slotBits, e.tfBits, l.count(i))
		}
		if at > uint64(l.end-l.data) {
			return corrupt("block %d of a list ends at %d of %d", i, at, l.end-l.data)
		}
	}
	return nil
}

// decode reads a block's slots and tfs. It is given room for 128 of each.
func (l *list) decode(block int, slots, tfs *[blockLen]uint32) (n int) {
	n = l.count(block)
	before := uint32(1<<32 - 1)
	if l.df <= blockLen {
		l.varints(l.b[l.data:l.end], before, n, slots, tfs)
		return n
	}
	if block > 0 {
		before = l.last(block - 1)
	}
	e := l.entry(block)
	at := l.data + int(e.place)*16
	if n < blockLen {
		l.varints(l.b[at:l.end], before, n, slots, tfs)
		return n
	}
	unpack(slots, l.b[at:], uint(e.slotBits))
	for i := range slots {
		before += slots[i] + 1
		slots[i] = before
	}
	unpack(tfs, l.b[at+16*int(e.slotBits):], uint(e.tfBits))
	return n
}

// varints decodes n postings of the short kind. As packed ones, tfs are one less than
// they are. Where b ends early, the rest have a tf of 0, less one, and score nothing.
func (l *list) varints(b []byte, before uint32, n int, slots, tfs *[blockLen]uint32) {
	for i := range n {
		v, w := uvarint(b)
		b = b[w:]
		before += uint32(v>>1) + 1
		slots[i], tfs[i] = before, 0
		if v&1 == 0 {
			v, w = uvarint(b)
			b = b[w:]
			tfs[i] = uint32(v) - 1
		}
	}
}
