package docjson

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// numFault says what is wrong with a number.
type numFault uint8

const (
	numOK      numFault = iota
	numSyntax           // not a JSON number; the returned place is where it stops being one
	numTooHigh          // a JSON number outside of float32
)

var pow10u = [9]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// pow10f holds the powers of ten that a float64 holds exactly.
var pow10f = [23]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

const (
	bytes30 = 0x3030303030303030
	bytes7f = 0x7f7f7f7f7f7f7f7f
	bytes76 = 0x7676767676767676
	bytes80 = 0x8080808080808080
	bytes01 = 0x0101010101010101

	// maxDigits significant digits are kept; 10^18 fits into an int64.
	maxDigits = 18
)

// eightDigits returns the number that eight digits make, the first in the lowest
// byte of x; each byte of x is a digit's value.
func eightDigits(x uint64) uint64 {
	x = (x*10 + x>>8) & 0x00ff00ff00ff00ff
	x = (x*100 + x>>16) & 0x0000ffff0000ffff
	return (x*10000 + x>>32) & 0xffffffff
}

// parseFloat reads the JSON number at src[i:] as the float32 that
// strconv.ParseFloat(s, 32) returns, and returns the place after it.
//
// Eight digits are taken at a time. The decimal w × 10^e, of which at most
// maxDigits digits are kept, is computed in float64 with at most four roundings
// (w, two scalings, the digits left out), so that the result d differs from the
// true value by less than 4 units in the last place of a float64. Rounding d to
// float32 can then only differ from rounding the true value where a midpoint
// between two float32 lies between them; midpoints have the low 29 bits of a
// float64's significand equal to 2^28, and d within 8 units of that, which is 1
// number in 30 million, goes to strconv. So does what is subnormal or near the
// end of float32's range.
func parseFloat(src []byte, i int) (f float32, next int, fault numFault) {
	start := i
	var sign uint32
	if i < len(src) && src[i] == '-' {
		sign = 1 << 31
		i++
	}
	if i >= len(src) {
		return 0, i, numSyntax
	}
	c := src[i] - '0'
	if c > 9 {
		return 0, i, numSyntax
	}
	i++
	w, digits, exp := uint64(c), 1, 0
	if c == 0 {
		digits = 0
		if i < len(src) && src[i]-'0' <= 9 {
			return 0, i, numSyntax
		}
	} else {
		for i < len(src) {
			c = src[i] - '0'
			if c > 9 {
				break
			}
			if digits < maxDigits {
				w = w*10 + uint64(c)
				digits++
			} else {
				exp++
			}
			i++
		}
	}
	if i < len(src) && src[i] == '.' {
		i++
		fraction := i
		if w == 0 {
			for i < len(src) && src[i] == '0' {
				i++
			}
			exp = fraction - i
		}
		for digits <= maxDigits-8 && i+8 <= len(src) {
			x := binary.LittleEndian.Uint64(src[i:]) ^ bytes30
			m := ((x & bytes7f) + bytes76 | x) & bytes80
			if m != 0 {
				n := bits.TrailingZeros64(m) >> 3
				w = w*pow10u[n&7] + eightDigits(x<<(64-8*uint(n)))
				i += n
				exp -= n
				goto fractionDone
			}
			w = w*1e8 + eightDigits(x)
			i += 8
			digits += 8
			exp -= 8
		}
		for i < len(src) {
			c = src[i] - '0'
			if c > 9 {
				break
			}
			if digits < maxDigits {
				w = w*10 + uint64(c)
				digits++
				exp--
			}
			i++
		}
	fractionDone:
		if i == fraction {
			return 0, i, numSyntax
		}
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		var ok bool
		var e int
		if e, i, ok = exponent(src, i+1); !ok {
			return 0, i, numSyntax
		}
		exp += e
	}
	if w == 0 {
		return math.Float32frombits(sign), i, numOK
	}
	d := float64(int64(w))
	switch {
	case exp == 0:
	case exp < 0 && exp >= -22:
		d /= pow10f[-exp]
	case exp > 0 && exp <= 22:
		d *= pow10f[exp]
	case exp < 0 && exp >= -44:
		d = d / 1e22 / pow10f[-exp-22]
	default:
		return slowFloat(src[start:i], i)
	}
	b := math.Float64bits(d)
	if low := b & (1<<29 - 1); low-(1<<28-8) <= 16 || d < 0x1.00001p-126 || d > 0x1.fffffp127 {
		return slowFloat(src[start:i], i)
	}
	return math.Float32frombits(math.Float32bits(float32(d)) | sign), i, numOK
}

func slowFloat(number []byte, next int) (float32, int, numFault) {
	f, err := strconv.ParseFloat(unsafe.String(&number[0], len(number)), 32)
	if err != nil {
		return 0, next, numTooHigh
	}
	return float32(f), next, numOK
}

// exponent reads the exponent after the e of a number. What is beyond ±100,000
// is cut off there: no number of digits that fits in memory makes up for it.
func exponent(src []byte, i int) (e, next int, ok bool) {
	neg := false
	if i < len(src) && (src[i] == '+' || src[i] == '-') {
		neg = src[i] == '-'
		i++
	}
	first := i
	for i < len(src) {
		c := src[i] - '0'
		if c > 9 {
			break
		}
		if e < 100_000 {
			e = e*10 + int(c)
		}
		i++
	}
	if i == first {
		return 0, i, false
	}
	if neg {
		e = -e
	}
	return e, i, true
}

// scanNumber returns the place after the JSON number at src[i:], or where it
// stops being one.
func scanNumber(src []byte, i int) (next int, ok bool) {
	if i < len(src) && src[i] == '-' {
		i++
	}
	if i >= len(src) || src[i]-'0' > 9 {
		return i, false
	}
	if src[i] == '0' {
		i++
	} else {
		i = scanDigits(src, i)
	}
	if i < len(src) && src[i]-'0' <= 9 {
		return i, false
	}
	if i < len(src) && src[i] == '.' {
		first := i + 1
		if i = scanDigits(src, first); i == first {
			return i, false
		}
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		_, i, ok = exponent(src, i+1)
		return i, ok
	}
	return i, true
}

func scanDigits(src []byte, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
}
