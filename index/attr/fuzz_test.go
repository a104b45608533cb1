package attr_test

import (
	"testing"

	"github.com/arrwdb/arrwdb/index/attr"
	"github.com/arrwdb/arrwdb/index/filter"
)

func FuzzOpen(f *testing.F) {
	f.Add(attr.NewBuilder().Build())
	f.Add(small())
	f.Fuzz(func(t *testing.T, b []byte) {
		use(t, b)
		use(t, sign(b)) // else the fuzzer never gets behind the CRC
	})
}

func FuzzSameAsMatch(f *testing.F) {
	r := newRandom(1)
	for range 100 {
		f.Add(r.metadata(), r.metadata(), []byte(r.filter(3)))
	}
	f.Add([]byte(`{"a":[{"b":1},{"b":[2]}],"a.b":3}`), []byte(`{"a":null}`), []byte(`{"a.b":{"$contains":2}}`))
	f.Fuzz(func(t *testing.T, doc, chunk, raw []byte) {
		flt, err := filter.Parse(raw)
		if err != nil {
			return
		}
		slots := []slot{{doc, nil}, {nil, chunk}, {doc, chunk}, {chunk, doc}}
		s := open(t, build(slots))
		check(t, s, flt, slots)
		merged, err := attr.Merge([]*attr.Segment{s, s}, func(seg int, local uint32) bool { return seg == 0 && local < 2 })
		if err != nil {
			t.Fatal(err)
		}
		check(t, open(t, merged), flt, append([]slot{{}, {}, slots[2], slots[3]}, slots...))
	})
}
