package embed

import (
	_ "embed" // the model
	"encoding/binary"
	"fmt"
	"math"
	"sync"
)

// The model's file, made by mkmodel. Little-endian.
//
//	 0 magic "arrwemb1"   8 u32 words  12 u32 dimension
//	16 u32 words of the source, for the word frequencies    20 u32 zero
//	24 f32 mean, one for each dimension
//	   words, most frequent first: u8 length, bytes
//	   uvarint for each word: its rank in the source, less that of the word before
//	   f32 scale for each word
//	   i8 rows, words × dimension: a component is scale × i8
const (
	// Magic begins the file.
	Magic       = "arrwemb1"
	tableHeader = 24
)

//go:embed model.bin
var modelFile string

// A table holds the word vectors. Words are parts of the file, nothing is copied.
type table struct {
	dim    int
	index  map[string]uint32
	weight []float32 // SIF weight of each word
	scale  []float32
	rows   string // words × dim signed bytes
	mean   []float32
}

var builtinTable = sync.OnceValue(func() *table {
	t, err := readTable(modelFile)
	if err != nil {
		panic("embed: the built-in model: " + err.Error()) // its bytes are part of the program
	}
	return t
})

// smoothing is a of SIF: a word of probability p weighs a ÷ (a + p).
const smoothing = 1e-4

// Weight is the SIF weight of the word of a rank, from 0, in a list of total words
// that are in the order of their frequency. p is taken from Zipf's law.
func Weight(rank, total int) float32 {
	harmonic := math.Log(float64(total)) + 0.5772156649
	p := 1 / (float64(rank+1) * harmonic)
	return float32(smoothing / (smoothing + p))
}

func readTable(s string) (*table, error) {
	if len(s) < tableHeader || s[:8] != Magic {
		return nil, fmt.Errorf("%d bytes that do not begin with %q", len(s), Magic)
	}
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32([]byte(s[at : at+4]))) }
	words, dim, total := u32(8), u32(12), u32(16)
	at := tableHeader
	need := func(n int) error {
		if n < 0 || n > len(s)-at {
			return fmt.Errorf("%d bytes are missing at byte %d", n-(len(s)-at), at)
		}
		return nil
	}
	floats := func(n int) ([]float32, error) {
		if err := need(4 * n); err != nil {
			return nil, err
		}
		out := make([]float32, n)
		for i := range out {
			out[i] = math.Float32frombits(uint32(u32(at + 4*i)))
		}
		at += 4 * n
		return out, nil
	}
	t := &table{dim: dim, index: make(map[string]uint32, words), weight: make([]float32, words)}
	var err error
	if t.mean, err = floats(dim); err != nil {
		return nil, err
	}
	for i := range words {
		if err := need(1); err != nil {
			return nil, err
		}
		n := int(s[at])
		at++
		if err := need(n); err != nil {
			return nil, err
		}
		t.index[s[at:at+n]] = uint32(i)
		at += n
	}
	if len(t.index) != words {
		return nil, fmt.Errorf("%d words, %d of them different", words, len(t.index))
	}
	rank := -1
	for i := range words {
		step, n := binary.Uvarint([]byte(s[at:min(at+binary.MaxVarintLen64, len(s))]))
		if n <= 0 || step > uint64(total) {
			return nil, fmt.Errorf("the rank of word %d at byte %d is wrong", i, at)
		}
		at += n
		rank += int(step)
		t.weight[i] = Weight(rank, total)
	}
	if t.scale, err = floats(words); err != nil {
		return nil, err
	}
	if err := need(words * dim); err != nil {
		return nil, err
	}
	t.rows = s[at : at+words*dim]
	if at+words*dim != len(s) {
		return nil, fmt.Errorf("%d bytes after the rows", len(s)-at-words*dim)
	}
	return t, nil
}
