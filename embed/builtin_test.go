package embed_test

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/embed"
)

func vectors(t testing.TB, texts ...string) [][]float32 {
	t.Helper()
	out, err := embed.Builtin().Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// Pairs that say the same with few words in common: each text's nearest is its
// twin.
func TestParaphrases(t *testing.T) {
	pairs := [][2]string{
		{"How do I reset my forgotten password?", "Steps to recover account login credentials"},
		{"The cat slept on the sofa all afternoon", "A kitten was napping on the couch"},
		{"Stock prices fell sharply after the announcement", "Shares tumbled following the news"},
		{"The physician prescribed medicine for the illness", "A doctor gave drugs to treat the disease"},
		{"Heavy rain flooded the streets of the town", "Storms left city roads under water"},
		{"She enjoys reading novels before bed", "He likes books and stories at night"},
		{"The rocket carried a satellite into orbit", "A spacecraft was launched to space"},
		{"Football players train hard for the cup", "The soccer team prepares for the championship"},
		{"The court found the man guilty of murder", "A jury convicted the killer"},
		{"Plants need sunlight and water to grow", "Crops require sun and rain"},
	}
	var texts []string
	for _, p := range pairs {
		texts = append(texts, p[0], p[1])
	}
	v := vectors(t, texts...)
	for i := range v {
		best, at := -2.0, 0
		for j := range v {
			if d := dot(v[i], v[j]); i != j && d > best {
				best, at = d, j
			}
		}
		if at != i^1 {
			t.Errorf("nearest to %q is %q (%.2f), not %q (%.2f)", texts[i], texts[at], best, texts[i^1], dot(v[i], v[i^1]))
		}
	}
}

func TestVectorsAreUsable(t *testing.T) {
	texts := []string{"", " ", "!!!", "the", "the of and", "日本語のテキスト", "xqzvbk", strings.Repeat("word ", 100_000), "a\x00b", "\xff\xfe", "don't", "state-of-the-art", "-'-", "e\u0301"}
	for i, v := range vectors(t, texts...) {
		n := dot(v, v)
		if math.IsNaN(n) || math.Abs(n-1) > 1e-5 {
			t.Errorf("%.20q: length %v", texts[i], n)
		}
	}
	v := vectors(t, "xqzvbk arrives", "xqzvbk departs", "pwrtlm departs")
	if same, other := dot(v[0], v[1]), dot(v[1], v[2]); same < 0.5 || other > 0.9 {
		t.Errorf("a shared unknown word: %.2f; different ones: %.2f", same, other)
	}
	// Case, form and punctuation do not matter.
	w := vectors(t, "The Cats, sleeping!", "the cats sleeping", "wugs", "wug")
	if d := dot(w[0], w[1]); d < 0.99999 {
		t.Errorf("case and punctuation: %v", d)
	}
}

// The vectors are data: they may never change under a model's name, on any
// processor.
func TestModelIsFrozen(t *testing.T) {
	sum := uint32(0)
	for _, v := range vectors(t, "Attention is all you need", "don't re-heat o'clock xqzvbk", "", "Ünïcödé Straße") {
		for _, x := range v {
			sum = crc32.Update(sum, crc32.IEEETable, binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
	}
	i := embed.Builtin().Info()
	if want := (embed.Info{Provider: "builtin", Model: "glove-100d-sif-1", Hash: "bf10f041ab84e5bb63cef8a9f3b8242efef96c7ab1b010d07c0b75ecf2b4637c", Dimension: 100}); i != want {
		t.Errorf("the model is %+v, want %+v", i, want)
	}
	if want := uint32(0xced1653d); sum != want {
		t.Errorf("vectors have the CRC %08x, want %08x: a model with other vectors needs another name", sum, want)
	}
}

func TestIsToken(t *testing.T) {
	for word, want := range map[string]bool{"the": true, "so-called": true, "o'clock": true, "n't": true, "3d": true, "é": true,
		"": false, ",": false, "The": false, "a b": false, "-a": false, "a-": false, "2,000": false, "'s": false} {
		if got := embed.IsToken(word); got != want {
			t.Errorf("IsToken(%q) is %t", word, got)
		}
	}
}

func BenchmarkEmbed(b *testing.B) {
	text := []string{"The quick brown fox jumps over the lazy dog tonight"}
	m := embed.Builtin()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Embed(context.Background(), text); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzEmbed(f *testing.F) {
	f.Add("The cats' so-called don’t")
	f.Add("\xff-'n't")
	m := embed.Builtin()
	f.Fuzz(func(t *testing.T, text string) {
		v, err := m.Embed(context.Background(), []string{text, text})
		if err != nil {
			t.Fatal(err)
		}
		n := dot(v[0], v[0])
		if math.IsNaN(n) || math.Abs(n-1) > 1e-4 {
			t.Errorf("length %v", n)
		}
		for i := range v[0] {
			if v[0][i] != v[1][i] {
				t.Fatal("the same text has two vectors")
			}
		}
	})
}
