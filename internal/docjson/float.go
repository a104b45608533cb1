package docjson

import (
	"math"
	"strconv"
)

// AppendFloat appends the shortest decimal that is read as f, of several the
// nearest to f: what strconv.AppendFloat(dst, f, 'g', -1, 32) appends.
//
// Most elements of vectors lie between 0.0001 and 10. There the value and the
// ends of the interval that rounds to it are scaled to nine digits before the
// point in float64, which is off by less than 10^-6 of the ninth digit; digits
// are dropped as long as the interval holds a number without them. Where an end,
// or a choice between two candidates, is nearer than that error to being decided
// the other way, strconv decides.
func AppendFloat(dst []byte, f float32) []byte {
	v := float64(f)
	if v < 0 {
		v = -v
	}
	var k int
	switch {
	case !(v >= 1e-4 && v < 10):
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	case v >= 1:
		k = 8
	case v >= 0.1:
		k = 9
	case v >= 0.01:
		k = 10
	case v >= 0.001:
		k = 11
	default:
		k = 12
	}
	bits := math.Float32bits(float32(v))
	if bits&(1<<23-1) == 0 { // a power of two: the interval is not symmetric
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	half := float64(math.Float32frombits(bits+1)) - v
	half *= 0.5 * pow10f[k]
	m := v * pow10f[k]
	const unsure = 1e-5
	low, high := m-half, m+half
	l, h := uint64(low)+1, uint64(high)
	if d := low - float64(l-1); d < unsure || d > 1-unsure {
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	if d := high - float64(h); d < unsure || d > 1-unsure {
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	digits, scale := 9, uint64(1) // v < 10^digits·10^-k
	for {
		l10, h10 := (l+9)/10, h/10
		if l10 > h10 {
			break
		}
		l, h = l10, h10
		scale *= 10
		digits--
	}
	x := m / float64(scale)
	c := uint64(x + 0.5)
	if d := x - math.Floor(x); d > 0.5-unsure && d < 0.5+unsure {
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	c = min(max(c, l), h)
	if c >= uint64(pow10f[digits]) { // 9.99… became 10: one place more
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	return appendDecimal(dst, c, digits, k)
}

// appendDecimal appends a number of the given digits: one before the point where
// k is 8, else k-9 zeros and all of them after it.
func appendDecimal(dst []byte, c uint64, digits, k int) []byte {
	if k == 8 {
		if digits == 1 {
			return append(dst, byte('0'+c))
		}
		dst = append(dst, 0, '.')
	} else {
		dst = append(dst, "0.000"[:2+k-9]...)
	}
	at := len(dst)
	n := digits
	if k == 8 {
		n--
	}
	dst = append(dst, "000000000"[:n]...)
	for i := at + n - 1; i >= at; i-- {
		dst[i] = byte('0' + c%10)
		c /= 10
	}
	if k == 8 {
		dst[at-2] = byte('0' + c)
	}
	return dst
}
