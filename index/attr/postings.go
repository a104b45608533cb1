package attr

import (
	"encoding/binary"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// A posting is a set of slots:
//
//	no bytes                         no slot
//	0, then uvarints                 the first slot, then gaps to the one before, each at least 1
//	1, then a Roaring bitmap         in the portable serialisation (RoaringFormatSpec)
//
// The library writes the bitmaps. It does not read them: here a bitmap is only
// ever added to dense words, and a loop over the serialised containers does that
// without allocating, and can be checked once for all by a walk over the bytes.
type posting []byte

const (
	tagList    = 0
	tagRoaring = 1

	// maxList is the number of slots up to which a posting is a list. A bitmap
	// costs at least 8 bytes for each 65,536 slots that it touches.
	maxList = 64
)

// What the specification of the portable serialisation fixes.
const (
	cookieRuns    = 12347
	cookieNoRuns  = 12346
	minForOffsets = 4       // bitmaps with runs have offsets from so many containers on
	maxArray      = 4096    // more values are a bitmap of bitmapBytes, unless runs are shorter
	bitmapBytes   = 1 << 13 //
)

// appendPosting encodes slots, which ascend strictly. rb is scratch.
func appendPosting(dst []byte, slots []uint32, rb *roaring.Bitmap) ([]byte, error) {
	if len(slots) == 0 {
		return dst, nil
	}
	if len(slots) <= maxList {
		dst = append(dst, tagList)
		last := uint32(0)
		for _, s := range slots {
			dst = binary.AppendUvarint(dst, uint64(s-last))
			last = s
		}
		return dst, nil
	}
	rb.Clear()
	addAscending(rb, slots)
	rb.RunOptimize()
	b, err := rb.ToBytes()
	if err != nil {
		return nil, err
	}
	return append(append(dst, tagRoaring), b...), nil
}

// addAscending adds slots, whole runs at once: a field that every document has
// is one run.
func addAscending(rb *roaring.Bitmap, slots []uint32) {
	const worthwhile = 256
	from := 0 // slots before it are in rb
	for i := 0; i < len(slots); {
		j := i + 1
		for j < len(slots) && slots[j] == slots[j-1]+1 {
			j++
		}
		if j-i >= worthwhile {
			rb.AddMany(slots[from:i])
			rb.AddRange(uint64(slots[i]), uint64(slots[j-1])+1)
			from = j
		}
		i = j
	}
	rb.AddMany(slots[from:])
}

// or adds the slots of a checked posting to dst.
func (p posting) or(dst []uint64) {
	if len(p) == 0 {
		return
	}
	if p[0] == tagList {
		slot := uint32(0)
		for b := p[1:]; len(b) > 0; {
			var gap uint32
			gap, b = shortUvarint(b)
			slot += gap
			dst[slot>>6] |= 1 << (slot & 63)
		}
		return
	}
	it, _ := readBitmap(p[1:])
	for it.next() {
		it.or(dst)
	}
}

// appendTo appends the slots of a checked posting to out, ascending.
func (p posting) appendTo(out []uint32) []uint32 {
	if len(p) == 0 {
		return out
	}
	if p[0] == tagList {
		slot := uint32(0)
		for b := p[1:]; len(b) > 0; {
			var gap uint32
			gap, b = shortUvarint(b)
			slot += gap
			out = append(out, slot)
		}
		return out
	}
	it, _ := readBitmap(p[1:])
	for it.next() {
		out = it.appendTo(out)
	}
	return out
}

// check says whether p is a posting of slots below n as appendPosting writes it.
// The other methods may be called only if it is.
func (p posting) check(n uint32) bool {
	switch {
	case len(p) == 0:
		return true
	case p[0] == tagList:
		return checkList(p[1:], n)
	case p[0] != tagRoaring:
		return false
	}
	it, ok := readBitmap(p[1:])
	if !ok {
		return false
	}
	last := -1
	for it.next() {
		if int(it.key) <= last || !it.check(n) {
			return false
		}
		last = int(it.key)
	}
	return it.left == 0 && len(it.b) == 0
}

func checkList(b []byte, n uint32) bool {
	if len(b) == 0 {
		return false
	}
	slot, first := uint64(0), true
	for len(b) > 0 {
		gap, size := binary.Uvarint(b)
		if size <= 0 || size > binary.MaxVarintLen32 || gap == 0 && !first {
			return false
		}
		if slot += gap; slot >= uint64(n) {
			return false
		}
		b, first = b[size:], false
	}
	return true
}

// shortUvarint reads an unsigned varint of at most 32 bits from checked bytes.
func shortUvarint(b []byte) (uint32, []byte) {
	if b[0] < 0x80 {
		return uint32(b[0]), b[1:]
	}
	if len(b) > 1 && b[1] < 0x80 {
		return uint32(b[0]&0x7f) | uint32(b[1])<<7, b[2:]
	}
	v, size := binary.Uvarint(b)
	return uint32(v), b[max(size, 1):]
}

// bitmapReader walks the containers of a serialised Roaring bitmap.
type bitmapReader struct {
	b    []byte // from the next container's data on
	desc []byte // from the next container's descriptor on: key, values less one
	runs []byte // a bit for each container: its data are runs; nil if none are
	i    int    // the next container
	left int

	// The container that next found.
	key   uint32 // the upper 16 bits of its slots
	card  int
	isRun bool
	data  []byte
}

func readBitmap(b []byte) (bitmapReader, bool) {
	var r bitmapReader
	if len(b) < 4 {
		return r, false
	}
	cookie := binary.LittleEndian.Uint32(b)
	b = b[4:]
	offsets := true
	switch {
	case cookie&0xffff == cookieRuns:
		r.left = int(cookie>>16) + 1
		size := (r.left + 7) / 8
		if len(b) < size {
			return r, false
		}
		r.runs, b = b[:size], b[size:]
		offsets = r.left >= minForOffsets
	case cookie == cookieNoRuns:
		if len(b) < 4 {
			return r, false
		}
		size := binary.LittleEndian.Uint32(b)
		if size == 0 || size > 1<<16 {
			return r, false
		}
		r.left, b = int(size), b[4:]
	default:
		return r, false
	}
	head := 4 * r.left
	if offsets {
		head *= 2
	}
	if len(b) < head {
		return r, false
	}
	r.desc, r.b = b[:4*r.left], b[head:]
	return r, true
}

// next moves to the next container; false with left > 0 means that its bytes are
// not all there.
func (r *bitmapReader) next() bool {
	if r.left == 0 {
		return false
	}
	r.key = uint32(binary.LittleEndian.Uint16(r.desc))
	r.card = int(binary.LittleEndian.Uint16(r.desc[2:])) + 1
	r.isRun = r.runs != nil && r.runs[r.i>>3]&(1<<(r.i&7)) != 0
	var size int
	switch {
	case r.isRun:
		if len(r.b) < 2 {
			return false
		}
		size = 4 * int(binary.LittleEndian.Uint16(r.b))
		r.b = r.b[2:]
	case r.card <= maxArray:
		size = 2 * r.card
	default:
		size = bitmapBytes
	}
	if len(r.b) < size {
		return false
	}
	r.data, r.b = r.b[:size], r.b[size:]
	r.desc = r.desc[4:]
	r.i++
	r.left--
	return true
}

func (r *bitmapReader) or(dst []uint64) {
	dst = dst[r.key<<10:]
	switch {
	case r.isRun:
		for b := r.data; len(b) >= 4; b = b[4:] {
			from := uint32(binary.LittleEndian.Uint16(b))
			setRange(dst, from, from+uint32(binary.LittleEndian.Uint16(b[2:])))
		}
	case r.card <= maxArray:
		for b := r.data; len(b) >= 2; b = b[2:] {
			v := binary.LittleEndian.Uint16(b)
			dst[v>>6] |= 1 << (v & 63)
		}
	default:
		dst = dst[:min(len(dst), bitmapBytes/8)]
		b := r.data
		for i := range dst {
			dst[i] |= binary.LittleEndian.Uint64(b[8*i:])
		}
	}
}

func (r *bitmapReader) appendTo(out []uint32) []uint32 {
	base := r.key << 16
	switch {
	case r.isRun:
		for b := r.data; len(b) >= 4; b = b[4:] {
			from := base + uint32(binary.LittleEndian.Uint16(b))
			for i := range uint32(binary.LittleEndian.Uint16(b[2:])) + 1 {
				out = append(out, from+i)
			}
		}
	case r.card <= maxArray:
		for b := r.data; len(b) >= 2; b = b[2:] {
			out = append(out, base+uint32(binary.LittleEndian.Uint16(b)))
		}
	default:
		for i := range uint32(bitmapBytes / 8) {
			for w := binary.LittleEndian.Uint64(r.data[8*i:]); w != 0; w &= w - 1 {
				out = append(out, base+i<<6+uint32(bits.TrailingZeros64(w)))
			}
		}
	}
	return out
}

// check says whether the container's values ascend, are as many as it says, and
// give slots below n.
func (r *bitmapReader) check(n uint32) bool {
	if r.key<<16 >= n {
		return false
	}
	limit := int(min(n-r.key<<16, 1<<16))
	last, count := -1, 0
	switch {
	case r.isRun:
		for b := r.data; len(b) >= 4; b = b[4:] {
			from := int(binary.LittleEndian.Uint16(b))
			if from <= last {
				return false
			}
			last = from + int(binary.LittleEndian.Uint16(b[2:]))
			count += last - from + 1
		}
	case r.card <= maxArray:
		for b := r.data; len(b) >= 2; b = b[2:] {
			v := int(binary.LittleEndian.Uint16(b))
			if v <= last {
				return false
			}
			last = v
			count++
		}
	default:
		for i := range bitmapBytes / 8 {
			if w := binary.LittleEndian.Uint64(r.data[8*i:]); w != 0 {
				count += bits.OnesCount64(w)
				last = i<<6 + 63 - bits.LeadingZeros64(w)
			}
		}
	}
	return last < limit && count == r.card
}

// setRange sets the bits from first to last, both included.
func setRange(dst []uint64, first, last uint32) {
	i, j := first>>6, last>>6
	head, tail := ^uint64(0)<<(first&63), ^uint64(0)>>(63-last&63)
	if i == j {
		dst[i] |= head & tail
		return
	}
	dst[i] |= head
	for k := i + 1; k < j; k++ {
		dst[k] = ^uint64(0)
	}
	dst[j] |= tail
}
