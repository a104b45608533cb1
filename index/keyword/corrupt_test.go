package keyword_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// section returns a small section with lists of all kinds.
func section(t testing.TB) []byte {
	t.Helper()
	a, err := analysis.New("simple")
	if err != nil {
		t.Fatal(err)
	}
	tail := keyword.NewTail(a)
	for i := range 300 {
		title := ""
		if i%3 == 0 {
			title = "title all"
		}
		tail.Add(title, fmt.Sprintf("all of t%d and t%d t%d", i%20, i%7, i%100))
	}
	return tail.Build()
}

// sum corrects a section's sum.
func sum(b []byte) {
	if n := len(b) - 4; n >= 0 {
		binary.LittleEndian.PutUint32(b[n:], crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli)))
	}
}

func TestDamage(t *testing.T) {
	good := section(t)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := keyword.Open(bad); err == nil {
			t.Fatalf("a wrong bit in byte %d is not found", i)
		}
		if _, err := keyword.Open(good[:i:i]); !errors.Is(err, keyword.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	bad := slices.Clone(good)
	bad[8]++
	sum(bad)
	if _, err := keyword.Open(bad); !errors.Is(err, keyword.ErrNewer) {
		t.Errorf("another version: %v", err)
	}
}

// A section of every released version opens and is searched; the files are never
// edited. With -write-golden a missing one is made.
func TestReleased(t *testing.T) {
	for _, name := range []string{"testdata/v1.section"} {
		if _, err := os.Stat(name); os.IsNotExist(err) && *writeGolden {
			if err := os.WriteFile(name, section(t), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		old, now := mustOpen(t, b), mustOpen(t, section(t))
		if err := old.Verify(context.Background()); err != nil {
			t.Fatal(err)
		}
		a, _ := analysis.New("simple")
		for _, query := range []string{"title t6", "all t99", `"t5 and t5"`} {
			q := keyword.Parse(a, query)
			got := search(t, q.Capture([]keyword.At{{Part: old}}), 300, scopeOf(300))
			same(t, query, got, search(t, q.Capture([]keyword.At{{Part: now}}), 300, scopeOf(300)))
			if len(got) == 0 {
				t.Errorf("%s: nothing found", query)
			}
		}
	}
}

var writeGolden = flag.Bool("write-golden", false, "make missing files of the newest version")

// use does everything that there is with whatever Open takes.
func use(t testing.TB, b []byte) {
	s, err := keyword.Open(b)
	if err != nil {
		return
	}
	a, _ := analysis.New("simple")
	sc := &index.Scope{High: index.MaxSlots, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
	_ = s.Verify(context.Background())
	for _, query := range []string{"all", "all of t5", "t6 t99", `"t6 t6"`, `"title all" of`, "title"} {
		q := keyword.Parse(a, query)
		for _, k := range []int{1, 20, 1000} {
			search(t, q.Capture([]keyword.At{{Part: s, First: 100}}), k, sc)
		}
	}
	tail := keyword.NewTail(a)
	for i := range uint32(min(s.Len(), 400)) {
		if i%5 == 0 {
			tail.AddCopy("t6 new", s, i)
		}
		if i%3 == 0 {
			s.Kill(i)
		}
	}
	if b, err := keyword.Merge([]*keyword.Segment{s, s}, func(_ int, local uint32) bool { return local%4 == 0 }); err == nil && s.Len() < 400 {
		_, _ = keyword.Open(b)
	}
	search(t, keyword.Parse(a, "all t6").Capture([]keyword.At{{Part: s}, {Part: tail, First: uint32(s.Len())}}), 10, sc)
}

// Wrong bytes with a right sum may be found or not; nothing panics.
func TestWrongBytes(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	good := section(t)
	use(t, good)
	for range 3000 {
		bad := slices.Clone(good)
		for range 1 + r.IntN(3) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		sum(bad)
		use(t, bad)
	}
	for i := range 64 {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			bad := slices.Clone(good)
			bad[i] = v
			sum(bad)
			use(t, bad)
		}
	}
}

// Verify finds what Open leaves to it: a wrong number among the postings.
func TestVerify(t *testing.T) {
	good := section(t)
	s, err := keyword.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		sum(bad)
		s, err := keyword.Open(bad)
		if err == nil {
			err = s.Verify(context.Background())
		}
		if err != nil {
			found++
		}
	}
	// Not found are other words, other gaps, and unused bits.
	if share := float64(found) / float64(len(good)); share < 0.7 {
		t.Errorf("%.0f%% of wrong bits found", 100*share)
	} else {
		t.Logf("%.1f%% of wrong bits found", 100*share)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(section(f))
	a, _ := analysis.New("en")
	tail := keyword.NewTail(a)
	f.Add(tail.Build())
	tail.Add("a title", "one text")
	f.Add(tail.Build())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		sum(b)
		use(t, b)
	})
}

func FuzzParse(f *testing.F) {
	for _, q := range []string{"", `"`, `a "b c" d`, `“x” "y`, "\xff\"\xfe", "the of"} {
		f.Add(q, "some b c text", 20)
	}
	f.Add("0 Q", "\u02eb\x82a\x83Q\x8a\xe8C\x8d\x02>+M\x00 \xb92+,1\xb92", 3)
	a, _ := analysis.New("en")
	f.Fuzz(func(t *testing.T, query, text string, maxLen int) {
		q := keyword.Parse(a, query)
		tail := keyword.NewTail(a)
		tail.Add(query, text)
		tail.Add(text, query)
		segment, err := keyword.Open(tail.Build())
		if err != nil {
			t.Fatal(err)
		}
		sc := &index.Scope{High: 2, Alive: func(uint32) bool { return true }, Before: func(a, b uint32) bool { return a < b }}
		same(t, query, search(t, q.Capture([]keyword.At{{Part: segment}}), 5, sc), search(t, q.Capture([]keyword.At{{Part: tail}}), 5, sc))
		checkFragments(t, text, maxLen, keyword.Highlight(a, q, text, maxLen))
	})
}
