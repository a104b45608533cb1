package docjson

import (
	"bytes"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
)

// A scanner walks over JSON text. After the first fault it stays where it is and
// keeps the error.
type scanner struct {
	src   []byte
	i     int
	err   *change.Error
	space bool     // white space was passed over
	arena []byte   // where decoded strings and compacted values go
	keys  [][]byte // keys of the open objects, the innermost last
}

// manyKeys is the number of members from which on an object's keys are kept in a
// map; below it, comparing with each is faster.
const manyKeys = 32

func (p *scanner) syntax(at int, format string, args ...any) bool {
	if p.err == nil {
		p.err = change.Errorf(change.InvalidJSON, "at byte %d: %s", at, fmt.Sprintf(format, args...)).With("offset", at)
	}
	return false
}

func (p *scanner) fail(err *change.Error) bool {
	if p.err == nil {
		p.err = err
	}
	return false
}

// unexpected reports the byte at which p stands.
func (p *scanner) unexpected(want string) bool {
	if p.i >= len(p.src) {
		return p.syntax(p.i, "the text ends where %s should be", want)
	}
	rest := p.src[p.i:]
	for _, word := range []string{"NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "Inf", "-Inf", "-nan", "-NaN"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return p.syntax(p.i, "%s is not JSON: numbers are finite decimals such as -0.25 or 1e-3", word)
		}
	}
	if bytes.HasPrefix(rest, []byte("\xef\xbb\xbf")) {
		return p.syntax(p.i, "a byte order mark where %s should be: send UTF-8 without it", want)
	}
	return p.syntax(p.i, "%q where %s should be", rest[:1], want)
}

func (p *scanner) skipSpace() {
	for p.i < len(p.src) {
		switch p.src[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
			p.space = true
		default:
			return
		}
	}
}

// peek passes over white space and returns the next byte, 0 at the end.
func (p *scanner) peek() byte {
	if p.i < len(p.src) && p.src[p.i] > ' ' {
		return p.src[p.i]
	}
	p.skipSpace()
	if p.i < len(p.src) {
		return p.src[p.i]
	}
	return 0
}

// here returns the byte at which p stands, 0 at the end.
func (p *scanner) here() byte {
	if p.i < len(p.src) {
		return p.src[p.i]
	}
	return 0
}

// end checks that nothing but white space follows.
func (p *scanner) end() bool {
	if p.peek(); p.i < len(p.src) {
		return p.syntax(p.i, "%q after the end of the JSON value", p.src[p.i:p.i+1])
	}
	return true
}

// raw passes over the string at which p stands and returns its content as it is
// written.
func (p *scanner) raw() (content []byte, escaped, ok bool) {
	if p.i >= len(p.src) || p.src[p.i] != '"' {
		return nil, false, p.unexpected("a string")
	}
	start := p.i + 1
	end, escaped, fault := scanString(p.src, start)
	switch fault {
	case strOK:
		p.i = end + 1
		return p.src[start:end], escaped, true
	case strOpen:
		p.syntax(end, "this string has no end")
	case strControl:
		p.syntax(end, "control character %#02x in a string: write it as \\u%04x", p.src[end], p.src[end])
	case strEscape:
		p.syntax(end, "bad escape in a string: right are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hexadecimal digits")
	case strUTF8:
		p.syntax(end, "not UTF-8")
	}
	return nil, false, false
}

// bytes passes over the string at which p stands and returns its meaning, which
// is a part of src or of the arena.
func (p *scanner) bytes() ([]byte, bool) {
	content, escaped, ok := p.raw()
	if ok && escaped {
		dst := p.room(len(content))
		content = appendUnescaped(dst, content)
		p.arena = p.arena[:len(p.arena)+len(content)]
	}
	return content, ok
}

// room returns an empty slice with space for n bytes at the end of the arena. No
// byte moves that was given out before.
func (p *scanner) room(n int) []byte {
	if cap(p.arena)-len(p.arena) < n {
		p.arena = make([]byte, 0, max(2*cap(p.arena), n, 512))
	}
	l := len(p.arena)
	return p.arena[l:l:cap(p.arena)]
}

// openObject passes over the '{' at which p stands.
func (p *scanner) openObject() { p.i++ }

// key passes over what is before the value of the next member of an object and
// returns the member's name. At the end of the object it returns false.
func (p *scanner) key(first bool) ([]byte, bool) {
	switch c := p.peek(); {
	case c == '}':
		p.i++
		return nil, false
	case first && c == '"':
	case first:
		return nil, p.unexpected("a member or }")
	case c == ',':
		p.i++
		if p.peek() != '"' {
			return nil, p.unexpected("a member's name in quotes")
		}
	default:
		return nil, p.unexpected(", or }")
	}
	name, ok := p.bytes()
	if !ok {
		return nil, false
	}
	if p.peek() != ':' {
		return nil, p.unexpected(":")
	}
	p.i++
	p.peek()
	return name, true
}

// element passes over what is before the next element of an array; false at the
// end of the array.
func (p *scanner) element(first bool) bool {
	switch c := p.peek(); {
	case c == ']':
		p.i++
		return false
	case first:
		return true
	case c == ',':
		p.i++
		p.peek()
		return true
	default:
		return p.unexpected(", or ]")
	}
}

// null passes over a null, if there is one.
func (p *scanner) null() bool {
	if p.i < len(p.src) && p.src[p.i] == 'n' && bytes.HasPrefix(p.src[p.i:], []byte("null")) {
		p.i += 4
		return true
	}
	return false
}

// kind names the kind of the value at which p stands; "" where none begins.
func (p *scanner) kind() string {
	if p.i >= len(p.src) {
		return ""
	}
	rest := p.src[p.i:]
	switch c := rest[0]; {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case bytes.HasPrefix(rest, []byte("true")), bytes.HasPrefix(rest, []byte("false")):
		return "a boolean"
	case bytes.HasPrefix(rest, []byte("null")):
		return "null"
	case c-'0' <= 9, c == '-' && len(rest) > 1 && rest[1]-'0' <= 9:
		return "a number"
	}
	return ""
}

// value checks and passes over any value.
func (p *scanner) value(depth int) bool {
	if p.i >= len(p.src) {
		return p.unexpected("a value")
	}
	switch c := p.src[p.i]; c {
	case '"':
		_, _, ok := p.raw()
		return ok
	case '{':
		return p.object(depth)
	case '[':
		if depth >= MaxDepth {
			return p.tooDeep()
		}
		p.i++
		for first := true; p.element(first); first = false {
			if !p.value(depth + 1) {
				return false
			}
		}
		return p.err == nil
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	default:
		if c != '-' && c-'0' > 9 {
			return p.unexpected("a value")
		}
		next, ok := scanNumber(p.src, p.i)
		if !ok {
			return p.badNumber(next)
		}
		p.i = next
		return true
	}
}

func (p *scanner) badNumber(at int) bool {
	if at < len(p.src) && (p.src[at] == 'I' || p.src[at] == 'i' || p.src[at] == 'N' || p.src[at] == 'n') {
		return p.unexpected("a number")
	}
	return p.syntax(at, "this number is not written as JSON asks: right are -0.25, 12 or 1e-3")
}

func (p *scanner) literal(word string) bool {
	if !bytes.HasPrefix(p.src[p.i:], []byte(word)) {
		return p.unexpected("a value")
	}
	p.i += len(word)
	return true
}

func (p *scanner) tooDeep() bool {
	return p.fail(change.Errorf(change.InvalidArgument, "at byte %d: nested more than %d deep", p.i, MaxDepth))
}

// object checks and passes over an object; no two members may have one name.
func (p *scanner) object(depth int) bool {
	if depth >= MaxDepth {
		return p.tooDeep()
	}
	p.i++
	base := len(p.keys)
	var many map[string]struct{}
	for first := true; ; first = false {
		at := p.i
		name, ok := p.key(first)
		if !ok {
			break
		}
		if p.seen(name, base, &many) {
			return p.fail(change.Errorf(change.InvalidArgument, "near byte %d: an object names the member %q twice", at, name))
		}
		p.keys = append(p.keys, name)
		if !p.value(depth + 1) {
			return false
		}
	}
	p.keys = p.keys[:base]
	return p.err == nil
}

// seen reports whether name is among the keys from base on.
func (p *scanner) seen(name []byte, base int, many *map[string]struct{}) bool {
	keys := p.keys[base:]
	if len(keys) < manyKeys {
		for _, k := range keys {
			if len(k) == len(name) && bytes.Equal(k, name) {
				return true
			}
		}
		return false
	}
	if *many == nil {
		*many = make(map[string]struct{}, 4*manyKeys)
		for _, k := range keys {
			(*many)[string(k)] = struct{}{}
		}
	}
	if _, ok := (*many)[string(name)]; ok {
		return true
	}
	(*many)[string(name)] = struct{}{}
	return false
}

// compact returns the value that lies in raw, which value has checked, without
// white space: raw itself, or a copy in the arena.
func (p *scanner) compact(raw []byte, space bool) []byte {
	if !space {
		return raw
	}
	dst := appendCompact(p.room(len(raw)), raw)
	p.arena = p.arena[:len(p.arena)+len(dst)]
	return dst[:len(dst):len(dst)]
}

func appendCompact(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch raw[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end, _, _ := scanString(raw, i+1)
			dst = append(dst, raw[i:end+1]...)
			i = end + 1
		default:
			dst = append(dst, raw[i])
			i++
		}
	}
	return dst
}
