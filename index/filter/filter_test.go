package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/arrwdb/arrwdb/index/filter"
)

func mustParse(t testing.TB, s string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse([]byte(s))
	if err != nil {
		t.Fatalf("Parse(%s): %v", s, err)
	}
	return f
}

func TestMatch(t *testing.T) {
	cases := []struct {
		filter, doc, chunk string
		want               bool
	}{
		{``, `{}`, ``, true},
		{`null`, ``, ``, true},
		{`{}`, ``, ``, true},
		{`{"$and":[{}]}`, ``, ``, true},
		{`{"$not":{}}`, ``, ``, false},

		{`{"year":2017}`, `{"year":2017}`, ``, true},
		{`{"year":2017}`, `{"year":2017.0}`, ``, true},
		{`{"year":2017}`, `{"year":"2017"}`, ``, false},
		{`{"year":2017,"lang":"en"}`, `{"year":2017,"lang":"de"}`, ``, false},
		{`{"year":{"$gte":2017,"$lt":2020}}`, ` { "year" : 2019 , "x":[1,{"y":"}"}] } `, ``, true},
		{`{"year":{"$gte":2017,"$lt":2020}}`, `{"year":2020}`, ``, false},
		{`{"s":{"$gt":"a"}}`, `{"s":"b"}`, ``, true},
		{`{"s":{"$lte":"2024-01-01T00:00:00Z"}}`, `{"s":"2023-12-31T00:00:00Z"}`, ``, true},
		{`{"s":{"$gt":1}}`, `{"s":"b"}`, ``, false},
		{`{"s":{"$lt":1}}`, `{"s":null}`, ``, false},

		// overlay
		{`{"page":1}`, `{"page":2}`, `{"page":1}`, true},
		{`{"page":2}`, `{"page":2}`, `{"page":1}`, false},
		{`{"page":2}`, `{"page":2}`, `{"other":1}`, true},
		{`{"page":null}`, `{"page":2}`, `{"page":null}`, true},
		{`{"a.b":1}`, `{"a":{"b":1}}`, `{"a":{"c":1}}`, false},

		// missing and null
		{`{"a":null}`, `{}`, ``, true},
		{`{"a":null}`, `{"a":null}`, ``, true},
		{`{"a":null}`, `{"a":0}`, ``, false},
		{`{"a":{"$eq":null,"$exists":true}}`, `{}`, ``, false},
		{`{"a":{"$ne":null}}`, `{}`, ``, false},
		{`{"a":{"$ne":1}}`, `{}`, ``, true},
		{`{"a":{"$nin":[1,2]}}`, `{}`, ``, true},
		{`{"a":{"$nin":[1,null]}}`, `{}`, ``, false},
		{`{"a":{"$in":[1,null]}}`, `{}`, ``, true},
		{`{"a":{"$in":[]}}`, `{"a":1}`, ``, false},
		{`{"a":{"$nin":[]}}`, `{"a":1}`, ``, true},
		{`{"a":{"$exists":true}}`, `{"a":null}`, ``, true},
		{`{"a":{"$exists":false}}`, `{"b":1}`, ``, true},
		{`{"a":{"$not":{"$gt":1}}}`, `{}`, ``, true},
		{`{"a":{"$gt":0}}`, `{}`, ``, false},

		// arrays
		{`{"tags":"nlp"}`, `{"tags":["ml","nlp"]}`, ``, true},
		{`{"tags":{"$ne":"nlp"}}`, `{"tags":["ml","nlp"]}`, ``, false},
		{`{"tags":{"$in":["x","nlp"]}}`, `{"tags":["ml","nlp"]}`, ``, true},
		{`{"n":{"$gt":5}}`, `{"n":[1,9]}`, ``, true},
		{`{"tags":{"$contains":"nlp"}}`, `{"tags":["ml","nlp"]}`, ``, true},
		{`{"tags":{"$contains":"nlp"}}`, `{"tags":"nlp"}`, ``, false},
		{`{"tags":{"$contains":"nlp"}}`, `{"tags":[["nlp"]]}`, ``, false},
		{`{"tags":{"$contains":null}}`, `{"tags":[1,null]}`, ``, true},
		{`{"tags":{"$contains":null}}`, `{}`, ``, false},
		{`{"authors.name":"Li"}`, `{"authors":[{"name":"Wu"},{"name":"Li"}]}`, ``, true},

		// dotted
		{`{"a.b.c":1}`, `{"a":{"b":{"c":1}}}`, ``, true},
		{`{"a.b":1}`, `{"a.b":1}`, ``, true},
		{`{"a.b":1}`, `{"a":{"b":2},"a.b":1}`, ``, false},
		{`{"a.b":1}`, `{"a":{"c":2},"a.b":1}`, ``, true},
		{`{"a.b":{"$exists":false}}`, `{"a":5}`, ``, true},

		// exact numbers
		{`{"n":9007199254740993}`, `{"n":9007199254740992}`, ``, false},
		{`{"n":9007199254740993}`, `{"n":9007199254740993}`, ``, true},
		{`{"n":{"$gt":9007199254740992}}`, `{"n":9007199254740993}`, ``, true},
		{`{"n":{"$lt":-9223372036854775806}}`, `{"n":-9223372036854775807}`, ``, true},
		{`{"n":18446744073709551615}`, `{"n":18446744073709551614}`, ``, false},
		{`{"n":{"$gt":0.5}}`, `{"n":1}`, ``, true},
		{`{"n":{"$lt":-0.5}}`, `{"n":-1}`, ``, true},
		{`{"n":0}`, `{"n":-0.0}`, ``, true},
		{`{"n":100}`, `{"n":1e2}`, ``, true},
		{`{"n":{"$gt":1e308}}`, `{"n":1e400}`, ``, true},

		{`{"b":true}`, `{"b":true}`, ``, true},
		{`{"b":true}`, `{"b":1}`, ``, false},
		{`{"caf\u00e9":"a\"b"}`, `{"café":"a\u0022b"}`, ``, true},
		{`{"a":1}`, `{"a":2,"a":1}`, ``, true}, // the last counts
		{`{"o":{"$ne":1}}`, `{"o":{"x":1}}`, ``, true},
		{`{"$or":[{"a":1},{"b":1}]}`, `{"b":1}`, ``, true},
		{`{"$and":[{"a":1},{"b":1}]}`, `{"b":1}`, ``, false},
		{`{"$not":{"a":1}}`, `{"b":1}`, ``, true},

		// what is no object counts as empty
		{`{"a":1}`, `[1]`, `"x"`, false},
		{`{"a":{"$ne":1}}`, `{"a`, `{{{`, true},
	}
	for _, c := range cases {
		f := mustParse(t, c.filter)
		if got := f.Match([]byte(c.doc), []byte(c.chunk)); got != c.want {
			t.Errorf("%s on %s + %s: %v, want %v (normal form %s)", c.filter, c.doc, c.chunk, got, c.want, f)
		}
	}
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat(`{"$not":`, filter.MaxDepth+1) + `{"a":1}` + strings.Repeat(`}`, filter.MaxDepth+1)
	many := `{"a":{"$in":[1` + strings.Repeat(`,1`, filter.MaxValues) + `]}}`
	wide := `{"$or":[{"a":1}` + strings.Repeat(`,{"a":1}`, filter.MaxNodes) + `]}`
	cases := []struct{ in, path, detail string }{
		{`[]`, "", "an array where a filter object"},
		{`{"a":1`, "", "no valid JSON at byte 6"},
		{`{"a":1} x`, "", "no valid JSON at byte 9"},
		{"{\"a\":\"\xff\"}", "", "no valid UTF-8 at byte 6"},
		{`{"$and":[]}`, "$and", "an empty array"},
		{`{"$and":{}}`, "$and", "array of filters"},
		{`{"$nor":[]}`, "$nor", "unknown operator"},
		{`{"$and":[{"a":1},{"year":{"$gte":[1]}}]}`, "$and[1].year.$gte", "an array where"},
		{`{"year":{"$gte":true}}`, "year.$gte", "a boolean where a number or a string"},
		{`{"year":{"$gte":null}}`, "year.$gte", "null where"},
		{`{"year":{"$foo":1}}`, "year.$foo", "unknown operator"},
		{`{"year":{}}`, "year", "empty object"},
		{`{"year":{"x":1}}`, "year.x", `write "year.x"`},
		{`{"year":[1]}`, "year", "an array where"},
		{`{"year":{"$in":1}}`, "year.$in", "an array is wanted"},
		{`{"year":{"$in":[1,{}]}}`, "year.$in[1]", "an object where"},
		{`{"year":{"$exists":1}}`, "year.$exists", "true or false"},
		{`{"year":{"$contains":[]}}`, "year.$contains", "an array where"},
		{`{"year":{"$not":1}}`, "year.$not", "object of conditions"},
		{`{"a":1,"a":2}`, "a", "twice"},
		{`{"a":{"$gt":1,"$gt":2}}`, "a.$gt", "twice"},
		{`{"a..b":1}`, "a..b", "empty segment"},
		{`{"":1}`, "", "empty segment"},
		{`{"a":1e999}`, "a", "out of range"},
		{`{"` + strings.Repeat("a.", filter.MaxSegments) + `a":1}`, strings.Repeat("a.", filter.MaxSegments) + "a", "segments"},
		{deep, strings.TrimSuffix(strings.Repeat("$not.", filter.MaxDepth+1), "."), "nested deeper"},
		{many, "a.$in", "more than 65536 values"},
		{wide, "", "more than"},
		{strings.Repeat(" ", 1) + `{"a":"` + strings.Repeat("x", filter.MaxBytes) + `"}`, "", "at most"},
	}
	for _, c := range cases {
		_, err := filter.Parse([]byte(c.in))
		var e *filter.Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%.60s): %v, want *filter.Error", c.in, err)
			continue
		}
		if c.path != "" && e.Path != c.path || !strings.Contains(e.Detail, c.detail) {
			t.Errorf("Parse(%.60s): path %q detail %q, want %q and %q", c.in, e.Path, e.Detail, c.path, c.detail)
		}
	}
}

func TestBigIn(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"id":{"$in":[`)
	for i := range filter.MaxValues {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"id-%d"`, i)
	}
	b.WriteString(`]}}`)
	f := mustParse(t, b.String())
	if !f.Match([]byte(`{"id":"id-65535"}`), nil) || f.Match([]byte(`{"id":"id-65536"}`), nil) {
		t.Error("wrong member")
	}
}

func TestTree(t *testing.T) {
	f := mustParse(t, `{"a.b":1,"$or":[{"c":{"$gt":1,"$lt":2}},{"d":{"$in":["x","x",null]}}]}`)
	want := `($and ("a.b" $eq 1) ($or ($and ("c" $gt 1) ("c" $lt 2)) ("d" $in "x" null)))`
	if f.String() != want {
		t.Errorf("normal form %s, want %s", f, want)
	}
	leaves := 0
	f.Walk(func(n *filter.Node) bool {
		if n.Op.IsLeaf() {
			leaves++
		}
		return true
	})
	if leaves != 4 {
		t.Errorf("%d leaves, want 4", leaves)
	}
}

func TestNumCompare(t *testing.T) {
	lits := []string{"-1e300", "-9223372036854775809", "-9223372036854775808", "-9223372036854775807", "-2.5", "-2", "-0.5", "0", "1e-320", "0.5", "1",
		"9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551614", "18446744073709551615", "1e20", "1e300"}
	for i, a := range lits {
		for j, b := range lits {
			x, _, _ := filter.ParseNum([]byte(a))
			y, _, _ := filter.ParseNum([]byte(b))
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if a == "-9223372036854775809" && i != j { // not exact: the nearest float64 is -2^63
				continue
			}
			if b == "-9223372036854775809" && i != j {
				continue
			}
			if got := x.Compare(y); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
			if (x == y) != (want == 0) {
				t.Errorf("%s == %s is %v", a, b, x == y)
			}
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	f := mustParse(t, `{"year":{"$gte":2017},"lang":{"$in":["en","de","fr","it","es","pt","nl","sv","da","no"]},"t":{"$gt":"`+strings.Repeat("a", 80)+`"}}`)
	doc := []byte(`{"year":2020,"lang":"no","t":"` + strings.Repeat("b", 80) + `","tags":["a","b"]}`)
	if !f.Match(doc, nil) {
		t.Fatal("no match")
	}
	if n := testing.AllocsPerRun(100, func() { f.Match(doc, nil) }); n != 0 {
		t.Errorf("%v allocations a match", n)
	}
}

// The naive evaluator: maps, and the rules of doc.go read aloud.

func naive(n *filter.Node, m map[string]any) bool {
	switch n.Op {
	case filter.And:
		for _, k := range n.Kids {
			if !naive(k, m) {
				return false
			}
		}
		return true
	case filter.Or:
		for _, k := range n.Kids {
			if naive(k, m) {
				return true
			}
		}
		return false
	case filter.Not:
		return !naive(n.Kids[0], m)
	}
	vals := naiveResolve(m, n.Path)
	if len(vals) == 0 && len(n.Path) > 1 {
		if v, ok := m[n.Field]; ok {
			vals = []any{v}
		}
	}
	equals := func() bool {
		for _, want := range n.Values {
			if len(vals) == 0 && want.Kind == filter.Null {
				return true
			}
			for _, v := range flatten(vals) {
				if naiveEqual(v, want) {
					return true
				}
			}
		}
		return false
	}
	switch n.Op {
	case filter.Exists:
		return (len(vals) > 0) == n.Values[0].Bool
	case filter.Eq, filter.In:
		return equals()
	case filter.Ne, filter.Nin:
		return !equals()
	case filter.Contains:
		for _, v := range vals {
			if a, ok := v.([]any); ok {
				for _, e := range a {
					if naiveEqual(e, n.Values[0]) {
						return true
					}
				}
			}
		}
		return false
	}
	for _, v := range flatten(vals) {
		c, ok := naiveCompare(v, n.Values[0])
		if ok && (n.Op == filter.Gt && c > 0 || n.Op == filter.Gte && c >= 0 || n.Op == filter.Lt && c < 0 || n.Op == filter.Lte && c <= 0) {
			return true
		}
	}
	return false
}

func flatten(vals []any) (out []any) {
	for _, v := range vals {
		if a, ok := v.([]any); ok {
			out = append(out, a...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

func naiveResolve(v any, path []string) []any {
	if len(path) == 0 {
		return []any{v}
	}
	switch v := v.(type) {
	case map[string]any:
		if x, ok := v[path[0]]; ok {
			return naiveResolve(x, path[1:])
		}
	case []any:
		var out []any
		for _, e := range v {
			if _, ok := e.(map[string]any); ok {
				out = append(out, naiveResolve(e, path)...)
			}
		}
		return out
	}
	return nil
}

// exactly reads a number as the package documents: integers of the two ranges
// are exact, the rest is float64.
func exactly(s string) *big.Float {
	f := new(big.Float).SetPrec(200)
	if i, ok := new(big.Int).SetString(s, 10); ok && (i.IsInt64() || i.IsUint64()) {
		return f.SetInt(i)
	}
	var x float64
	if json.Unmarshal([]byte(s), &x) != nil {
		return f.SetInf(s[0] == '-')
	}
	return f.SetFloat64(x)
}

func naiveCompare(v any, want filter.Value) (int, bool) {
	switch v := v.(type) {
	case json.Number:
		if want.Kind == filter.Number {
			return exactly(string(v)).Cmp(exactly(want.Num.String())), true
		}
	case string:
		if want.Kind == filter.String {
			return strings.Compare(v, want.Str), true
		}
	}
	return 0, false
}

func naiveEqual(v any, want filter.Value) bool {
	switch v := v.(type) {
	case nil:
		return want.Kind == filter.Null
	case bool:
		return want.Kind == filter.Bool && want.Bool == v
	}
	c, ok := naiveCompare(v, want)
	return ok && c == 0
}

func decode(raw []byte) (m map[string]any, ok bool) {
	if len(raw) == 0 {
		return nil, true
	}
	if !utf8.Valid(raw) {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if d.Decode(&m) != nil || d.More() || m == nil || !json.Valid(raw) {
		return nil, false
	}
	return m, true
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][3]string{
		{`{"a.b":{"$gt":1}}`, `{"a":[{"b":2}]}`, `{"a":1}`},
		{`{"a":{"$in":[1,"x",null,true]}}`, `{"a":["x"]}`, ``},
		{`{"$or":[{"a":null},{"$not":{"b":{"$contains":1e3}}}]}`, `{"a":1,"b":[1000]}`, `{}`},
		{`{"n":{"$lte":9007199254740993,"$ne":-0.5}}`, `{"n":9007199254740992.5}`, `{"n":-9223372036854775808}`},
		{`{"a\u0062.c":"\ud800"}`, `{"ab.c":"\ud800"}`, `{"ab":{"c":"\\"}}`},
		{`{"a":{"$nin":["1","2","3","4","5","6","7","8","9","10"],"$exists":true}}`, `{"a":"9"}`, ``},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]))
	}
	f.Fuzz(func(t *testing.T, raw, doc, chunk []byte) {
		flt, err := filter.Parse(raw)
		if err != nil {
			var e *filter.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T is not *filter.Error", err)
			}
			return
		}
		got := flt.Match(doc, chunk)
		d, ok1 := decode(doc)
		c, ok2 := decode(chunk)
		if !ok1 || !ok2 || flt.Root() == nil {
			return
		}
		merged := map[string]any{}
		for k, v := range d {
			merged[k] = v
		}
		for k, v := range c {
			merged[k] = v
		}
		if want := naive(flt.Root(), merged); got != want {
			t.Fatalf("%s\non %s + %s: %v, the naive evaluator says %v", flt, doc, chunk, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f := mustParse(b, `{"year":{"$gte":2017},"lang":"en"}`)
	doc := []byte(`{"title":"Attention is all you need","authors":["Vaswani","Shazeer"],"lang":"en","venue":"NeurIPS","year":2017}`)
	chunk := []byte(`{"page":3}`)
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(doc, chunk) {
			b.Fatal("no match")
		}
	}
}

func TestFloatEdges(t *testing.T) {
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 1 << 53, 1 << 62, 1 << 63, -(1 << 63), math.MaxFloat64, math.Inf(1), math.Inf(-1), 0.1} {
		if got := filter.Float(f).Float64(); got != f {
			t.Errorf("Float(%v).Float64() = %v", f, got)
		}
	}
}
