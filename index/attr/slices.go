package attr

import (
	"encoding/binary"
	"math/bits"
)

// bitSlices answer "which slots have a value below, or from, a rank on" in a pass
// over dense words: the bit-sliced index of P. O'Neil and D. Quass, "Improved
// Query Performance with Variant Indexes", SIGMOD 1997, over the ranks of a
// field's distinct values.
//
//	u8 sets: 1, or 2 where a slot has several values
//	sets × blocks of 512 slots, as many as the segment begins:
//	  8 × u64          bit s: the slot has a value
//	  planes × 8 × u64 bit s of plane p, the highest first: bit p of the slot's rank
//
// The first set has the lowest rank of each slot and the second the highest.
// That is enough: a condition has one bound, and a slot has a value below it
// exactly if the lowest is. (A range written as two conditions is two leaves,
// and each may be met by a value of its own.)
//
// A block keeps the planes of its slots together, so that a query reads memory in
// order, and may leave a block as soon as no slot of it is undecided.
type bitSlices struct {
	planes  int
	lowest  []byte // nil where the field has no slices
	highest []byte
}

const (
	blockWords = 8
	blockSlots = blockWords * 64
	planeBytes = blockWords * 8

	// Slices are written for a field that has more values than minSliced, in at
	// least minPairs and every sparsest-th slot one. Below these the postings of a
	// range are few or short: a million slots of which every tenth has a number of its
	// own take 0.7 ms. With them a set takes at most as many bytes for a value of a
	// slot as it has planes.
	minSliced = 8
	minPairs  = 64
	sparsest  = 8
)

func planesFor(values int) int { return bits.Len(uint(values - 1)) }

func blocksFor(n uint32) int { return int((uint64(n) + blockSlots - 1) / blockSlots) }

// readSlices takes the slices of a field with so many values from the front of
// b. Any bytes are slices of some slots, so there is nothing else to check.
func readSlices(b []byte, values int, n uint32) (s bitSlices, rest []byte, ok bool) {
	s.planes = planesFor(values)
	size := blocksFor(n) * (s.planes + 1) * planeBytes
	if len(b) < 1 || b[0] < 1 || b[0] > 2 || (len(b)-1)/int(b[0]) < size {
		return bitSlices{}, nil, false
	}
	sets := b[0]
	s.lowest, b = b[1:1+size:1+size], b[1+size:]
	s.highest = s.lowest
	if sets == 2 {
		s.highest, b = b[:size:size], b[size:]
	}
	return s, b, true
}

// orBelow adds the slots with a rank below hi. The bits after the last slot are
// what is stored.
func (s *bitSlices) orBelow(dst []uint64, hi uint32) {
	stride := (s.planes + 1) * planeBytes
	var lt [blockWords]uint64
	for b := s.lowest; len(b) >= stride && len(dst) > 0; b = b[stride:] {
		below(b[:stride], hi, &lt)
		k := min(len(dst), blockWords)
		for j := range k {
			dst[j] |= lt[j]
		}
		dst = dst[k:]
	}
}

// orFrom adds the slots with a rank of lo or more.
func (s *bitSlices) orFrom(dst []uint64, lo uint32) {
	stride := (s.planes + 1) * planeBytes
	var lt [blockWords]uint64
	for b := s.highest; len(b) >= stride && len(dst) > 0; b = b[stride:] {
		below(b[:stride], lo, &lt)
		k := min(len(dst), blockWords)
		for j := range k {
			dst[j] |= binary.LittleEndian.Uint64(b[8*j:]) &^ lt[j]
		}
		dst = dst[k:]
	}
}

// below sets lt to the slots of a block whose rank is below c, which has no more
// bits than there are planes. A slot is decided at the highest plane where its
// rank differs from c.
func below(block []byte, c uint32, lt *[blockWords]uint64) {
	var eq [blockWords]uint64 // undecided
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

// appendSlices reads the slots back that add has written: how many values there
// are, and so whether slices pay, is known only now.
func (g *groupWriter) appendSlices(dst []byte) []byte {
	lowest, highest := g.w.ranks() // of each slot, plus one; zero is none
	sets := byte(1)
	for rank := range uint32(g.n) {
		for c := range g.cols {
			g.w.slots = g.cols[c].posting(int(rank)).appendTo(g.w.slots[:0])
			for _, s := range g.w.slots {
				if lowest[s] == 0 {
					lowest[s] = rank + 1
				} else if lowest[s] != rank+1 {
					sets = 2
				}
				highest[s] = rank + 1
			}
		}
	}
	dst = append(dst, sets)
	dst = appendBlocks(dst, lowest, planesFor(g.n))
	if sets == 2 {
		dst = appendBlocks(dst, highest, planesFor(g.n))
	}
	return dst
}

func appendBlocks(dst []byte, ranks []uint32, planes int) []byte {
	block := make([]uint64, (planes+1)*blockWords)
	for len(ranks) > 0 {
		k := min(len(ranks), blockSlots)
		clear(block)
		for s, rank := range ranks[:k] {
			if rank == 0 {
				continue
			}
			word, bit := s>>6, uint64(1)<<(s&63)
			block[word] |= bit
			for r := rank - 1; r != 0; r &= r - 1 {
				p := bits.TrailingZeros32(r)
				block[(planes-p)*blockWords+word] |= bit
			}
		}
		for _, w := range block {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
		ranks = ranks[k:]
	}
	return dst
}
