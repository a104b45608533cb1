package attr

import (
	"encoding/binary"
	"math/bits"
	"sort"
)

// bitSlices answers "which slots have a value of rank lo to below hi" in a pass
// over dense words: the bit-sliced index of P. O'Neil and D. Quass, "Improved
// Query Performance with Variant Indexes", SIGMOD 1997, section 4, over the ranks
// of a field's distinct values.
//
//	blocks of 512 slots, as many as the segment begins:
//	  8 × u64          bit s: the slot has a rank
//	  planes × 8 × u64 bit s of plane p, the highest first: bit p of the slot's rank
//	uvarint e
//	e × u32            further ranks of slots with several values, ascending
//	e × u32            their slots
//
// A block keeps the planes of its slots together, so that a query reads
// memory in order, and may leave a block as soon as no slot of it is undecided.
type bitSlices struct {
	planes int
	blocks []byte // nil where the field has no slices
	ranks  []byte
	slots  []byte
}

const (
	blockWords = 8
	blockSlots = blockWords * 64
	planeBytes = blockWords * 8

	// Slices are written for a field that has more values than minSliced, in at
	// least minPairs and every sparsest-th slot one, and of which at most every
	// furthest-th is a further one. Below these the postings of a range are few or
	// short. With them slices take at most as many bytes for a slot with a value as
	// there are planes.
	minSliced = 8
	minPairs  = 64
	sparsest  = 8
	furthest  = 4
)

func planesFor(values int) int { return bits.Len(uint(values - 1)) }

func blocksFor(n uint32) int { return int((uint64(n) + blockSlots - 1) / blockSlots) }

// readSlices takes the slices of a field with so many values from the front of b.
func readSlices(b []byte, values int, n uint32) (s bitSlices, rest []byte, ok bool) {
	s.planes = planesFor(values)
	size := blocksFor(n) * (s.planes + 1) * planeBytes
	if len(b) < size {
		return bitSlices{}, nil, false
	}
	s.blocks, b = b[:size:size], b[size:]
	count, w := binary.Uvarint(b)
	if w <= 0 || count > uint64(len(b)-w)/8 {
		return bitSlices{}, nil, false
	}
	b = b[w:]
	e := int(count) * 4
	s.ranks, s.slots = b[:e], b[e:2*e]
	return s, b[2*e:], true
}

// check says whether the further ranks ascend and all slots are below n.
func (s *bitSlices) check(n uint32) bool {
	last := uint32(0)
	for i := 0; i < len(s.ranks); i += 4 {
		rank := binary.LittleEndian.Uint32(s.ranks[i:])
		if rank < last || binary.LittleEndian.Uint32(s.slots[i:]) >= n {
			return false
		}
		last = rank
	}
	return true
}

// or adds to dst the slots with a rank from lo to below hi; values is one more
// than the highest rank.
func (s *bitSlices) or(dst []uint64, lo, hi, values int) {
	stride := (s.planes + 1) * planeBytes
	var upper, lower [blockWords]uint64
	rest := dst
	for b := s.blocks; len(b) >= stride && len(rest) > 0; b = b[stride:] {
		if hi < values {
			below(b[:stride], uint32(hi), &upper)
		} else {
			for j := range upper {
				upper[j] = binary.LittleEndian.Uint64(b[8*j:])
			}
		}
		if lo > 0 {
			below(b[:stride], uint32(lo), &lower)
		}
		k := min(len(rest), blockWords)
		for j := range k {
			rest[j] |= upper[j] &^ lower[j]
		}
		rest = rest[k:]
	}
	count := len(s.ranks) / 4
	rank := func(i int) int { return int(binary.LittleEndian.Uint32(s.ranks[4*i:])) }
	from := sort.Search(count, func(i int) bool { return rank(i) >= lo })
	to := from + sort.Search(count-from, func(i int) bool { return rank(from+i) >= hi })
	for b := s.slots[4*from : 4*to]; len(b) >= 4; b = b[4:] {
		slot := binary.LittleEndian.Uint32(b)
		dst[slot>>6] |= 1 << (slot & 63)
	}
}

// below sets lt to the slots of a block whose rank is below c.
func below(block []byte, c uint32, lt *[blockWords]uint64) {
	var eq [blockWords]uint64
	clear(lt[:])
	for j := range eq {
		eq[j] = binary.LittleEndian.Uint64(block[8*j:])
	}
	block = block[planeBytes:]
	for p := len(block)/planeBytes - 1; p >= 0; p-- {
		plane := (*[planeBytes]byte)(block)
		block = block[planeBytes:]
		open := uint64(0)
		if c>>p&1 == 1 {
			for j := range eq {
				w := binary.LittleEndian.Uint64(plane[8*j : 8*j+8])
				lt[j] |= eq[j] &^ w
				eq[j] &= w
				open |= eq[j]
			}
		} else {
			for j := range eq {
				eq[j] &^= binary.LittleEndian.Uint64(plane[8*j : 8*j+8])
				open |= eq[j]
			}
		}
		if open == 0 {
			return
		}
	}
}
