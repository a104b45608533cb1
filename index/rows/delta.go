package rows

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/arrwdb/arrwdb/change"
)

// The payload of a snapshot or delta, all numbers unsigned varints but for sum:
//
//	seq, commit                        the stamp
//	n, n × key                         spaces dropped (before the rest is applied)
//	n, n × space                       spaces with new or changed blocks
//
//	key    = library, space, generation, dimension
//	space  = key, n, n × block         blocks in ascending order
//	block  = k − (k of the block before + 1; 0 for the first)
//	         file, index in the file
//	         u64 sum, little-endian
//	         c × 2                     if exactly the first c rows are present
//	         or c × 2 + 1, then the bitmap: ceil(rows in a block / 64) × u64, little-endian

func appendKey(b []byte, k Key) []byte {
	b = binary.AppendUvarint(b, uint64(k.Library))
	b = binary.AppendUvarint(b, uint64(k.Space))
	b = binary.AppendUvarint(b, uint64(k.Generation))
	return binary.AppendUvarint(b, uint64(k.Dim))
}

// encodeState writes a payload. The blocks are sorted here; those of spaces that
// are gone have been left out. The caller holds Store.applyMu.
func encodeState(stamp change.Stamp, drops []Key, blocks []*block) []byte {
	slices.SortFunc(blocks, func(a, b *block) int {
		if a.sp != b.sp {
			return a.sp.key.compare(b.sp.key)
		}
		if a.k < b.k {
			return -1
		}
		return 1
	})
	out := make([]byte, 0, 64+24*len(blocks))
	out = binary.AppendUvarint(out, stamp.Seq)
	out = binary.AppendUvarint(out, stamp.Commit)
	out = binary.AppendUvarint(out, uint64(len(drops)))
	for _, k := range drops {
		out = appendKey(out, k)
	}
	spaces := 0
	for i, b := range blocks {
		if i == 0 || blocks[i-1].sp != b.sp {
			spaces++
		}
	}
	out = binary.AppendUvarint(out, uint64(spaces))
	var words []uint64
	for len(blocks) > 0 {
		n := 1
		for n < len(blocks) && blocks[n].sp == blocks[0].sp {
			n++
		}
		out = appendKey(out, blocks[0].sp.key)
		out = binary.AppendUvarint(out, uint64(n))
		next := uint64(0)
		for _, b := range blocks[:n] {
			out = binary.AppendUvarint(out, b.k-next)
			next = b.k + 1
			words = b.words(words)
			out = appendBlock(out, b, words)
		}
		blocks = blocks[n:]
	}
	return out
}

func appendBlock(out []byte, b *block, words []uint64) []byte {
	out = binary.AppendUvarint(out, b.file.id)
	out = binary.AppendUvarint(out, uint64(b.index))
	out = binary.LittleEndian.AppendUint64(out, b.sum)
	count := uint64(b.count)
	if high(words) == count {
		return binary.AppendUvarint(out, count<<1)
	}
	out = binary.AppendUvarint(out, count<<1|1)
	for _, w := range words {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

// decoder reads a payload; what is wrong with it stays in why.
type decoder struct {
	b   []byte
	why string
}

func (d *decoder) fail(why string) {
	if d.why == "" {
		d.why = why
	}
	d.b = nil
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.fail("a number is cut off or out of range")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.fail("the payload is cut off")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) key() Key {
	return Key{Library: uint32(d.uvarint(1<<32 - 1)), Space: uint8(d.uvarint(255)),
		Generation: uint32(d.uvarint(1<<32 - 1)), Dim: uint32(d.uvarint(MaxDim))}
}

const maxUint64 = 1<<64 - 1

// image is the state that frames build up: what Open starts from.
type image struct {
	geo    geometry
	stamp  change.Stamp
	spaces map[Key]map[uint64]blockImage
}

type blockImage struct {
	file  uint64
	index uint32
	sum   uint64
	words []uint64
	count int
}

// apply adds one frame; why says what is wrong with it.
func (im *image) apply(payload []byte) (why string) {
	d := &decoder{b: payload}
	stamp := change.Stamp{Seq: d.uvarint(maxUint64), Commit: d.uvarint(maxUint64)}
	if stamp.Less(im.stamp) || stamp.Seq < im.stamp.Seq {
		d.fail("the stamp goes back")
	}
	im.stamp = stamp
	for range d.uvarint(uint64(len(d.b))) {
		delete(im.spaces, d.key())
	}
	for range d.uvarint(uint64(len(d.b))) {
		im.space(d)
	}
	if d.why == "" && len(d.b) > 0 {
		d.fail("there are bytes after the end")
	}
	return d.why
}

func (im *image) space(d *decoder) {
	key := d.key()
	if d.why == "" && (key.Dim == 0 || int(key.Dim)*4 > im.geo.blockSize) {
		d.fail("the dimension is out of range")
	}
	n := d.uvarint(uint64(len(d.b)))
	if d.why != "" {
		return
	}
	blocks := im.spaces[key]
	if blocks == nil {
		blocks = map[uint64]blockImage{}
		im.spaces[key] = blocks
	}
	rows := uint64(im.geo.blockSize / (4 * int(key.Dim)))
	k := uint64(0)
	for i := range n {
		gap := d.uvarint(maxUint64)
		if k+gap < k || i > 0 && k == 0 {
			d.fail("a block number overflows")
		}
		k += gap
		b := blockImage{file: d.uvarint(maxUint64), index: uint32(d.uvarint(uint64(im.geo.perFile - 1))), sum: d.u64()}
		b.decodeRows(d, rows)
		if d.why != "" {
			return
		}
		if old, ok := blocks[k]; ok && (old.file != b.file || old.index != b.index) {
			d.fail("a block moved")
			return
		}
		blocks[k] = b
		k++
	}
}

func (b *blockImage) decodeRows(d *decoder, rows uint64) {
	c := d.uvarint(rows<<1 | 1)
	b.count = int(c >> 1)
	b.words = make([]uint64, (rows+63)/64)
	if c&1 == 0 {
		for i := range b.count {
			b.words[i/64] |= 1 << (i % 64)
		}
		return
	}
	n := 0
	for i := range b.words {
		b.words[i] = d.u64()
		n += bits.OnesCount64(b.words[i])
	}
	if n != b.count || high(b.words) > rows {
		d.fail("a bitmap does not fit its count")
	}
}
