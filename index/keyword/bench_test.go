package keyword_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// A corpus of made texts: words by Zipf's law, two fifths of them stop words, and a
// few words a text that it is about, which it repeats.
type corpus struct {
	r    *rand.Rand
	zipf *rand.Zipf
}

func newCorpus(seed uint64) *corpus {
	r := rand.New(rand.NewPCG(seed, 2))
	return &corpus{r: r, zipf: rand.NewZipf(r, 1.1, 8, 200_000)}
}

// name spells a number in syllables.
func name(n uint64) string {
	syllables := []string{"ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu", "fan", "gel", "hin", "jor", "pul", "dax"}
	s := ""
	for n += 16; n > 0; n /= 16 {
		s += syllables[n%16]
	}
	return s
}

func (c *corpus) text(words int) string {
	var about [8]uint64
	for i := range about {
		about[i] = c.zipf.Uint64()
	}
	var b strings.Builder
	for range words {
		switch n := c.r.IntN(10); {
		case n < 4:
			b.WriteString([]string{"the", "of", "and", "to", "in"}[c.r.IntN(5)])
		case n < 6:
			b.WriteString(name(about[c.r.IntN(len(about))]))
		default:
			b.WriteString(name(c.zipf.Uint64()))
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func (c *corpus) query(words int) string {
	var q []string
	for range words {
		q = append(q, name(c.zipf.Uint64()))
	}
	return strings.Join(q, " ")
}

func english(b testing.TB) *analysis.Analyzer {
	a, err := analysis.New("en")
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func (c *corpus) tail(a *analysis.Analyzer, slots int) *keyword.Tail {
	t := keyword.NewTail(a)
	for range slots {
		t.Add("", c.text(100))
	}
	return t
}

func mustOpen(b testing.TB, section []byte) *keyword.Segment {
	s, err := keyword.Open(section)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

const tailSlots = 2048

// segments returns segments of 2,048 slots each.
var segments = sync.OnceValue(func() (segs []*keyword.Segment) {
	a, _ := analysis.New("en")
	c := newCorpus(1)
	for range 49 {
		s, err := keyword.Open(c.tail(a, tailSlots).Build())
		if err != nil {
			panic(err)
		}
		segs = append(segs, s)
	}
	return segs
})

// hundred is a segment of 100,352 slots.
var hundred = sync.OnceValue(func() []byte {
	b, err := keyword.Merge(segments(), nil)
	if err != nil {
		panic(err)
	}
	return b
})

func BenchmarkAdd(b *testing.B) {
	c, a := newCorpus(1), english(b)
	var texts []string
	for range 8 * tailSlots {
		texts = append(texts, c.text(100))
	}
	b.ReportAllocs()
	t := keyword.NewTail(a)
	for i := 0; b.Loop(); i++ {
		if i%tailSlots == 0 {
			t = t.Next()
		}
		t.Add("", texts[i%len(texts)])
	}
}

func BenchmarkBuild(b *testing.B) {
	t := newCorpus(1).tail(english(b), tailSlots)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(t.Build())))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tailSlots, "ns/slot")
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{8, 49} {
		segs := segments()[:n]
		b.Run(fmt.Sprintf("segments=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				section, err := keyword.Merge(segs, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(section)))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n*tailSlots), "ns/slot")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	section := hundred()
	b.SetBytes(int64(len(section)))
	for b.Loop() {
		mustOpen(b, section)
	}
}

func BenchmarkKill(b *testing.B) {
	section := hundred()
	s := mustOpen(b, section)
	for i := 0; b.Loop(); i++ {
		if i == s.Len() {
			i, s = 0, mustOpen(b, section)
		}
		s.Kill(uint32(i))
	}
}

func scopeOf(slots int) *index.Scope {
	return &index.Scope{High: uint32(slots), Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
}

func benchmarkSearch(b *testing.B, parts []keyword.At, sc *index.Scope, k, words int, quote string) {
	a := english(b)
	c := newCorpus(9)
	var queries []*keyword.Query
	for range 256 {
		queries = append(queries, keyword.Parse(a, quote+c.query(words)))
	}
	var took []time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if _, err := queries[i%len(queries)].Capture(parts).Search(context.Background(), k, sc); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*95/100].Nanoseconds()), "p95-ns")
}

func BenchmarkSearch(b *testing.B) {
	s := mustOpen(b, hundred())
	one := []keyword.At{{Part: s}}
	sc := scopeOf(s.Len())
	masked := func(step int) *index.Scope {
		m := *sc
		m.Mask = make([]uint64, (s.Len()+63)/64)
		for i := range s.Len() / step {
			m.Mask[i*step/64] |= 1 << (i * step % 64)
			m.Count++
		}
		return &m
	}
	for words := 1; words <= 4; words++ {
		b.Run(fmt.Sprintf("k=10/words=%d", words), func(b *testing.B) { benchmarkSearch(b, one, sc, 10, words, "") })
	}
	b.Run("k=10/words=20", func(b *testing.B) { benchmarkSearch(b, one, sc, 10, 20, "") })
	b.Run("k=10/words=3/mask=10%", func(b *testing.B) { benchmarkSearch(b, one, masked(10), 10, 3, "") })
	b.Run("k=10/words=3/mask=0.1%", func(b *testing.B) { benchmarkSearch(b, one, masked(1000), 10, 3, "") })
	b.Run("k=10/words=2/phrase", func(b *testing.B) { benchmarkSearch(b, one, sc, 10, 2, `"`) })
	b.Run("k=1000/words=3", func(b *testing.B) { benchmarkSearch(b, one, sc, 1000, 3, "") })
	b.Run("k=1000000/words=3", func(b *testing.B) { benchmarkSearch(b, one, sc, 1_000_000, 3, "") })
	var parts []keyword.At
	for i, s := range segments() {
		parts = append(parts, keyword.At{Part: s, First: uint32(i * tailSlots)})
	}
	b.Run("k=10/words=3/parts=49", func(b *testing.B) { benchmarkSearch(b, parts, sc, 10, 3, "") })
	tail := []keyword.At{{Part: newCorpus(1).tail(english(b), tailSlots)}}
	b.Run("k=10/words=3/tail", func(b *testing.B) { benchmarkSearch(b, tail, scopeOf(tailSlots), 10, 3, "") })
}
