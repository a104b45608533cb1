package docjson_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// line makes the line of an upload that the figures in DESIGN.md speak of: one
// chunk of 100 words and 128 floats of the given format.
func line(seed uint64, format func(f float64) string) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	fmt.Fprintf(&b, `{"id":"doc-%d","title":"On the measurement of things","metadata":{"year":2017,"tags":["nlp","ir"]},"chunks":[{"text":"`, seed)
	for i := range 100 {
		if i > 0 {
			b.WriteByte(' ')
		}
		for range 3 + r.IntN(6) {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
	}
	b.WriteString(`","embedding":[`)
	for i := range 128 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(format(r.NormFloat64() * 0.1))
	}
	b.WriteString(`],"metadata":{"page":1}}]}`)
	return []byte(b.String())
}

// lines makes 256 different lines, so that no branch predictor learns one by
// heart, and tells b their size.
func lines(b *testing.B, format func(f float64) string) [][]byte {
	all := make([][]byte, 256)
	size := 0
	for i := range all {
		all[i] = line(uint64(i), format)
		size += len(all[i])
	}
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	return all
}

var formats = []struct {
	name   string
	format func(f float64) string
}{
	{"short", func(f float64) string { return strconv.FormatFloat(float64(float32(f)), 'g', -1, 32) }},
	{"double", func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }},
	{"six", func(f float64) string { return strconv.FormatFloat(f, 'f', 6, 64) }},
	{"spaced", func(f float64) string { return " " + strconv.FormatFloat(float64(float32(f)), 'g', -1, 64) }},
}

func BenchmarkParse(b *testing.B) {
	for _, f := range formats {
		b.Run("floats="+f.name, func(b *testing.B) {
			src := lines(b, f.format)
			var d docjson.Document
			for i := 0; b.Loop(); i++ {
				if err := docjson.Parse(&d, src[i%len(src)], docjson.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// jsonDocument is what a program without this package would decode into.
type jsonDocument struct {
	ID       string          `json:"id"`
	Title    string          `json:"title"`
	Metadata json.RawMessage `json:"metadata"`
	Chunks   []struct {
		ID        string          `json:"id"`
		Text      string          `json:"text"`
		Embedding []float32       `json:"embedding"`
		Metadata  json.RawMessage `json:"metadata"`
	} `json:"chunks"`
}

func BenchmarkEncodingJSON(b *testing.B) {
	for _, f := range formats {
		b.Run("floats="+f.name, func(b *testing.B) {
			src := lines(b, f.format)
			for i := 0; b.Loop(); i++ {
				var d jsonDocument
				if err := json.Unmarshal(src[i%len(src)], &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func view(tb testing.TB, src []byte) *docjson.View {
	var d docjson.Document
	if err := docjson.Parse(&d, src, docjson.Limits{}); err != nil {
		tb.Fatal(err)
	}
	return &docjson.View{LibraryID: "papers", ID: d.ID, Title: d.Title, Metadata: d.Metadata, Seq: 42,
		CreatedAt: 1_700_000_000_000_000, UpdatedAt: 1_700_000_000_000_001, NumChunks: len(d.Chunks), Chunks: append([]change.Chunk(nil), d.Chunks...)}
}

func BenchmarkAppendView(b *testing.B) {
	var views []*docjson.View
	for i := range uint64(256) {
		views = append(views, view(b, line(i, formats[0].format)))
	}
	for _, embeddings := range []bool{false, true} {
		b.Run(fmt.Sprintf("embeddings=%v", embeddings), func(b *testing.B) {
			buf := docjson.AppendView(nil, views[0], embeddings)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				buf = docjson.AppendView(buf[:0], views[i%len(views)], embeddings)
			}
		})
	}
}

func BenchmarkMergeMetadata(b *testing.B) {
	doc, patch := []byte(`{"year":2017,"tags":["nlp","ir"],"author":"A. Writer","pages":12}`), []byte(`{"year":2018,"tags":null,"venue":{"name":"X"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := docjson.MergeMetadata(doc, patch); err != nil {
			b.Fatal(err)
		}
	}
}
