package filter

import (
	"math"
	"strconv"
)

// Num is a JSON number in canonical form: numbers of equal value are equal as Go
// values, so a Num can be a map key.
//
// Invariant: Class is ClassInt with the value in the bits of an int64 wherever
// that fits; else ClassUint where a uint64 fits; else ClassFloat, never NaN and
// never an integer that one of the other two could hold.
type Num struct {
	Class NumClass
	Bits  uint64
}

// NumClass says how the bits of a Num are to be read.
type NumClass uint8

const (
	ClassInt   NumClass = iota // int64
	ClassUint                  // uint64 above the range of int64
	ClassFloat                 // float64: a fraction, or outside of both ranges
)

const (
	two63 = float64(1 << 63)
	two64 = float64(1 << 64)
)

// Int returns the canonical form of i.
func Int(i int64) Num { return Num{ClassInt, uint64(i)} }

// Uint returns the canonical form of u.
func Uint(u uint64) Num {
	if u <= math.MaxInt64 {
		return Num{ClassInt, u}
	}
	return Num{ClassUint, u}
}

// Float returns the canonical form of f, which must not be NaN.
func Float(f float64) Num {
	if f == math.Trunc(f) {
		switch {
		case f >= -two63 && f < two63:
			return Int(int64(f))
		case f >= two63 && f < two64:
			return Uint(uint64(f))
		}
	}
	return Num{ClassFloat, math.Float64bits(f)}
}

// Float64 returns the float64 nearest to n.
func (n Num) Float64() float64 {
	switch n.Class {
	case ClassInt:
		return float64(int64(n.Bits))
	case ClassUint:
		return float64(n.Bits)
	}
	return math.Float64frombits(n.Bits)
}

// String writes n as JSON does.
func (n Num) String() string {
	switch n.Class {
	case ClassInt:
		return strconv.FormatInt(int64(n.Bits), 10)
	case ClassUint:
		return strconv.FormatUint(n.Bits, 10)
	}
	return strconv.FormatFloat(n.Float64(), 'g', -1, 64)
}

// Compare returns -1, 0 or 1 as n is below, equal to or above m, exactly.
func (n Num) Compare(m Num) int {
	if n == m {
		return 0
	}
	switch {
	case n.Class == ClassFloat && m.Class == ClassFloat:
		return order(n.Float64() < m.Float64())
	case n.Class == ClassFloat:
		return n.compareToInteger(m)
	case m.Class == ClassFloat:
		return -m.compareToInteger(n)
	case n.Class != m.Class:
		return order(n.Class == ClassInt) // every ClassUint is above every ClassInt
	case n.Class == ClassInt:
		return order(int64(n.Bits) < int64(m.Bits))
	}
	return order(n.Bits < m.Bits)
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

// compareToInteger compares the float n with the integer m. By the invariant n
// is a fraction (then below 2^53 in magnitude) or outside of m's range.
func (n Num) compareToInteger(m Num) int {
	f := n.Float64()
	switch {
	case f >= two64:
		return 1
	case f < -two63:
		return -1
	case m.Class == ClassUint:
		return -1 // a fraction is below 2^53
	}
	return order(int64(math.Floor(f)) < int64(m.Bits))
}

// ParseNum reads a JSON number. Integers that fit int64 or uint64 are exact, all
// others become the nearest float64; beyond its range they are infinite, and
// exact is false. ok is false where lit is no number.
func ParseNum(lit []byte) (n Num, exact, ok bool) {
	if i, ok := parseInt(lit); ok {
		return Int(i), true, true
	}
	if !isNumber(lit) {
		return Num{}, false, false
	}
	if i, err := strconv.ParseInt(string(lit), 10, 64); err == nil {
		return Int(i), true, true
	}
	if u, err := strconv.ParseUint(string(lit), 10, 64); err == nil {
		return Uint(u), true, true
	}
	f, err := strconv.ParseFloat(string(lit), 64)
	return Float(f), err == nil, true
}

// parseInt is the fast path: JSON integers of up to 18 digits.
func parseInt(lit []byte) (int64, bool) {
	d := lit
	neg := len(d) > 0 && d[0] == '-'
	if neg {
		d = d[1:]
	}
	if len(d) == 0 || len(d) > 18 || (d[0] == '0' && len(d) > 1) {
		return 0, false
	}
	var v int64
	for _, c := range d {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

// isNumber reports whether b is a number by the JSON grammar; strconv accepts
// more (hexadecimal, underscores, "inf").
func isNumber(b []byte) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(b)
}
