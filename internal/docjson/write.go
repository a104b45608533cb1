package docjson

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"time"
)

// AppendView appends v as the server returns it (API, section 4), on one line.
// With embeddings every chunk has "embedding", null where it has no vector.
// Strings are taken to be UTF-8, as everything is that Parse has let in.
func AppendView(dst []byte, v *View, embeddings bool) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, v.ID)
	dst = append(dst, `,"library_id":`...)
	dst = AppendString(dst, v.LibraryID)
	dst = append(dst, `,"title":`...)
	dst = AppendString(dst, v.Title)
	dst = append(dst, `,"metadata":`...)
	dst = AppendMetadata(dst, v.Metadata)
	dst = append(dst, `,"chunks":[`...)
	for i := range v.Chunks {
		if i > 0 {
			dst = append(dst, ',')
		}
		c := &v.Chunks[i]
		var vector []byte
		if embeddings && len(c.Vectors) > 0 {
			vector = c.Vectors[0].Raw
		}
		dst = AppendChunk(dst, c.ID, c.Text, c.Metadata, vector, embeddings)
	}
	dst = append(dst, `],"num_chunks":`...)
	dst = strconv.AppendInt(dst, int64(v.NumChunks), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, v.Seq, 10)
	dst = append(dst, `,"created_at":"`...)
	dst = AppendTime(dst, v.CreatedAt)
	dst = append(dst, `","updated_at":"`...)
	dst = AppendTime(dst, v.UpdatedAt)
	return append(dst, '"', '}')
}

// AppendChunk appends a chunk as the server returns it. With embedding it has
// the member "embedding": vector, or null where that is empty.
func AppendChunk(dst []byte, id, text string, metadata, vector []byte, embedding bool) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, id)
	dst = append(dst, `,"text":`...)
	dst = AppendString(dst, text)
	dst = append(dst, `,"metadata":`...)
	dst = AppendMetadata(dst, metadata)
	if embedding {
		dst = append(dst, `,"embedding":`...)
		dst = AppendVector(dst, vector)
	}
	return append(dst, '}')
}

// AppendMetadata appends metadata, {} where it is empty.
func AppendMetadata(dst, metadata []byte) []byte {
	if len(metadata) == 0 {
		return append(dst, '{', '}')
	}
	return append(dst, metadata...)
}

// AppendVector appends the little-endian float32 in raw as an array of numbers
// that give the same float32 when read, -0 and subnormal ones too; null where
// there are none.
func AppendVector(dst, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := 0; i+4 <= len(raw); i += 4 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendFloat(dst, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
	}
	return append(dst, ']')
}

// shortEscapes holds the letter of the escapes of two bytes.
var shortEscapes = [256]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// AppendString appends s as a JSON string. Only what JSON needs is escaped.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		i := plainPrefix(s)
		dst = append(dst, s[:i]...)
		if i == len(s) {
			return append(dst, '"')
		}
		c := s[i]
		if e := shortEscapes[c]; e != 0 {
			dst = append(dst, '\\', e)
		} else {
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[i+1:]
	}
}

// plainPrefix returns how many bytes of s come before the first that is escaped.
func plainPrefix(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		if m := special(w); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return i
}

// AppendTime appends a time in µs since 1970 as RFC 3339 in UTC with
// microseconds: 2006-01-02T15:04:05.000000Z.
func AppendTime(dst []byte, micros int64) []byte {
	const day = 24 * 60 * 60 * 1_000_000
	t := time.UnixMicro(micros).UTC()
	year, month, dayOfMonth := t.Date()
	rest := micros % day
	if rest < 0 {
		rest += day
	}
	seconds, us := int(rest/1_000_000), int(rest%1_000_000)
	dst = append2(dst, year/100)
	dst = append2(dst, year%100)
	dst = append(dst, '-')
	dst = append2(dst, int(month))
	dst = append(dst, '-')
	dst = append2(dst, dayOfMonth)
	dst = append(dst, 'T')
	dst = append2(dst, seconds/3600)
	dst = append(dst, ':')
	dst = append2(dst, seconds/60%60)
	dst = append(dst, ':')
	dst = append2(dst, seconds%60)
	if us != 0 {
		dst = append(dst, '.')
		dst = append2(dst, us/10000)
		dst = append2(dst, us/100%100)
		dst = append2(dst, us%100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'Z')
}

func append2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10%10), byte('0'+n%10))
}
