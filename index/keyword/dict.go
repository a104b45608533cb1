package keyword

import (
	"bytes"
	"encoding/binary"
)

// A dictionary has the terms of a segment, in blocks of 16. An entry:
//
//	varint bytes shared with the term before (0 for the first of a block)
//	varint bytes of the rest, the rest
//	varint df, varint bytes of postings
type dictionary struct {
	terms    uint32
	index    []byte
	dict     []byte
	postings uint64 // bytes
}

// A dictEntry is a term of the dictionary. A dictReader's is valid until it moves.
type dictEntry struct {
	id    uint32
	term  []byte
	df    uint64
	place uint64 // of the postings
	size  uint64
}

// A dictReader walks through the entries from a block on.
type dictReader struct {
	d    *dictionary
	at   uint64 // in dict
	e    dictEntry
	next uint32 // number of the next entry
	buf  [maxTermBytes]byte
}

func (d *dictionary) blocks() int { return (int(d.terms) + dictBlock - 1) / dictBlock }

// seek moves the reader to a block; advance gives its first entry.
func (r *dictReader) seek(d *dictionary, block int) {
	r.d = d
	r.at = binary.LittleEndian.Uint64(d.index[block*dictEntryLen:])
	r.e = dictEntry{term: r.buf[:0], place: binary.LittleEndian.Uint64(d.index[block*dictEntryLen+8:])}
	r.next = uint32(block) * dictBlock
}

// advance reads the next entry into r.e. It is false at the end, and where the bytes
// are none.
func (r *dictReader) advance() bool {
	if r.next >= r.d.terms || r.at > uint64(len(r.d.dict)) {
		return false
	}
	b := r.d.dict[r.at:]
	shared, n := uvarint(b)
	if n == 0 || shared > uint64(len(r.e.term)) || r.next%dictBlock == 0 && shared != 0 {
		return false
	}
	rest, m := uvarint(b[n:])
	n += m
	if m == 0 || shared+rest > maxTermBytes || rest > uint64(len(b)-n) {
		return false
	}
	copy(r.buf[shared:], b[n:n+int(rest)])
	n += int(rest)
	df, m := uvarint(b[n:])
	n += m
	size, o := uvarint(b[n:])
	n += o
	if m == 0 || o == 0 {
		return false
	}
	place := r.e.place + r.e.size
	r.e = dictEntry{id: r.next, term: r.buf[:shared+rest], df: df, place: place, size: size}
	r.next++
	r.at += uint64(n)
	return true
}

// first returns the first term of a block.
func (d *dictionary) first(block int) []byte {
	b := d.dict[binary.LittleEndian.Uint64(d.index[block*dictEntryLen:]):]
	n, w := uvarint(b[1:])
	return b[1+w : 1+w+int(n)]
}

// find leaves the reader at a term.
func (d *dictionary) find(r *dictReader, term []byte) bool {
	lo, hi := 0, d.blocks()
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(d.first(mid), term) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return false
	}
	r.seek(d, lo-1)
	for range dictBlock {
		if !r.advance() {
			return false
		}
		if c := bytes.Compare(r.e.term, term); c >= 0 {
			return c == 0
		}
	}
	return false
}

// check walks through everything and gives each entry to visit.
func (d *dictionary) check(visit func(*dictEntry) error) error {
	var r dictReader
	var before []byte
	at, place := uint64(0), uint64(0)
	for i := range d.terms {
		if i%dictBlock == 0 {
			r.seek(d, int(i/dictBlock))
			if r.at != at || r.e.place != place {
				return corrupt("block %d of the dictionary is at %d and %d instead of %d and %d", i/dictBlock, r.at, r.e.place, at, place)
			}
		}
		if !r.advance() {
			return corrupt("term %d of the dictionary, at byte %d", i, at)
		}
		if i > 0 && bytes.Compare(before, r.e.term) >= 0 {
			return corrupt("term %d, %q, comes after %q", i, r.e.term, before)
		}
		before = append(before[:0], r.e.term...)
		if r.e.size > d.postings-place {
			return corrupt("term %d has %d bytes of postings, at %d of %d", i, r.e.size, place, d.postings)
		}
		if err := visit(&r.e); err != nil {
			return err
		}
		at, place = r.at, place+r.e.size
	}
	if at != uint64(len(d.dict)) || place != d.postings {
		return corrupt("the dictionary ends at %d of %d, its postings at %d of %d", at, len(d.dict), place, d.postings)
	}
	return nil
}
