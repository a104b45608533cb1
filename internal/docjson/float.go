package docjson

import (
	"encoding/binary"
	"math"
	"strconv"
)

// A decade says, for a binary exponent, which power of ten scales a value to
// nine digits before the point: k, or k-1 from limit on.
type decade struct {
	limit float64
	k     int
}

// decades is indexed by the biased exponent of a float32 less firstExponent.
var decades = func() (t [18]decade) {
	for i := range t {
		low := math.Float32frombits(uint32(i+firstExponent) << 23)
		k := 8
		for float64(low)*pow10f[k] < 1e8 {
			k++
		}
		t[i] = decade{limit: 1e9 / pow10f[k], k: k}
	}
	return t
}()

const firstExponent = 127 - 14 // 2^-14, below 0.0001; the last is 2^3

// tenth holds 10^-j. Its rounding error is far below what AppendFloat takes as
// unsure.
var tenth = [10]float64{1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9}

// AppendFloat appends the shortest decimal that is read as f, of several the
// nearest to f: what strconv.AppendFloat(dst, f, 'g', -1, 32) appends.
//
// Most elements of vectors lie between 0.0001 and 10. There the value and the
// ends of the interval that rounds to it are scaled to nine digits before the
// point in float64, which is off by less than 10^-6 of the ninth digit; digits
// are dropped as long as the interval holds a number without them. Where an end,
// or a choice between two candidates, is nearer than that error to being decided
// the other way, strconv decides. There is hardly a branch that depends on the
// digits, since the processor would mispredict it.
func AppendFloat(dst []byte, f float32) []byte {
	const unsure = 1e-5
	bits := math.Float32bits(f)
	sign, bits := bits>>31, bits&^(1<<31)
	v := float64(math.Float32frombits(bits))
	// Of a power of two the interval is not symmetric.
	if !(v >= 1e-4 && v < 10) || bits&(1<<23-1) == 0 {
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	d := &decades[bits>>23-firstExponent]
	k := d.k - flag(v >= d.limit)
	m := v * pow10f[k]
	half := (float64(math.Float32frombits(bits+1)) - v) * 0.5 * pow10f[k]
	low, high := m-half, m+half
	l, h := uint64(low)+1, uint64(high)
	toLow, toHigh := low-float64(l-1), high-float64(h)
	// How many digits can be dropped: 0 to 3 as a rule, all but one at most.
	l1, h1 := (l+9)/10, h/10
	l2, h2 := (l+99)/100, h/100
	drop := flag(l1 <= h1) + flag(l2 <= h2)
	if drop == 2 {
		for s := uint64(1000); s < 1e9 && (l+s-1)/s <= h/s; s *= 10 {
			drop++
		}
	}
	x := m * tenth[drop]
	c := uint64(x + 0.5)
	toHalf := x + 0.5 - float64(c)
	full := c * uint64(pow10f[drop])
	if min(toLow, toHigh, toHalf) < unsure || max(toLow, toHigh, toHalf) > 1-unsure || full >= 1e9 {
		return strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	n := len(dst)
	dst = append(dst, "-0.000..................."...)
	n += int(sign)
	first, rest := byte('0'+full/1e8), asciiDigits(full%1e8)
	if k == 8 {
		dst[n] = first
		dst[n+1] = '.'
		binary.LittleEndian.PutUint64(dst[n+2:], rest)
		return dst[:n+10-drop-flag(drop == 8)]
	}
	copy(dst[n:], "0.000")
	n += 2 + k - 9
	dst[n] = first
	binary.LittleEndian.PutUint64(dst[n+1:], rest)
	return dst[:n+9-drop]
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// asciiDigits returns the eight digits of x, the first in the lowest byte.
func asciiDigits(x uint64) uint64 {
	x = x/10_000 | x%10_000<<32
	t := x * 10486 >> 20 & 0x0000007f_0000007f
	x = t | (x-100*t)<<16
	t = x * 103 >> 10 & 0x000f000f_000f000f
	return t | (x-10*t)<<8 | bytes30
}
