package attr_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// random makes metadata and filters over few names and values, so that they meet.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 7))} }

func (r random) pick(from ...string) string { return from[r.IntN(len(from))] }

func (r random) key() string {
	return r.pick("a", "b", "c", "a", "b", "a.b", "b.c", "a.b.c", "é", "a\\u002eb", "\\u0061", "$x", "..", ".", "", "a..b", "long.er")
}

func (r random) number() string {
	switch r.IntN(6) {
	case 0:
		return r.pick("0", "-0", "0.0", "0e5", "1", "1.0", "10e-1", "100e-2", "1E0", "2", "2.5", "-1", "-1.0", "25e-1")
	case 1:
		return r.pick("9007199254740992", "9007199254740993", "9007199254740992.0", "9.007199254740992e15",
			"9223372036854775807", "9223372036854775808", "9223372036854775808.0", "18446744073709551615",
			"18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e19", "1e300", "-1e300", "5e-324")
	case 2:
		return r.pick("1e999", "-1e999", "1e400")
	case 3:
		return fmt.Sprint(r.NormFloat64())
	}
	return fmt.Sprint(r.IntN(40) - 5)
}

func (r random) text() string {
	switch r.IntN(4) {
	case 0:
		return r.pick(`""`, `"a"`, `"\u0061"`, `"é"`, `"\u00e9"`, `"\ud83d\ude00"`, `"😀"`, `"\ud83d"`, `"�"`, `"a\nb"`, `"\/"`, `"/"`, `"2024-01-02T00:00:00Z"`)
	case 1:
		return `"` + strings.Repeat("x", r.IntN(3)*1500) + fmt.Sprint(r.IntN(4)) + `"`
	}
	return fmt.Sprintf(`"t%02d"`, r.IntN(40))
}

func (r random) scalar() string {
	switch r.IntN(8) {
	case 0:
		return "null"
	case 1:
		return r.pick("true", "false")
	case 2, 3, 4:
		return r.text()
	}
	return r.number()
}

func (r random) value(depth int) string {
	switch k := r.IntN(10); {
	case depth > 0 && k < 2:
		return r.object(depth - 1)
	case depth > 0 && k < 4:
		var els []string
		for range r.IntN(5) {
			els = append(els, r.value(depth-1))
		}
		return "[" + strings.Join(els, ",") + "]"
	case k == 4 && r.IntN(20) == 0:
		return r.pick("tru", "nul", "01", "+1", `"\x"`, "NaN", "[1,", "{", "1 2")
	}
	return r.scalar()
}

func (r random) object(depth int) string {
	n := r.IntN(6)
	if r.IntN(200) == 0 {
		n = 60
	}
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		if i > 0 {
			b.WriteString(r.pick(",", ", ", " ,\n"))
		}
		key := r.key()
		if n > 20 {
			key = fmt.Sprint("k", r.IntN(n))
		}
		fmt.Fprintf(&b, `"%s"%s%s`, key, r.pick(":", " : "), r.value(depth))
	}
	b.WriteString("}")
	return b.String()
}

// metadata returns an object, mostly; nil, or nonsense.
func (r random) metadata() []byte {
	switch r.IntN(12) {
	case 0:
		return nil
	case 1:
		return []byte("{}")
	case 2:
		b := []byte(r.object(3))
		if r.IntN(2) == 0 {
			return b[:r.IntN(len(b))]
		}
		b[r.IntN(len(b))] = byte(r.IntN(256))
		return b
	}
	return []byte(r.object(3))
}

func (r random) field() string {
	return r.pick("a", "b", "c", "a.b", "b.c", "a.b", "a.b.c", "a.a", "b.b.b", "é", "é.a", "long", "long.er", "k3", "none", "a.$x")
}

// operand returns a scalar that a filter may have: no number out of range.
func (r random) operand() string {
	for {
		if s := r.scalar(); !strings.Contains(s, "e999") && !strings.Contains(s, "e400") {
			return s
		}
	}
}

func (r random) ordered() string {
	for {
		if s := r.operand(); s[0] == '"' || s[0] == '-' || s[0] >= '0' && s[0] <= '9' {
			return s
		}
	}
}

func (r random) list() string {
	n := r.IntN(5)
	if r.IntN(8) == 0 {
		n = 40
	}
	var els []string
	for range n {
		els = append(els, r.operand())
	}
	return "[" + strings.Join(els, ",") + "]"
}

func (r random) conditions(depth int) string {
	ops := []string{"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$contains", "$not"}
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	n := 1 + r.IntN(10)/7
	var parts []string
	for _, op := range ops {
		if len(parts) == n {
			break
		}
		switch op {
		case "$gt", "$gte", "$lt", "$lte":
			parts = append(parts, fmt.Sprintf("%q:%s", op, r.ordered()))
		case "$in", "$nin":
			parts = append(parts, fmt.Sprintf("%q:%s", op, r.list()))
		case "$exists":
			parts = append(parts, `"$exists":`+r.pick("true", "false"))
		case "$not":
			if depth > 0 {
				parts = append(parts, `"$not":`+r.conditions(depth-1))
			}
		default:
			parts = append(parts, fmt.Sprintf("%q:%s", op, r.operand()))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (r random) filter(depth int) string {
	seen := map[string]bool{}
	var parts []string
	for range 1 + r.IntN(10)/8 {
		k := r.IntN(10)
		key, val := r.field(), ""
		switch {
		case depth > 0 && k < 2:
			key = r.pick("$and", "$or")
			var kids []string
			for range 1 + r.IntN(3) {
				kids = append(kids, r.filter(depth-1))
			}
			val = "[" + strings.Join(kids, ",") + "]"
		case depth > 0 && k < 4:
			key, val = "$not", r.filter(depth-1)
		case k == 4:
			val = r.operand()
		default:
			val = r.conditions(2)
		}
		if !seen[key] {
			seen[key] = true
			parts = append(parts, fmt.Sprintf("%q:%s", key, val))
		}
	}
	if r.IntN(60) == 0 {
		return "{}"
	}
	return "{" + strings.Join(parts, ",") + "}"
}
