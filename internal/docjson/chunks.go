package docjson

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/arrwdb/arrwdb/change"
)

func (p *parser) chunks() bool {
	if p.here() != '[' {
		return p.wrongType("chunks", "it must be an array of chunks")
	}
	p.i++
	for first := true; p.element(first); first = false {
		if !p.oneChunk() {
			return false
		}
	}
	p.chunk = -1
	return p.err == nil
}

func (p *parser) grow() bool {
	if len(p.doc.Chunks) >= p.lim.Chunks {
		return p.fail(change.Errorf(change.TooLarge, "more than %d chunks in a document", p.lim.Chunks).With("limit", p.lim.Chunks))
	}
	p.doc.Chunks = append(p.doc.Chunks, change.Chunk{})
	return true
}

func (p *parser) oneChunk() bool {
	if !p.grow() {
		return false
	}
	p.chunk = len(p.doc.Chunks) - 1
	if p.here() != '{' {
		return p.wrongType("", `it must be an object such as {"text":"…"}`)
	}
	p.openObject()
	ch := &p.doc.Chunks[p.chunk]
	var given, set uint8
	for first := true; ; first = false {
		name, ok := p.key(first)
		if !ok {
			break
		}
		field := chunkField(name)
		if field < 0 {
			return p.unknown(name, chunkFields)
		}
		bit := uint8(1) << field
		if given&bit != 0 {
			return p.twice(chunkFields[field])
		}
		given |= bit
		if p.null() {
			continue
		}
		set |= bit
		switch field {
		case cID:
			ch.ID, ok = p.id("id")
		case cText:
			ch.Text, ok = p.text("text")
		case cEmbedding:
			ok = p.embedding()
		case cMetadata:
			ch.Metadata, ok = p.metadata("metadata")
		}
		if !ok {
			return false
		}
	}
	if p.err == nil && set&(1<<cText|1<<cEmbedding) == 0 {
		p.fail(change.BadField(p.path(""), `a chunk has a "text", an "embedding" or both`))
	}
	return p.err == nil
}

func (p *parser) texts() bool {
	if p.here() != '[' {
		return p.wrongType("texts", "it must be an array of strings")
	}
	p.i++
	for first := true; p.element(first); first = false {
		if !p.grow() {
			return false
		}
		n := len(p.doc.Chunks) - 1
		if p.here() != '"' {
			return p.wrongType(fmt.Sprintf("texts[%d]", n), "it must be a string")
		}
		b, ok := p.bytes()
		if !ok {
			return false
		}
		p.doc.Chunks[n].Text = aliasString(b)
	}
	return p.err == nil
}

// embedding reads an array of numbers to the end of floats. Outside of chunks it
// belongs to the chunk 0 that content makes.
func (p *parser) embedding() bool {
	src := p.src
	if p.i >= len(src) || src[p.i] != '[' {
		return p.wrongType("embedding", "it must be an array of numbers")
	}
	i := p.i + 1
	start := len(p.floats)
	out := p.floats
	for {
		if i < len(src) && src[i] <= ' ' {
			p.i = i
			p.skipSpace()
			i = p.i
		}
		f, next, fault := parseFloat(src, i)
		if fault != numOK {
			p.floats = out
			return p.badElement(i, next, (len(out)-start)/4, fault)
		}
		i = next
		if cap(out)-len(out) < 4 {
			out = append(make([]byte, 0, max(2*cap(out), 512)), out...)
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
		if i < len(src) && src[i] == ',' {
			i++
			continue
		}
		p.i = i
		if c := p.peek(); c == ']' {
			p.i++
			break
		} else if c != ',' {
			p.floats = out
			return p.unexpected(", or ]")
		}
		i = p.i + 1
	}
	p.floats = out
	if n := (len(out) - start) / 4; n > p.lim.Dimension {
		return p.fail(change.Errorf(change.TooLarge, "%s has %d elements, more than %d", p.path("embedding"), n, p.lim.Dimension).With("limit", p.lim.Dimension))
	}
	p.spans = append(p.spans, span{max(p.chunk, 0), start, len(out)})
	return true
}

func (p *parser) badElement(at, next, n int, fault numFault) bool {
	p.i = at
	switch {
	case fault == numTooHigh:
		return p.fail(change.BadField(p.path(fmt.Sprintf("embedding[%d]", n)), "%s is outside of what a float32 holds (±3.4e38)", p.src[at:next]))
	case n == 0 && p.peek() == ']':
		return p.fail(change.BadField(p.path("embedding"), "an embedding has one or more elements"))
	case p.kind() == "" || p.kind() == "a number":
		return p.badNumber(next)
	}
	return p.wrongType(fmt.Sprintf("embedding[%d]", n), "it must be a number")
}
