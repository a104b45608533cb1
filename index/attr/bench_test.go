package attr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/index/attr"
)

const benchSlots = 1_000_000

// benchDoc has five small fields: 40 years, 20 languages, an id of its own, a
// fraction, and a time that ascends.
func benchDoc(r random, dst []byte, i int) []byte {
	return fmt.Appendf(dst[:0], `{"year":%d,"lang":"l%d","id":"doc-%07d","score":%d.25,"time":%d}`,
		1985+r.IntN(40), r.IntN(20), i, r.IntN(100_000), 1_700_000_000+i)
}

// awkwardDoc has fields that get no slices: one in every tenth slot, and one of
// three values a slot.
func awkwardDoc(r random, dst []byte) []byte {
	dst = append(dst[:0], '{')
	if r.IntN(10) == 0 {
		dst = fmt.Appendf(dst, `"sparse":%d,`, r.IntN(1_000_000))
	}
	return fmt.Appendf(dst, `"tags":["t%05d","t%05d","t%05d"],"maybe":[%d,%d]}`,
		r.IntN(50_000), r.IntN(50_000), r.IntN(50_000), r.IntN(50_000), 7)
}

func BenchmarkEvalAwkward(b *testing.B) {
	r := newRandom(3)
	bld := attr.NewBuilder()
	var doc []byte
	for range benchSlots {
		doc = awkwardDoc(r, doc)
		bld.Add(doc, nil)
	}
	s := open(b, bld.Build())
	out := make([]uint64, (s.Len()+63)/64)
	for _, c := range []struct{ name, filter string }{
		{"range/sparse", `{"sparse":{"$gt":250000}}`},
		{"range/three-values-a-slot", `{"tags":{"$gt":"t2"}}`},
		{"range/three-values-a-slot/narrow", `{"tags":{"$gt":"t49900"}}`},
		{"range/two-values-a-slot", `{"maybe":{"$gt":25000}}`},
		{"contains", `{"tags":{"$contains":"t00777"}}`},
	} {
		f := parse(b, c.filter)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s.Eval(f, out)
			}
		})
	}
}

func benchSegment(b *testing.B, n int) *attr.Segment {
	r := newRandom(3)
	bld := attr.NewBuilder()
	var doc []byte
	for i := range n {
		doc = benchDoc(r, doc, i)
		bld.Add(doc, nil)
	}
	return open(b, bld.Build())
}

func BenchmarkBuild(b *testing.B) {
	const n = 200_000
	r := newRandom(3)
	docs := make([][]byte, n)
	for i := range docs {
		docs[i] = benchDoc(r, nil, i)
	}
	var size int
	for b.Loop() {
		bld := attr.NewBuilder()
		for _, d := range docs {
			bld.Add(d, nil)
		}
		size = len(bld.Build())
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "slots/s")
	b.ReportMetric(float64(size)/n, "B/slot")
}

func BenchmarkOpen(b *testing.B) {
	r := newRandom(3)
	bld := attr.NewBuilder()
	for i := range benchSlots {
		bld.Add(benchDoc(r, nil, i), nil)
	}
	raw := bld.Build()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		open(b, raw)
	}
}

func BenchmarkMerge(b *testing.B) {
	const n, k = 100_000, 4
	segs := make([]*attr.Segment, k)
	for i := range segs {
		segs[i] = benchSegment(b, n)
	}
	for b.Loop() {
		if _, err := attr.Merge(segs, func(int, uint32) bool { return false }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*k)*float64(b.N)/b.Elapsed().Seconds(), "slots/s")
}

func benchIn(n int, each func(i int) string) string {
	var vals []string
	for i := range n {
		vals = append(vals, each(i))
	}
	return "[" + strings.Join(vals, ",") + "]"
}

func BenchmarkEval(b *testing.B) {
	s := benchSegment(b, benchSlots)
	out := make([]uint64, (s.Len()+63)/64)
	for _, c := range []struct{ name, filter string }{
		{"eq/number/slots=25k", `{"year":1999}`},
		{"eq/string/slots=50k", `{"lang":"l7"}`},
		{"eq/string/slots=1", `{"id":"doc-0777777"}`},
		{"ne/string", `{"lang":{"$ne":"l7"}}`},
		{"range/values=40", `{"year":{"$gte":1990,"$lt":2015}}`},
		{"range/values=40/one-sided", `{"year":{"$gte":1990}}`},
		{"range/values=100k", `{"score":{"$gt":2500}}`},
		{"range/values=1M", `{"time":{"$gt":1700250000}}`},
		{"range/values=1M/narrow", `{"time":{"$gte":1700250000,"$lt":1700250100}}`},
		{"range/strings=1M", `{"id":{"$gte":"doc-01","$lt":"doc-08"}}`},
		{"in/values=5000/strings", `{"id":{"$in":` + benchIn(5000, func(i int) string { return fmt.Sprintf(`"doc-%07d"`, i*7919%1_000_000) }) + `}}`},
		{"in/values=5000/numbers", `{"time":{"$in":` + benchIn(5000, func(i int) string { return fmt.Sprint(1_700_000_000 + i*7919%1_000_000) }) + `}}`},
		{"in/values=5000/slots=50k", `{"score":{"$in":` + benchIn(5000, func(i int) string { return fmt.Sprintf("%d.25", i*7919%100_000) }) + `}}`},
		{"exists", `{"year":{"$exists":true}}`},
		{"and", `{"year":{"$gte":1990},"lang":{"$in":["l1","l2"]},"score":{"$lt":5000}}`},
	} {
		f := parse(b, c.filter)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Eval(f, out)
			}
		})
	}
}
