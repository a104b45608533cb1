package attr

import (
	"encoding/binary"
	"math"
)

// A column is a number of byte strings that can be reached by their number:
//
//	u8 width: 1, 2, 4 or 8 · for each, where it ends, of that width · the bytes
//
// The width is the smallest that holds the last end.
type column struct {
	width int // 0 where there is no column
	n     int
	ends  []byte
	data  []byte
}

func (c *column) end(i int) uint64 {
	switch c.width {
	case 1:
		return uint64(c.ends[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(c.ends[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(c.ends[4*i:]))
	}
	return binary.LittleEndian.Uint64(c.ends[8*i:])
}

func (c *column) start(i int) uint64 {
	if i == 0 {
		return 0
	}
	return c.end(i - 1)
}

// at returns entry i of a checked column.
func (c *column) at(i int) []byte { return c.data[c.start(i):c.end(i)] }

// size returns the bytes that the entries from lo to below hi take.
func (c *column) size(lo, hi int) int {
	if c.width == 0 || lo >= hi {
		return 0
	}
	return int(c.end(hi-1) - c.start(lo))
}

// readColumn takes a column of n entries, at least one, from the front of b.
// The ends are not checked but for the last one.
func readColumn(b []byte, n int) (c column, rest []byte, ok bool) {
	if len(b) < 1 || n < 1 || n > len(b) {
		return c, nil, false
	}
	c.width, c.n = int(b[0]), n
	switch c.width {
	case 1, 2, 4, 8:
	default:
		return column{}, nil, false
	}
	b = b[1:]
	if len(b)/c.width < n {
		return column{}, nil, false
	}
	c.ends, b = b[:n*c.width], b[n*c.width:]
	total := c.end(n - 1)
	if total > uint64(len(b)) {
		return column{}, nil, false
	}
	c.data = b[:total]
	return c, b[total:], true
}

// check says whether the ends ascend; at and size may be called only if they do.
func (c *column) check() bool {
	last := uint64(0)
	for i := range c.n {
		end := c.end(i)
		if end < last {
			return false
		}
		last = end
	}
	return last == uint64(len(c.data))
}

type columnWriter struct {
	ends []uint64
	data []byte
}

// close ends the entry whose bytes the caller has appended to data.
func (w *columnWriter) close() { w.ends = append(w.ends, uint64(len(w.data))) }

// posting returns entry i.
func (w *columnWriter) posting(i int) posting {
	from := uint64(0)
	if i > 0 {
		from = w.ends[i-1]
	}
	return w.data[from:w.ends[i]]
}

func (w *columnWriter) reset() { w.ends, w.data = w.ends[:0], w.data[:0] }

func (w *columnWriter) appendTo(dst []byte) []byte {
	switch total := len(w.data); {
	case total <= math.MaxUint8:
		dst = append(dst, 1)
		for _, e := range w.ends {
			dst = append(dst, byte(e))
		}
	case total <= math.MaxUint16:
		dst = append(dst, 2)
		for _, e := range w.ends {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(e))
		}
	case uint64(total) <= math.MaxUint32:
		dst = append(dst, 4)
		for _, e := range w.ends {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(e))
		}
	default:
		dst = append(dst, 8)
		for _, e := range w.ends {
			dst = binary.LittleEndian.AppendUint64(dst, e)
		}
	}
	return append(dst, w.data...)
}
