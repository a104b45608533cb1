package attr_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/attr"
	"github.com/arrwdb/arrwdb/index/filter"
)

var seedFlag = flag.Uint64("seed", 0, "of the random tests; 0 takes the time")

func seeded(t testing.TB) random {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("go test ./index/attr -run '^%s$' -seed %d", t.Name(), seed)
	return newRandom(seed)
}

// slot is the metadata of one slot.
type slot struct{ doc, chunk []byte }

func build(slots []slot) []byte {
	b := attr.NewBuilder()
	for _, s := range slots {
		b.Add(s.doc, s.chunk)
	}
	return b.Build()
}

func open(t testing.TB, b []byte) *attr.Segment {
	t.Helper()
	s, err := attr.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, s string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse([]byte(s))
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return f
}

// check compares Eval with the oracle, and returns how many slots pass. out is
// dirty on purpose, and longer than need be.
func check(t testing.TB, s *attr.Segment, f *filter.Filter, slots []slot) (passed int) {
	t.Helper()
	if s.Len() != len(slots) {
		t.Fatalf("%d slots, want %d", s.Len(), len(slots))
	}
	out := make([]uint64, (len(slots)+63)/64+1)
	for i := range out {
		out[i] = 0xdeadbeefdeadbeef
	}
	s.Eval(f, out)
	for i := range 64 * len(out) {
		got := out[i/64]>>(i%64)&1 == 1
		want := i < len(slots) && f.Match(slots[i].doc, slots[i].chunk)
		if got == want {
			passed += int(out[i/64] >> (i % 64) & 1)
			continue
		}
		if i >= len(slots) {
			t.Fatalf("%s: bit %d of %d slots is set", f, i, len(slots))
		}
		t.Fatalf("%s\non slot %d, document %s\nchunk %s\ngives %v, want %v", f, i, slots[i].doc, slots[i].chunk, got, want)
	}
	return passed
}

func (r random) slots(n int) []slot {
	out := make([]slot, n)
	for i := range out {
		out[i].doc = r.metadata()
		if r.IntN(3) == 0 {
			out[i].chunk = r.metadata()
		}
	}
	return out
}

func TestSameAsMatch(t *testing.T) {
	r := seeded(t)
	rounds, some, filters := 10, 0, 0
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		slots := r.slots(1000)
		s := open(t, build(slots))
		check(t, s, nil, slots)
		for range 120 {
			if k := check(t, s, parse(t, r.filter(4)), slots); k > 0 && k < len(slots) {
				some++
			}
			filters++
		}
	}
	if some < filters/3 {
		t.Errorf("only %d of %d filters tell slots apart", some, filters)
	}
}

// Sizes around those of words, and many segments.
func TestSameAsMatchSmall(t *testing.T) {
	r := seeded(t)
	for range 100 {
		slots := r.slots(r.IntN(140))
		s := open(t, build(slots))
		for range 20 {
			check(t, s, parse(t, r.filter(4)), slots)
		}
	}
}

func TestMerge(t *testing.T) {
	r := seeded(t)
	for range 12 {
		var parts [][]slot
		var segs []*attr.Segment
		for range r.IntN(5) {
			p := r.slots(r.IntN(600))
			parts = append(parts, p)
			segs = append(segs, open(t, build(p)))
		}
		for range 3 { // merge neighbours, then all
			merged, all := mergeSome(t, r, segs, parts)
			s := open(t, merged)
			if want := build(all); !bytes.Equal(merged, want) {
				t.Fatalf("a merge of %d segments gives %d bytes, building them anew %d, or others", len(segs), len(merged), len(want))
			}
			for range 60 {
				check(t, s, parse(t, r.filter(4)), all)
			}
			segs, parts = []*attr.Segment{s, s}, [][]slot{all, all}
		}
	}
}

func mergeSome(t *testing.T, r random, segs []*attr.Segment, parts [][]slot) ([]byte, []slot) {
	var all []slot
	purge := r.IntN(3) // none, some, nearly all
	purged := make([][]bool, len(parts))
	for i, p := range parts {
		purged[i] = make([]bool, len(p))
		for j := range p {
			if purge == 1 && r.IntN(4) == 0 || purge == 2 && r.IntN(50) > 0 {
				purged[i][j] = true
				all = append(all, slot{})
				continue
			}
			all = append(all, p[j])
		}
	}
	ask := func(seg int, local uint32) bool { return purged[seg][local] }
	if purge == 0 {
		ask = nil
	}
	merged, err := attr.Merge(segs, ask)
	if err != nil {
		t.Fatal(err)
	}
	return merged, all
}

// Many slots, so that there are slices, and containers of each kind.
func TestLarge(t *testing.T) {
	r := seeded(t)
	n := 100_000
	if testing.Short() {
		n = 70_000
	}
	slots := make([]slot, n)
	for i := range slots {
		var b strings.Builder
		fmt.Fprintf(&b, `{"year":%d,"time":"2024-%06d","all":1,"id":"doc-%d","half":%v,"run":%d,"pow":%d`,
			r.IntN(100), r.IntN(1_000_000), i/3, r.IntN(2) == 0, i/5000, r.IntN(64))
		if r.IntN(10) == 0 {
			fmt.Fprintf(&b, `,"rare":%d`, r.IntN(5000))
		}
		if r.IntN(3) > 0 {
			fmt.Fprintf(&b, `,"price":%d.%d`, r.IntN(3000), r.IntN(4)*25)
		}
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, `,"tags":["t%d","t%d"],"few":[%d]`, r.IntN(30), r.IntN(30), r.IntN(500))
		} else {
			fmt.Fprintf(&b, `,"few":%d`, r.IntN(500))
			if r.IntN(10) == 0 {
				fmt.Fprintf(&b, `,"multi":[%d,%d,"x"]`, r.IntN(5000), r.IntN(5000))
			} else {
				fmt.Fprintf(&b, `,"multi":%d`, r.IntN(5000))
			}
		}
		b.WriteByte('}')
		slots[i].doc = []byte(b.String())
	}
	s := open(t, build(slots))
	for _, f := range []string{`{"year":7}`, `{"year":{"$gte":30,"$lt":31}}`, `{"year":{"$gt":-1}}`, `{"all":{"$ne":1}}`,
		`{"time":{"$gt":"2024-2","$lte":"2024-5"}}`, `{"time":{"$lt":"2024-00001"}}`, `{"id":{"$in":["doc-1","doc-77","doc-99999999"]}}`,
		`{"half":true}`, `{"run":{"$lt":7}}`, `{"run":7}`, `{"rare":{"$gt":100,"$lt":4000}}`, `{"price":{"$gte":17.5,"$lt":2100.25}}`,
		`{"price":{"$not":{"$lt":1500}}}`, `{"tags":{"$contains":"t7"}}`, `{"tags":{"$gt":"t20"}}`, `{"few":{"$lt":250}}`,
		`{"few":{"$contains":250}}`, `{"multi":{"$gt":100,"$lt":2500}}`, `{"multi":{"$lt":2500}}`, `{"multi":"x"}`, `{"multi":null}`,
		`{"pow":{"$lt":64}}`, `{"pow":{"$lt":63}}`, `{"pow":{"$gte":32}}`, `{"pow":{"$gt":63}}`, `{"pow":{"$lt":0}}`} {
		check(t, s, parse(t, f), slots)
	}
	cut := n/2 + 77
	merged, err := attr.Merge([]*attr.Segment{open(t, build(slots[:cut])), open(t, build(slots[cut:]))}, nil)
	if err != nil || !bytes.Equal(merged, build(slots)) {
		t.Fatalf("merged halves are not the whole (%v)", err)
	}
}

func TestEmpty(t *testing.T) {
	s := open(t, attr.NewBuilder().Build())
	if s.Len() != 0 {
		t.Fatal(s.Len())
	}
	s.Eval(nil, nil)
	out := []uint64{^uint64(0)}
	s.Eval(parse(t, `{"a":{"$ne":1}}`), out)
	if out[0] != 0 {
		t.Fatalf("%x", out[0])
	}
	none, err := attr.Merge(nil, nil)
	if err != nil || !bytes.Equal(none, attr.NewBuilder().Build()) {
		t.Fatalf("%x, %v", none, err)
	}
	two, err := attr.Merge([]*attr.Segment{s, s}, nil)
	if err != nil || !bytes.Equal(none, two) {
		t.Fatalf("%x, %v", two, err)
	}
}

// Build does not use the Builder up.
func TestBuildAgain(t *testing.T) {
	b := attr.NewBuilder()
	b.Add([]byte(`{"a":1}`), nil)
	if first := b.Build(); !bytes.Equal(first, b.Build()) || b.Len() != 1 {
		t.Fatal("a second Build differs")
	}
	b.Add([]byte(`{"a":[0,1],"b":"x"}`), []byte(`{"b":null}`))
	if !bytes.Equal(b.Build(), build([]slot{{doc: []byte(`{"a":1}`)}, {[]byte(`{"a":[0,1],"b":"x"}`), []byte(`{"b":null}`)}})) {
		t.Fatal("building goes wrong after Build")
	}
}

// small has all that a body can have, slices too.
func small() []byte {
	var slots []slot
	for i := range 80 {
		slots = append(slots, slot{doc: fmt.Appendf(nil, `{"n":%d,"s":"x%d","b":%v,"z":null,"t":["u",%d.5],"o":{"p":[1]},"q.r":18446744073709551615}`, i%11, i%13, i%2 == 0, i%3)})
	}
	return build(slots)
}

func TestDamage(t *testing.T) {
	good := small()
	open(t, good)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := attr.Open(bad); !errors.Is(err, attr.ErrDamaged) && !errors.Is(err, attr.ErrNewer) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
		if _, err := attr.Open(good[:i]); !errors.Is(err, attr.ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := attr.Open(append(bytes.Clone(good), 0)); !errors.Is(err, attr.ErrDamaged) {
		t.Fatalf("a byte more: %v", err)
	}
}

// sign puts a right CRC on bytes, so that damage gets past it.
func sign(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	body := b[:len(b)-4]
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// use reads all of a segment that Open has let through, whatever is in it.
func use(t testing.TB, b []byte) {
	s, err := attr.Open(b)
	if err != nil || s.Len() > 1<<20 {
		return
	}
	out := make([]uint64, (s.Len()+63)/64)
	for _, f := range []string{`{"n":{"$gt":2,"$lte":7}}`, `{"n":3}`, `{"s":{"$gt":"x11","$lt":"x7"}}`, `{"s":{"$gte":""}}`, `{"b":true}`, `{"z":null}`,
		`{"t":{"$contains":"u"}}`, `{"t":{"$gt":1}}`, `{"o.p":{"$nin":[1,null,"x"]}}`, `{"q.r":{"$exists":false}}`} {
		s.Eval(parse(t, f), out)
	}
	merged, err := attr.Merge([]*attr.Segment{s, s}, func(seg int, local uint32) bool { return seg == 1 && local == 0 })
	if err != nil {
		t.Fatal(err)
	}
	open(t, merged)
}

// Whatever bytes Open lets through can be read and merged.
func TestDamageBehindTheSum(t *testing.T) {
	r := seeded(t)
	good := small()
	rounds := 8 * len(good)
	for i := range rounds {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		use(t, sign(bad))
		bad = bytes.Clone(good)
		for range 1 + r.IntN(3) {
			bad[r.IntN(len(bad))] = byte(r.IntN(256))
		}
		use(t, sign(bad))
	}
	for i := range good {
		use(t, sign(good[:i]))
	}
}

func TestNewerFormat(t *testing.T) {
	b := attr.NewBuilder().Build()
	b[8]++
	if _, err := attr.Open(sign(b)); !errors.Is(err, attr.ErrNewer) {
		t.Fatal(err)
	}
}

func TestTooManySlots(t *testing.T) {
	b := attr.NewBuilder().Build()
	binary.LittleEndian.PutUint32(b[12:], index.MaxSlots)
	full := open(t, sign(b))
	if _, err := attr.Merge([]*attr.Segment{full}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := attr.Merge([]*attr.Segment{full, open(t, build(make([]slot, 1)))}, nil); err == nil {
		t.Fatal("a slot more than index.MaxSlots was merged")
	}
	binary.LittleEndian.PutUint32(b[12:], index.MaxSlots+1)
	if _, err := attr.Open(sign(b)); !errors.Is(err, attr.ErrDamaged) {
		t.Fatal(err)
	}
}

func TestConcurrentEval(t *testing.T) {
	r := seeded(t)
	slots := r.slots(500)
	s := open(t, build(slots))
	var wg sync.WaitGroup
	for range 8 {
		f := make([]*filter.Filter, 40)
		for i := range f {
			f[i] = parse(t, r.filter(4))
		}
		wg.Go(func() {
			for _, f := range f {
				check(t, s, f, slots)
			}
		})
	}
	wg.Wait()
}

// Metadata at the limit of a document, in shapes that a careless walk takes
// quadratic time or space for.
func TestHeavyMetadata(t *testing.T) {
	const limit = 1 << 20
	many := func(open, each, end string) []byte {
		var b strings.Builder
		b.WriteString(open)
		for i := 0; b.Len() < limit; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(each, "#", fmt.Sprint(i)))
		}
		return []byte(b.String() + end)
	}
	long := strings.Repeat("k", limit/2)
	for name, doc := range map[string][]byte{
		"keys":          many("{", `"k#":#`, "}"),
		"dotted keys":   many("{", `"k.#":#`, "}"),
		"equal keys":    many("{", `"k":#`, "}"),
		"deep objects":  []byte(strings.Repeat(`{"a":`, limit/6) + "1" + strings.Repeat("}", limit/6)),
		"deep arrays":   []byte(`{"a":` + strings.Repeat("[", limit/2) + strings.Repeat("]", limit/2) + "}"),
		"objects":       many(`{"a":[`, `{"b":#,"c":{"d":#}}`, "]}"),
		"elements":      many(`{"a":[`, `#`, "]}"),
		"under long":    many(`{"`+long+`":{`, `"k#":1`, "}}"),
		"deep and wide": []byte(`{"x":` + strings.Repeat(`[{"a":`, 30) + string(many("{", `"k#":#`, "}")) + strings.Repeat("}]", 30) + "}"),
		"many dots":     []byte(`{"` + strings.Repeat("a.", limit/2) + `a":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			slots := []slot{{doc: doc}, {chunk: doc}}
			b := build(slots)
			s := open(t, b)
			t.Logf("%d bytes of metadata: %d bytes in %v", 2*len(doc), len(b), time.Since(start))
			if len(b) > 32*len(doc) {
				t.Errorf("%d bytes of metadata take %d", len(doc), len(b))
			}
			for _, f := range []string{`{"k77":77}`, `{"k.77":{"$gt":1}}`, `{"k":{"$gt":5}}`, `{"a":{"$contains":9}}`, `{"a.b":{"$in":[4,5]}}`, `{"a.c.d":7}`,
				`{"` + strings.Repeat("a.", filter.MaxSegments-1) + `a":{"$exists":true}}`} {
				check(t, s, parse(t, f), slots)
			}
		})
	}
}
