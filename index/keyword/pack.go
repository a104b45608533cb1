package keyword

import "encoding/binary"

// pack appends 128 values of the given number of bits, the lowest bits first: 16
// bytes a bit.
func pack(b []byte, values *[blockLen]uint32, bits uint) []byte {
	var acc uint64
	var n uint
	for _, v := range values {
		acc |= uint64(v) << n
		if n += bits; n >= 32 {
			b = binary.LittleEndian.AppendUint32(b, uint32(acc))
			acc >>= 32
			n -= 32
		}
	}
	return b
}

// unpack reads what pack has written. At least 8 bytes follow in b.
func unpack(values *[blockLen]uint32, b []byte, bits uint) {
	switch {
	case bits == 0:
		clear(values[:])
	case bits <= 8:
		unpackBytes(values, b, bits)
	default:
		mask := uint64(1)<<bits - 1
		at := uint(0)
		for i := range values {
			values[i] = uint32(binary.LittleEndian.Uint64(b[at>>3:]) >> (at & 7) & mask)
			at += bits
		}
	}
}

// unpackBytes unpacks values of at most 8 bits: 8 of them are as many bytes as one
// has bits.
func unpackBytes(values *[blockLen]uint32, b []byte, bits uint) {
	mask := uint64(1)<<bits - 1
	for i := 0; i < blockLen; i += 8 {
		v := binary.LittleEndian.Uint64(b)
		b = b[bits:]
		out := values[i : i+8 : i+8]
		out[0] = uint32(v & mask)
		v >>= bits & 63
		out[1] = uint32(v & mask)
		v >>= bits & 63
		out[2] = uint32(v & mask)
		v >>= bits & 63
		out[3] = uint32(v & mask)
		v >>= bits & 63
		out[4] = uint32(v & mask)
		v >>= bits & 63
		out[5] = uint32(v & mask)
		v >>= bits & 63
		out[6] = uint32(v & mask)
		v >>= bits & 63
		out[7] = uint32(v & mask)
	}
}
