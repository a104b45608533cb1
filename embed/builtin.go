package embed

import (
	"context"
	"math"
	"strings"
)

// Dimension of the built-in model's vectors.
const builtinDimension = 100

// hashNorm is the length of the vector of a word that the model does not know:
// about that of its rarest words, so that such a word counts like one of them.
const hashNorm = 4

// A builtin is the built-in model. It has no state: any number of goroutines may
// use one.
type builtin struct{ t *table }

// Builtin returns the built-in model. The first call takes some 10 ms.
func Builtin() Model { return builtin{builtinTable()} }

func (builtin) Info() Info {
	return Info{Provider: ProviderBuiltin, Model: builtinModel, Hash: builtinHash(), Dimension: builtinDimension}
}

func (b builtin) Embed(_ context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	all := make([]float32, len(texts)*b.t.dim)
	e := encoder{t: b.t, sum: make([]float32, b.t.dim)}
	for i, text := range texts {
		out[i] = all[i*b.t.dim : (i+1)*b.t.dim : (i+1)*b.t.dim]
		e.text(text, out[i])
	}
	return out, nil
}

// An encoder works out the vectors of one text after the other.
//
// Every product is rounded by itself (float32(a*b)), so that processors with a
// fused multiply-add give the same bits as others: a vector is part of the data.
type encoder struct {
	t     *table
	sum   []float32
	total float32
	buf   []byte
}

// text writes the vector of a text, of length 1, to out.
func (e *encoder) text(text string, out []float32) {
	clear(e.sum)
	e.total = 0
	e.buf = eachToken(text, e.buf, e.token)
	if e.total == 0 {
		// No word at all. Its vector says nothing, and equals that of the same text.
		e.unknown(strings.ToLower(strings.TrimSpace(text)))
	}
	norm := 0.0
	for i, s := range e.sum {
		v := float32(s/e.total) - e.t.mean[i]
		out[i] = v
		norm += float64(v) * float64(v)
	}
	if norm == 0 { // the mean itself, which no text is
		out[0], norm = 1, 1
	}
	scale := float32(1 / math.Sqrt(norm))
	for i := range out {
		out[i] = float32(out[i] * scale)
	}
}

func (e *encoder) token(word []byte) {
	if i, ok := e.t.index[string(word)]; ok {
		e.add(i)
		return
	}
	e.derived(string(word))
}

// derived adds a word that is not in the table, as its parts, as what it is a
// form of, or as itself.
func (e *encoder) derived(word string) {
	part := func(p string) {
		if i, ok := e.t.index[p]; ok {
			e.add(i)
		} else {
			e.derived(p)
		}
	}
	if parts(word, part) {
		return
	}
	known := func(stem string) bool {
		i, ok := e.t.index[stem]
		if ok {
			e.add(i)
		}
		return ok
	}
	if !stems(word, known) {
		e.unknown(word)
	}
}

func (e *encoder) add(i uint32) {
	t := e.t
	w := t.weight[i]
	e.total += w
	scale := float32(w * t.scale[i])
	row := t.rows[int(i)*t.dim : (int(i)+1)*t.dim]
	sum := e.sum[:len(row)]
	for j := range len(row) {
		sum[j] += float32(scale * float32(int8(row[j])))
	}
}

// unknown adds a direction that belongs to the word alone, drawn from its hash,
// so that the same unknown word in two texts brings them together.
func (e *encoder) unknown(word string) {
	e.total++
	h := hash(word)
	// Uniform in ±1 has the variance 1/3.
	scale := float32(hashNorm * math.Sqrt(3/float64(len(e.sum))))
	for j := range e.sum {
		h += 0x9e3779b97f4a7c15 // splitmix64: Steele, Lea and Flood, OOPSLA 2014
		z := h
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		e.sum[j] += float32(scale * float32(float32(int32(z>>32))/(1<<31)))
	}
}

// hash is FNV-1a, 64 bits.
func hash(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}
