package attr

import (
	"bytes"
	"encoding/binary"

	"github.com/arrwdb/arrwdb/index/filter"
)

// kinds are the filter.Kinds, in the order in which a body has their groups.
const kinds = 4

// Which slots of a value: those that have it as it is, and those that have it as
// an element of an array. Only the latter contain it.
const (
	asScalar = iota
	asElement
	columns
)

// A group is the values of one kind that a field has:
//
//	uvarint n                      the number of values
//	the values, ascending:
//	  null                         nothing; n is 1
//	  booleans                     n × u8, 0 or 1
//	  numbers                      u8 mixed · n × u64 Bits · if mixed, n × u8 Class; else all are ClassInt
//	  strings                      a column
//	u8 has                         1: scalars, 2: elements, 4: slices
//	has 1: a column of n postings  the slots that have the value itself
//	has 2: a column of n postings  the slots that have it in an array
//	has 4: slices                  numbers and strings only
type group struct {
	kind    filter.Kind
	n       int
	bools   []byte
	bits    []byte
	classes []byte // nil where all are ClassInt
	text    column
	cols    [columns]column
	slices  bitSlices
}

const hasSlices = 1 << columns

// readGroup reads a group of a segment of so many slots. It checks that the parts
// are there, but not the ends of columns, the order of values and the postings;
// check does.
func readGroup(b []byte, kind filter.Kind, slots uint32) (g group, ok bool) {
	count, w := binary.Uvarint(b)
	if w <= 0 || count == 0 || count > uint64(len(b)) {
		return g, false
	}
	g.kind, g.n = kind, int(count)
	if b, ok = g.readValues(b[w:]); !ok || len(b) == 0 {
		return g, false
	}
	has := b[0]
	b = b[1:]
	for c := range g.cols {
		if has&(1<<c) == 0 {
			continue
		}
		if g.cols[c], b, ok = readColumn(b, g.n); !ok {
			return g, false
		}
	}
	if has&hasSlices != 0 {
		if g.slices, b, ok = readSlices(b, g.n, slots); !ok {
			return g, false
		}
	}
	return g, has < 2*hasSlices && len(b) == 0
}

func (g *group) readValues(b []byte) (rest []byte, ok bool) {
	switch g.kind {
	case filter.Null:
		return b, g.n == 1
	case filter.Bool:
		if g.n > 2 || len(b) < g.n {
			return nil, false
		}
		g.bools = b[:g.n]
		return b[g.n:], true
	case filter.Number:
		if len(b) < 1 || b[0] > 1 || len(b)/8 < g.n {
			return nil, false
		}
		mixed := b[0] == 1
		b = b[1:]
		if len(b) < 8*g.n {
			return nil, false
		}
		g.bits, b = b[:8*g.n], b[8*g.n:]
		if mixed {
			if len(b) < g.n {
				return nil, false
			}
			g.classes, b = b[:g.n:g.n], b[g.n:]
		}
		return b, true
	}
	g.text, b, ok = readColumn(b, g.n)
	return b, ok
}

// check says whether the rest is right that readGroup has not checked.
func (g *group) check(slots uint32) bool {
	if g.kind == filter.String && !g.text.check() {
		return false
	}
	for i := range g.bools {
		if g.bools[i] > 1 || i > 0 && g.bools[i-1] >= g.bools[i] {
			return false
		}
	}
	for i := range g.classes {
		if g.classes[i] > byte(filter.ClassFloat) {
			return false
		}
	}
	for i := 1; i < g.n; i++ {
		switch g.kind {
		case filter.Number:
			if g.num(i-1).Compare(g.num(i)) >= 0 {
				return false
			}
		case filter.String:
			if string(g.text.at(i-1)) >= string(g.text.at(i)) {
				return false
			}
		}
	}
	for c := range g.cols {
		col := &g.cols[c]
		if col.width == 0 {
			continue
		}
		if !col.check() {
			return false
		}
		for i := range col.n {
			if !posting(col.at(i)).check(slots) {
				return false
			}
		}
	}
	return true
}

func (g *group) num(i int) filter.Num {
	n := filter.Num{Bits: binary.LittleEndian.Uint64(g.bits[8*i:])}
	if g.classes != nil {
		n.Class = filter.NumClass(g.classes[i])
	}
	return n
}

func (g *group) value(i int) filter.Value {
	v := filter.Value{Kind: g.kind}
	switch g.kind {
	case filter.Bool:
		v.Bool = g.bools[i] == 1
	case filter.Number:
		v.Num = g.num(i)
	case filter.String:
		v.Str = string(g.text.at(i))
	}
	return v
}

// compare orders value i and v, which is of the group's kind and not a string.
func (g *group) compare(i int, v *filter.Value) int {
	switch g.kind {
	case filter.Bool:
		return int(g.bools[i]) - boolByte(v.Bool)
	case filter.Number:
		return g.num(i).Compare(v.Num)
	}
	return 0
}

func boolByte(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareValues orders two values of one kind.
func compareValues(a, b *filter.Value) int {
	switch a.Kind {
	case filter.Bool:
		return boolByte(a.Bool) - boolByte(b.Bool)
	case filter.Number:
		return a.Num.Compare(b.Num)
	case filter.String:
		switch {
		case a.Str < b.Str:
			return -1
		case a.Str > b.Str:
			return 1
		}
	}
	return 0
}

// rank returns the number of the first value that is not below v, and whether it
// equals v.
func (g *group) rank(v *filter.Value) (int, bool) {
	text := []byte(v.Str) // to be compared once a step, and not with < and >
	lo, hi := 0, g.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		var c int
		if g.kind == filter.String {
			c = bytes.Compare(g.text.at(mid), text)
		} else {
			c = g.compare(mid, v)
		}
		switch {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

func (g *group) posting(column, i int) posting {
	if g.cols[column].width == 0 {
		return nil
	}
	return g.cols[column].at(i)
}

// orBelow adds to dst the slots with one of the first hi values.
func (g *group) orBelow(dst []uint64, hi int) {
	switch {
	case !g.worthSlices(0, hi):
		g.orPostings(dst, 0, hi)
	case hi == g.n: // it may have a bit more than there are planes
		g.slices.orFrom(dst, 0)
	default:
		g.slices.orBelow(dst, uint32(hi))
	}
}

// orFrom adds to dst the slots with one of the values from lo on.
func (g *group) orFrom(dst []uint64, lo int) {
	if g.worthSlices(lo, g.n) {
		g.slices.orFrom(dst, uint32(lo))
	} else {
		g.orPostings(dst, lo, g.n)
	}
}

// worthSlices says whether slices are there and faster than the postings of the
// values from lo to below hi. The bytes to read are a measure of the time, and
// one of slices costs about a quarter of one of postings.
func (g *group) worthSlices(lo, hi int) bool {
	postings := g.cols[asScalar].size(lo, hi) + g.cols[asElement].size(lo, hi)
	return g.slices.lowest != nil && len(g.slices.lowest)/4 < postings
}

func (g *group) orPostings(dst []uint64, lo, hi int) {
	for c := range g.cols {
		if g.cols[c].size(lo, hi) == 0 {
			continue
		}
		for i := lo; i < hi; i++ {
			g.posting(c, i).or(dst)
		}
	}
}

// groupWriter encodes a group from its values in ascending order.
type groupWriter struct {
	w       *writer
	kind    filter.Kind
	n       int
	mixed   bool
	bools   []byte
	bits    []byte
	classes []byte
	text    columnWriter
	cols    [columns]columnWriter
	pairs   int // of a value and a slot, in both columns
}

func (g *groupWriter) reset(kind filter.Kind) {
	g.kind, g.n, g.mixed, g.pairs = kind, 0, false, 0
	g.bools, g.bits, g.classes = g.bools[:0], g.bits[:0], g.classes[:0]
	g.text.reset()
	for c := range g.cols {
		g.cols[c].reset()
	}
}

// add appends a value, above all before it, with its slots; without any slot it
// is left out.
func (g *groupWriter) add(v *filter.Value, slots *[columns][]uint32) error {
	if len(slots[asScalar])+len(slots[asElement]) == 0 {
		return nil
	}
	g.n++
	switch g.kind {
	case filter.Bool:
		g.bools = append(g.bools, byte(boolByte(v.Bool)))
	case filter.Number:
		g.bits = binary.LittleEndian.AppendUint64(g.bits, v.Num.Bits)
		g.classes = append(g.classes, byte(v.Num.Class))
		g.mixed = g.mixed || v.Num.Class != filter.ClassInt
	case filter.String:
		g.text.data = append(g.text.data, v.Str...)
		g.text.close()
	}
	for c := range g.cols {
		col := &g.cols[c]
		var err error
		if col.data, err = appendPosting(col.data, slots[c], g.w.bitmap); err != nil {
			return err
		}
		col.close()
		g.pairs += len(slots[c])
	}
	return nil
}

func (g *groupWriter) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(g.n))
	switch g.kind {
	case filter.Bool:
		dst = append(dst, g.bools...)
	case filter.Number:
		dst = append(dst, byte(boolByte(g.mixed)))
		dst = append(dst, g.bits...)
		if g.mixed {
			dst = append(dst, g.classes...)
		}
	case filter.String:
		dst = g.text.appendTo(dst)
	}
	at := len(dst)
	dst = append(dst, 0)
	for c := range g.cols {
		if len(g.cols[c].data) > 0 {
			dst[at] |= 1 << c
			dst = g.cols[c].appendTo(dst)
		}
	}
	ordered := g.kind == filter.Number || g.kind == filter.String
	if ordered && g.n > minSliced && g.pairs >= max(minPairs, int(g.w.n)/sparsest) {
		dst[at] |= hasSlices
		dst = g.appendSlices(dst)
	}
	return dst
}
