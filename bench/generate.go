package bench

import (
	"math/rand/v2"
	"strconv"
)

// words makes up text that looks like text: words of letters that go together,
// frequent ones more often, as in a language.
type words struct {
	r    *rand.Rand
	list []string
	zipf *rand.Zipf
}

const vocabulary = 4096

func newWords(seed uint64) *words {
	r := rand.New(rand.NewPCG(seed, 0x776f726473))
	onsets := []string{"b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "pl", "ch", "sh", "th", "gr", ""}
	vowels := []string{"a", "e", "i", "o", "u", "ea", "ou", "ai", "io"}
	codas := []string{"", "", "", "n", "r", "s", "t", "l", "nd", "st", "ng"}
	w := &words{r: r, zipf: rand.NewZipf(r, 1.1, 8, vocabulary-1)}
	for i := range vocabulary {
		var b []byte
		for range 1 + i*3/vocabulary + r.IntN(2) {
			b = append(b, onsets[r.IntN(len(onsets))]...)
			b = append(b, vowels[r.IntN(len(vowels))]...)
			b = append(b, codas[r.IntN(len(codas))]...)
		}
		w.list = append(w.list, string(b))
	}
	return w
}

// count appends n words.
func (w *words) count(dst []byte, n int) []byte {
	for i := range n {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, w.list[w.zipf.Uint64()]...)
	}
	return dst
}

// text appends exactly n bytes of words.
func (w *words) text(dst []byte, n int) []byte {
	end := len(dst) + n
	for len(dst) < end {
		dst = append(append(dst, w.list[w.zipf.Uint64()]...), ' ')
	}
	return dst[:end]
}

// A docSpec says what documents look like.
type docSpec struct {
	dimension int
	words     int // of the text, or
	textBytes int
}

// A docs hands out documents as JSON without end, each with an id of its own. To
// cost the machine as little as possible while a server is measured, they are
// taken from a pool that was made before; only the ids are new.
type docs struct {
	pool [][]byte // what follows the id's closing quote
	next int
}

const docPool = 2048

func newDocs(seed uint64, s docSpec) *docs {
	w := newWords(seed)
	d := &docs{}
	for i := range docPool {
		b := append([]byte(`,"title":"`), w.count(nil, 4)...)
		b = append(b, `","metadata":{"year":`...)
		b = strconv.AppendInt(b, int64(1990+i%35), 10)
		b = append(b, `,"tag":"`...)
		b = append(b, w.list[i%50]...)
		b = append(b, `"},"chunks":[{"text":"`...)
		if s.textBytes > 0 {
			b = w.text(b, s.textBytes)
		} else {
			b = w.count(b, s.words)
		}
		b = append(b, `","embedding":[`...)
		for k := range s.dimension {
			if k > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, w.r.NormFloat64()*0.1, 'f', 6, 64)
		}
		d.pool = append(d.pool, append(b, "]}]}"...))
	}
	return d
}

const idDigits = 12

// appendID appends the id of the nth document: of one length always.
func appendID(dst []byte, n int) []byte {
	at := len(dst)
	dst = append(dst, "d000000000000"...)
	for i := len(dst) - 1; n > 0 && i > at; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// appendNext appends the next document, without a line's end.
func (d *docs) appendNext(dst []byte) []byte {
	dst = d.appendDoc(dst, d.next)
	d.next++
	return dst
}

// appendDoc appends the nth document.
func (d *docs) appendDoc(dst []byte, n int) []byte {
	dst = append(dst, `{"id":"`...)
	dst = appendID(dst, n)
	dst = append(dst, '"')
	return append(dst, d.pool[n%len(d.pool)]...)
}
