package filter

import (
	"bytes"
	"encoding/json"
)

// This file walks raw JSON without building anything. It is lenient: it finds
// the ends of values by brackets and quotes, and what it cannot follow ends the
// walk. On valid JSON it agrees with encoding/json (the fuzz test says so).

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// endOfString returns the index after the closing quote of the string that
// begins at i, or -1; plain says that it has no escapes.
func endOfString(b []byte, i int) (end int, plain bool) {
	if i >= len(b) || b[i] != '"' {
		return -1, false
	}
	plain = true
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, plain
		case '\\':
			plain = false
			i++
		}
	}
	return -1, false
}

// endOfValue returns the index after the value that begins at i, or -1.
func endOfValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		end, _ := endOfString(b, i)
		return end
	case '{', '[':
		for depth := 0; i < len(b); i++ {
			switch b[i] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			case '"':
				end, _ := endOfString(b, i)
				if end < 0 {
					return -1
				}
				i = end - 1
			}
		}
		return -1
	}
	from := i
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

// unquote returns the text of the string literal lit. It allocates only where
// there are escapes.
func unquote(lit []byte, plain bool) ([]byte, bool) {
	if plain {
		return lit[1 : len(lit)-1], true
	}
	var s string
	if json.Unmarshal(lit, &s) != nil {
		return nil, false
	}
	return []byte(s), true
}

// members walks the members of an object. next returns the key (unescaped) and
// the raw value; ok is false at the end or where the bytes make no sense.
type members struct {
	b []byte
	i int
}

func walkObject(b []byte) members {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return members{}
	}
	return members{b, i + 1}
}

func (m *members) next() (key, val []byte, ok bool) {
	b := m.b
	i := skipSpace(b, m.i)
	if i < len(b) && b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	end, plain := endOfString(b, i)
	if end < 0 {
		return nil, nil, false
	}
	if key, ok = unquote(b[i:end], plain); !ok {
		return nil, nil, false
	}
	i = skipSpace(b, end)
	if i >= len(b) || b[i] != ':' {
		return nil, nil, false
	}
	i = skipSpace(b, i+1)
	if end = endOfValue(b, i); end < 0 {
		return nil, nil, false
	}
	m.i = end
	return key, b[i:end], true
}

// lookup returns the raw value of the last member of the object named key.
func lookup(object []byte, key string) (val []byte) {
	m := walkObject(object)
	for {
		k, v, ok := m.next()
		if !ok {
			return val
		}
		if string(k) == key {
			val = v
		}
	}
}

// elements walks the elements of an array.
type elements struct {
	b []byte
	i int
}

func walkArray(b []byte) elements { return elements{b, 1} }

func (e *elements) next() (val []byte, ok bool) {
	i := skipSpace(e.b, e.i)
	if i < len(e.b) && e.b[i] == ',' {
		i = skipSpace(e.b, i+1)
	}
	end := endOfValue(e.b, i)
	if end < 0 {
		return nil, false
	}
	e.i = end
	return e.b[i:end], true
}

// scalar is a value under test; text shares the memory of the metadata.
type scalar struct {
	kind Kind
	b    bool
	num  Num
	text []byte
}

// scalarOf reads a raw value; ok is false for objects, arrays and nonsense.
func scalarOf(raw []byte) (s scalar, ok bool) {
	if len(raw) == 0 {
		return s, false
	}
	switch raw[0] {
	case '{', '[':
		return s, false
	case '"':
		end, plain := endOfString(raw, 0)
		if end != len(raw) {
			return s, false
		}
		s.kind = String
		s.text, ok = unquote(raw, plain)
		return s, ok
	case 't':
		return scalar{kind: Bool, b: true}, bytes.Equal(raw, []byte("true"))
	case 'f':
		return scalar{kind: Bool}, bytes.Equal(raw, []byte("false"))
	case 'n':
		return scalar{kind: Null}, bytes.Equal(raw, []byte("null"))
	}
	s.kind = Number
	s.num, _, ok = ParseNum(raw)
	return s, ok
}
