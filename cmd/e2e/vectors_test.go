package e2e_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// bits decodes an embedding of an answer into float32 bit patterns.
func bits(t testing.TB, v any) []uint32 {
	t.Helper()
	var out []uint32
	for _, n := range list(v) {
		f, err := strconv.ParseFloat(n.(json.Number).String(), 32)
		if err != nil {
			t.Fatalf("%v is not a float32: %v", n, err)
		}
		out = append(out, math.Float32bits(float32(f)))
	}
	return out
}

func floatsJSON(texts ...string) string { return "[" + strings.Join(texts, ",") + "]" }

// TestVectorsComeBackBitForBit sends numbers as a client may write them: with too
// many digits, with exponents, subnormal, negative zero, near the limits.
func TestVectorsComeBackBitForBit(t *testing.T) {
	texts := []string{"0.1", "-0.0", "-0", "0", "1e38", "-3.4028234663852886e38", "3.4028235e38", "1e-45", "-1.401298464324817e-45", "1.17549435e-38",
		"1.1754942e-38", "0.30000000000000004", "0.333333333333333333333333333333333333333333", "16777217", "33554435", "1.00000005960464477539", "1.0000001",
		"123456789012345678901234567890", "1e-60", "2.5E+2", "7e-46", "0.1000000014901161193847656250000000000000000000000000000000001"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f := math.Float32frombits(r.Uint32())
		if f != f || math.IsInf(float64(f), 0) {
			continue
		}
		texts = append(texts, strconv.FormatFloat(float64(f), 'g', -1, 64))
	}
	want := make([]uint32, len(texts))
	for i, text := range texts {
		f, err := strconv.ParseFloat(text, 32)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = math.Float32bits(float32(f))
	}
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t, J{"metric": "dot"})
		e.put(t, doc(lib, "v"), `{"embedding":`+floatsJSON(texts...)+`}`).is(201)
		e.ingest(t, lib, "", `{"id":"s","embedding":`+floatsJSON(texts...)+"}\n").is(200)
		check := func(what string, v any) {
			t.Helper()
			got := bits(t, v)
			if len(got) != len(want) {
				t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s: %s came back as %08x (%v), want %08x", what, texts[i], got[i], at(v, i), want[i])
				}
			}
		}
		check("GET", at(e.get(t, doc(lib, "v")+"?include=embeddings").is(200).obj(), "chunks", 0, "embedding"))
		check("GET after ingest", at(e.get(t, doc(lib, "s")+"?include=embeddings").is(200).obj(), "chunks", 0, "embedding"))
		check("list", at(e.get(t, docs(lib)+"?include=embeddings").is(200).obj(), "documents", 0, "chunks", 0, "embedding"))
		check("export", at(e.get(t, docs(lib)+"/stream?include=embeddings").is(200).lines("ExportLine")[1], "chunks", 0, "embedding"))
		ev := e.eventsFrom(t, 1, "library="+lib+"&types=document.added&include=embeddings")
		check("event", at(ev[0], "data", "document", "chunks", 0, "embedding"))
	})
}

func TestVectorDimension(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		same(t, "dimension", e.get(t, "/v1/libraries/"+lib).obj()["dimension"], nil)
		// A refused write fixes nothing.
		e.put(t, doc(lib, "x"), J{"chunks": []J{{"embedding": []int{1, 2}}, {"embedding": []int{1, 2, 3}}}}).problem(400, "dimension_mismatch")
		same(t, "dimension", e.get(t, "/v1/libraries/"+lib).obj()["dimension"], nil)
		e.put(t, doc(lib, "a"), J{"embedding": []int{1, 2, 3, 4}}).is(201)
		same(t, "dimension", e.get(t, "/v1/libraries/"+lib).obj()["dimension"], 4)
		p := e.put(t, doc(lib, "b"), J{"embedding": []int{1, 2, 3}}).problem(400, "dimension_mismatch")
		same(t, "expected", p["expected"], 4)
		same(t, "got", p["got"], 3)
		// Fixed for good: the document may go, the dimension stays.
		e.del(t, doc(lib, "a")).is(200)
		e.put(t, doc(lib, "b"), J{"embedding": []int{1, 2, 3}}).problem(400, "dimension_mismatch")
		e.put(t, doc(lib, "b"), J{"embedding": []int{}}).is(400)
	})
}

func TestVectorsThatAreRefused(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		cosine, l2 := e.lib(t), e.lib(t, J{"metric": "l2"})
		e.put(t, doc(cosine, "a"), J{"embedding": []int{1, 2}}).is(201)
		e.put(t, doc(l2, "a"), J{"embedding": []int{1, 2}}).is(201)
		for _, text := range []string{`[NaN,1]`, `[Infinity,1]`, `[-Infinity,1]`, `[1e39,1]`, `[1,-1e400]`, `[3.5e38,0]`, `["1",2]`, `[null,1]`, `[[1],2]`, `[1,2,]`, `[01,2]`, `[+1,2]`, `[.5,1]`, `[1.,2]`, `[0x1,2]`, `[1e,2]`, `[true,1]`, `{"0":1}`} {
			t.Run(text, func(t *testing.T) {
				e.put(t, doc(l2, "b"), `{"embedding":`+text+`}`).is(400)
				r := e.ingest(t, l2, "", `{"id":"b","embedding":`+text+"}\n")
				if r.status == 200 {
					same(t, "failed", r.obj()["failed"], 1)
				} else {
					r.is(400)
				}
				e.get(t, doc(l2, "b")).problem(404, "document_not_found")
			})
		}
		e.put(t, doc(cosine, "z"), J{"embedding": []int{0, 0}}).is(400)
		e.put(t, doc(cosine, "z"), `{"embedding":[-0.0,0]}`).is(400)
		e.put(t, doc(l2, "z"), J{"embedding": []int{0, 0}}).is(201)
		// So small that its square is nothing, and yet not of zero length.
		e.put(t, doc(cosine, "small"), `{"embedding":[1e-30,1e-30]}`).is(201, 400)
	})
}
