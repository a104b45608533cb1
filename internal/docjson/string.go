package docjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// strFault says what is wrong with a string.
type strFault uint8

const (
	strOK strFault = iota
	strOpen
	strControl
	strEscape
	strUTF8
)

const (
	bytes20 = 0x2020202020202020
	bytes22 = 0x2222222222222222
	bytes5c = 0x5c5c5c5c5c5c5c5c
)

// special marks, in the high bit of each byte, the bytes of w that are '"', '\\'
// or below 0x20. Only the lowest mark is to be trusted: above it a borrow may
// mark others.
func special(w uint64) uint64 {
	q, s := w^bytes22, w^bytes5c
	return ((q-bytes01)&^q | (s-bytes01)&^s | (w-bytes20)&^w) & bytes80
}

// scanString looks at the string whose content begins at src[i]. It returns the
// place of the closing quote and whether there are escapes in it; on a fault the
// place of the fault.
func scanString(src []byte, i int) (end int, escaped bool, fault strFault) {
	start := i
	var high uint64
	for {
		for i+8 <= len(src) {
			w := binary.LittleEndian.Uint64(src[i:])
			high |= w
			if m := special(w); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				goto found
			}
			i += 8
		}
		for i < len(src) && src[i] != '"' && src[i] != '\\' && src[i] >= 0x20 {
			high |= uint64(src[i])
			i++
		}
		if i >= len(src) {
			return start - 1, false, strOpen
		}
	found:
		switch c := src[i]; {
		case c == '"':
			if high&bytes80 != 0 && !utf8.Valid(src[start:i]) {
				return badUTF8(src, start), false, strUTF8
			}
			return i, escaped, strOK
		case c < 0x20:
			return i, false, strControl
		}
		escaped = true
		n := escapeLength(src[i:])
		if n == 0 {
			return i, false, strEscape
		}
		i += n
	}
}

// escapeLength returns the length of the escape at the beginning of b, 0 where
// it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:]) >= 0 {
			return 6
		}
	}
	return 0
}

func badUTF8(src []byte, i int) int {
	for i < len(src) {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		i += n
	}
	return i
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendUnescaped appends the meaning of a string's content, whose escapes
// scanString has checked. A surrogate without its other half becomes U+FFFD.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			j := i + 1
			for j < len(s) && s[j] != '\\' {
				j++
			}
			dst = append(dst, s[i:j]...)
			i = j
			continue
		}
		switch s[i+1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				if i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
					if pair := utf16.DecodeRune(r, hex4(s[i+2:])); pair != utf8.RuneError {
						dst = utf8.AppendRune(dst, pair)
						i += 6
						continue
					}
				}
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default: // '"', '\\', '/'
			dst = append(dst, s[i+1])
		}
		i += 2
	}
	return dst
}

// aliasString returns b as a string without copying.
func aliasString(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
