package flat

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"unsafe"
)

// An extent's bytes, all numbers little-endian. DESIGN.md has the same picture.
//
//	 0  magic "arrwflat"
//	 8  u16 version
//	10  u8 metric, u8 zero
//	12  u32 dimension
//	16  u32 slots of an extent
//	20  u32 number of the extent
//	24  u16 bit i: chunk i has rows; u16 zero; u32 zero
//	32  for each chunk that has rows: s, g and r as float32 for each of its slots,
//	    then the codes
//	end u32 CRC-32C of everything before
const (
	extentMagic   = "arrwflat"
	extentVersion = 1 // history: 1 first
	extentHeader  = 32
	extentChunks  = ExtentSlots / chunkSlots
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A FormatError says why bytes are not an extent of this index. Where Newer is true
// a later version of the program wrote them; they are not damaged.
type FormatError struct {
	Extent int
	Newer  bool
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("flat: extent %d: %s", e.Extent, e.Reason)
}

// FullExtents implements [index.Extents].
func (x *Index) FullExtents() int { return int(x.next.Load() / ExtentSlots) }

// AppendExtent implements [index.Extents].
func (x *Index) AppendExtent(dst []byte, i int) []byte {
	if i < 0 || i >= x.FullExtents() {
		panic(fmt.Sprintf("flat: extent %d of %d full ones", i, x.FullExtents()))
	}
	start := len(dst)
	var present uint16
	for n := range extentChunks {
		if x.chunk(i*extentChunks+n) != nil {
			present |= 1 << n
		}
	}
	dst = x.appendHeader(dst, i, present)
	for n := range extentChunks {
		c := x.chunk(i*extentChunks + n)
		if c == nil {
			continue
		}
		for _, numbers := range [][]float32{c.s, c.g, c.r} {
			for _, v := range numbers {
				dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
			}
		}
		dst = append(dst, asBytes(c.codes)...)
	}
	runtime.KeepAlive(x)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func (x *Index) appendHeader(dst []byte, i int, present uint16) []byte {
	le := binary.LittleEndian
	dst = append(dst, extentMagic...)
	dst = le.AppendUint16(dst, extentVersion)
	dst = append(dst, byte(x.metric), 0)
	dst = le.AppendUint32(dst, uint32(x.dim))
	dst = le.AppendUint32(dst, ExtentSlots)
	dst = le.AppendUint32(dst, uint32(i))
	dst = le.AppendUint16(dst, present)
	return append(dst, 0, 0, 0, 0, 0, 0)
}

// LoadExtent implements [index.Extents].
func (x *Index) LoadExtent(i int, b []byte) error {
	if next := x.next.Load(); i < 0 || uint64(next) != uint64(i)*ExtentSlots {
		return fmt.Errorf("flat: extent %d cannot be loaded after slot %d", i, next)
	}
	present, err := x.checkExtent(i, b)
	if err != nil {
		return err
	}
	b = b[extentHeader:]
	for n := range extentChunks {
		if present>>n&1 == 0 {
			continue
		}
		c := x.grow(i*extentChunks+n, chunkSlots)
		for _, numbers := range [][]float32{c.s, c.g, c.r} {
			for j := range numbers {
				numbers[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
			}
			b = b[4*chunkSlots:]
		}
		copy(asBytes(c.codes), b)
		b = b[len(c.codes):]
	}
	x.next.Store(uint32(i+1) * ExtentSlots)
	return nil
}

// checkExtent returns which chunks are present.
func (x *Index) checkExtent(i int, b []byte) (present uint16, err error) {
	le := binary.LittleEndian
	bad := func(format string, args ...any) (uint16, error) {
		return 0, &FormatError{Extent: i, Reason: fmt.Sprintf(format, args...)}
	}
	if len(b) < extentHeader+4 || string(b[:8]) != extentMagic {
		return bad("these %d bytes do not begin like one", len(b))
	}
	if v := le.Uint16(b[8:]); v > extentVersion {
		return 0, &FormatError{i, true, fmt.Sprintf("newer format %d; this program reads up to %d", v, extentVersion)}
	} else if v == 0 {
		return bad("format 0")
	}
	body := b[:len(b)-4]
	if got, want := crc32.Checksum(body, castagnoli), le.Uint32(b[len(body):]); got != want {
		return bad("checksum %08x, written was %08x", got, want)
	}
	if b[10] != byte(x.metric) || b[11] != 0 {
		return bad("metric %d, the index has %d", b[10], x.metric)
	}
	for _, f := range []struct {
		name string
		at   int
		want uint32
	}{{"dimension", 12, uint32(x.dim)}, {"extent size", 16, ExtentSlots}, {"number", 20, uint32(i)}, {"reserved part", 28, 0}} {
		if got := le.Uint32(b[f.at:]); got != f.want {
			return bad("%s %d, must be %d", f.name, got, f.want)
		}
	}
	present = le.Uint16(b[24:])
	size := extentHeader
	for n := range extentChunks {
		size += int(present>>n&1) * chunkSlots * (12 + x.dim)
	}
	if len(body) != size || le.Uint16(b[26:]) != 0 {
		return bad("%d bytes, must be %d", len(b), size+4)
	}
	return present, nil
}

// asBytes returns codes as the bytes that they are.
func asBytes(codes []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes))
}
