package docjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// show writes a parsed document in one line, for tables.
func show(d *docjson.Document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%s|%d", d.ID, d.Title, d.Metadata, d.CreatedAt)
	if d.HasText {
		fmt.Fprintf(&b, "|text=%s", d.Text)
	}
	for _, c := range d.Chunks {
		fmt.Fprintf(&b, "|{%s %s %s", c.ID, c.Text, c.Metadata)
		for _, v := range c.Vectors {
			fmt.Fprintf(&b, " %v", v.Floats(nil))
		}
		b.WriteString("}")
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"whole", `{"id":"doc-1","title":"Attention","metadata":{"year":2017,"tags":["nlp"]},"chunks":[{"text":"a","embedding":[0.5,-1],"metadata":{"page":1}}]}`,
			`doc-1|Attention|{"year":2017,"tags":["nlp"]}|0|{ a {"page":1} [0.5 -1]}`},
		{"white space", " {\r\n\t\"id\" : \"d\" , \"metadata\" : { \"a\" : [ 1 , 2 ] , \"s\" : \" x \" } , \"chunks\" : [ { \"text\" : \"t\" , \"embedding\" : [ 1 , 2 ] } ] } \n",
			`d||{"a":[1,2],"s":" x "}|0|{ t  [1 2]}`},
		{"texts", `{"texts":["a","b\n"]}`, "|||0|{ a }|{ b\n }"},
		{"text", `{"text":"long"}`, "|||0|text=long"},
		{"text and embedding", `{"embedding":[1],"text":"t"}`, "|||0|{ t  [1]}"},
		{"embedding", `{"embedding":[1e2,-0,0.0]}`, "|||0|{   [100 -0 0]}"},
		{"empty text with embedding", `{"embedding":[1],"text":""}`, "|||0|{   [1]}"},
		{"two vectors", `{"chunks":[{"embedding":[1,2]},{"text":"x"},{"embedding":[3,4]}]}`, "|||0|{   [1 2]}|{ x }|{   [3 4]}"},
		{"nulls", `{"id":null,"title":null,"metadata":null,"texts":null,"text":"x","embedding":null,"chunks":null,"tags":null,"created_at":null}`, "|||0|text=x"},
		{"top-level metadata", `{"text":"x","author":"A","tags":["a", "b"],"document_type":"pdf","source_url":"http://x/?a=\"","metadata":{"author":"B","n":1}}`,
			`||{"author":"B","n":1,"document_type":"pdf","source_url":"http://x/?a=\"","tags":["a","b"]}|0|text=x`},
		{"top-level metadata alone", `{"text":"x","author":"A"}`, `||{"author":"A"}|0|text=x`},
		{"an answer", `{"id":"d","library_id":"l","title":"","metadata":{},"chunks":[{"id":"c:1","text":"t","metadata":{}}],"num_chunks":1,"seq":9,"created_at":"1970-01-01T00:00:01.000002Z","updated_at":"x"}`,
			"d|||1000002|{c:1 t }"},
		{"offset of time", `{"text":"t","created_at":"1970-01-01T01:00:00+01:00"}`, "|||0|text=t"},
		{"escapes", `{"text":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000"}`, "|||0|text=\"\\/\b\f\n\r\té😀\x00"},
		{"lone surrogates", `{"text":"\ud800x\udc00\ud800\u0041"}`, "|||0|text=\uFFFDx\uFFFD\uFFFDA"},
		{"metadata as written", `{"text":"t","metadata":{"x":"\u00e9\ud800","n":1.0e+0007,"big":12345678901234567890123}}`,
			`||{"x":"\u00e9\ud800","n":1.0e+0007,"big":12345678901234567890123}|0|text=t`},
		{"other scripts", `{"text":"日本語のテキスト, Ünïcödé"}`, "|||0|text=日本語のテキスト, Ünïcödé"},
		{"escaped key", `{"te\u0078t":"t"}`, "|||0|text=t"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d docjson.Document
			if err := docjson.Parse(&d, []byte(c.src), docjson.Limits{}); err != nil {
				t.Fatal(err)
			}
			if got := show(&d); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			src := []byte(c.src)
			if err := docjson.Parse(&d, src, docjson.Limits{}); err != nil {
				t.Fatal(err)
			}
			n := d.TextBytes()
			b := d.Detach([]byte("before"))
			for i := range src {
				src[i] = '#'
			}
			if got := show(&d); got != c.want || len(b) != len("before")+n {
				t.Errorf("detached, %d bytes for %d: got  %q\nwant %q", len(b), n, got, c.want)
			}
		})
	}
}

func TestParseBadInput(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	many := "{"
	for i := range 100 {
		many += fmt.Sprintf(`"k%d":1,`, i)
	}
	many += `"k7":2}`
	for _, c := range []struct {
		name, src string
		code      change.Code
		field     string
		says      string // part of the detail
	}{
		{"nothing", ``, change.InvalidJSON, "", "at byte 0"},
		{"no object", `[1]`, change.InvalidArgument, "", "an array"},
		{"no JSON", `hello`, change.InvalidJSON, "", "at byte 0"},
		{"cut", `{"id":"d"`, change.InvalidJSON, "", "at byte 9"},
		{"cut after colon", `{"author":`, change.InvalidJSON, "", "at byte 10"},
		{"cut string", `{"id":"d`, change.InvalidJSON, "", "at byte 6"},
		{"cut array", `{"chunks":[`, change.InvalidJSON, "", "at byte 11"},
		{"cut vector", `{"embedding":[1,`, change.InvalidJSON, "", "at byte 16"},
		{"cut number", `{"embedding":[1.`, change.InvalidJSON, "", "at byte 16"},
		{"cut escape", `{"text":"\u12`, change.InvalidJSON, "", "at byte 9"},
		{"trailing comma", `{"text":"x",}`, change.InvalidJSON, "", "at byte 12"},
		{"trailing comma in vector", `{"embedding":[1,]}`, change.InvalidJSON, "", "at byte 16"},
		{"after the end", `{"text":"x"} {}`, change.InvalidJSON, "", "at byte 13"},
		{"byte order mark", "\xef\xbb\xbf{}", change.InvalidJSON, "", "byte order mark"},
		{"control character", "{\"text\":\"a\nb\"}", change.InvalidJSON, "", "at byte 10"},
		{"not UTF-8", "{\"text\":\"a\xffb\"}", change.InvalidJSON, "", "at byte 10: not UTF-8"},
		{"surrogate in UTF-8", "{\"text\":\"\xed\xa0\x80\"}", change.InvalidJSON, "", "not UTF-8"},
		{"not UTF-8 in metadata", "{\"text\":\"x\",\"metadata\":{\"\xff\":1}}", change.InvalidJSON, "", "not UTF-8"},
		{"NaN", `{"embedding":[1,NaN]}`, change.InvalidJSON, "", "NaN is not JSON"},
		{"-Infinity", `{"embedding":[-Infinity]}`, change.InvalidJSON, "", "finite"},
		{"leading zero", `{"embedding":[01]}`, change.InvalidJSON, "", "number"},
		{"plus", `{"embedding":[+1]}`, change.InvalidJSON, "", ""},
		{"point without digits", `{"embedding":[1.]}`, change.InvalidJSON, "", "number"},
		{"exponent without digits", `{"embedding":[1e]}`, change.InvalidJSON, "", "number"},
		{"NaN in metadata", `{"text":"x","metadata":{"a":NaN}}`, change.InvalidJSON, "", "NaN is not JSON"},
		{"literal", `{"text":"x","metadata":{"a":nul}}`, change.InvalidJSON, "", "at byte"},

		{"unknown", `{"txt":"x"}`, change.InvalidArgument, "txt", `did you mean "text"?`},
		{"unknown in chunk", `{"chunks":[{"text":"a"},{"text":"b","embeding":[1]}]}`, change.InvalidArgument, "chunks[1].embeding", `did you mean "embedding"?`},
		{"twice", `{"text":"x","text":"y"}`, change.InvalidArgument, "text", "twice"},
		{"twice in chunk", `{"chunks":[{"text":"x","text":"y"}]}`, change.InvalidArgument, "chunks[0].text", "twice"},
		{"twice in metadata", `{"text":"x","metadata":{"a":{"b":1,"\u0062":2}}}`, change.InvalidArgument, "metadata", `"b" twice`},
		{"twice among many", `{"text":"x","metadata":` + many + `}`, change.InvalidArgument, "metadata", `"k7" twice`},
		{"deep", `{"text":"x","metadata":` + deep + `}`, change.InvalidArgument, "metadata", "128"},
		{"title", `{"title":1}`, change.InvalidArgument, "title", "a number: it must be a string"},
		{"metadata", `{"metadata":[]}`, change.InvalidArgument, "metadata", "it must be an object"},
		{"metadata of chunk", `{"chunks":[{"metadata":"x"}]}`, change.InvalidArgument, "chunks[0].metadata", "it must be an object"},
		{"tags", `{"tags":["a",1]}`, change.InvalidArgument, "tags[1]", "it must be a string"},
		{"author", `{"author":{}}`, change.InvalidArgument, "author", "it must be a string"},
		{"created_at", `{"created_at":"yesterday"}`, change.InvalidArgument, "created_at", "RFC 3339"},
		{"id", `{"id":"a b"}`, change.InvalidArgument, "id", "is not an id"},
		{"empty id", `{"id":""}`, change.InvalidArgument, "id", "is not an id"},
		{"chunk id", `{"chunks":[{"id":"/"}]}`, change.InvalidArgument, "chunks[0].id", "is not an id"},
		{"chunk ids", `{"chunks":[{"id":"a","text":"x"},{"id":"a","text":"y"}]}`, change.InvalidArgument, "chunks[1].id", "same id"},
		{"chunk id and place", `{"chunks":[{"id":"1","text":"x"},{"text":"y"}]}`, change.InvalidArgument, "chunks[1].id", "same id"},
		{"chunks", `{"chunks":{}}`, change.InvalidArgument, "chunks", "it must be an array"},
		{"chunk", `{"chunks":["x"]}`, change.InvalidArgument, "chunks[0]", "it must be an object"},
		{"empty chunk", `{"chunks":[{"id":"x"}]}`, change.InvalidArgument, "chunks[0]", "text"},
		{"texts", `{"texts":"x"}`, change.InvalidArgument, "texts", "it must be an array"},
		{"element of texts", `{"texts":["x",null]}`, change.InvalidArgument, "texts[1]", "it must be a string"},
		{"vector", `{"embedding":"x"}`, change.InvalidArgument, "embedding", "it must be an array"},
		{"element of vector", `{"chunks":[{"embedding":[1,"2"]}]}`, change.InvalidArgument, "chunks[0].embedding[1]", "it must be a number"},
		{"empty vector", `{"embedding":[ ]}`, change.InvalidArgument, "embedding", "one or more elements"},
		{"overflow", `{"embedding":[1,1e39]}`, change.InvalidArgument, "embedding[1]", "1e39"},
		{"none", `{"id":"x"}`, change.InvalidArgument, "chunks", "one or more chunks"},
		{"no chunks", `{"chunks":[]}`, change.InvalidArgument, "chunks", "empty"},
		{"no texts", `{"texts":[]}`, change.InvalidArgument, "texts", "empty"},
		{"empty text", `{"text":""}`, change.InvalidArgument, "text", "empty"},
		{"chunks and texts", `{"chunks":[{"text":"x"}],"texts":["y"]}`, change.InvalidArgument, "texts", "beside"},
		{"chunks and text", `{"text":"y","chunks":[{"text":"x"}]}`, change.InvalidArgument, "text", "beside"},
		{"chunks and vector", `{"embedding":[1],"chunks":[{"text":"x"}]}`, change.InvalidArgument, "embedding", "beside"},
		{"texts and text", `{"texts":["x"],"text":"y"}`, change.InvalidArgument, "text", "beside"},
		{"limit of chunks", `{"texts":["1","2","3","4"]}`, change.TooLarge, "", "3"},
		{"limit of dimension", `{"embedding":[1,2,3,4,5]}`, change.TooLarge, "", "4"},
		{"limit of metadata", `{"text":"x","metadata":{"a":"` + strings.Repeat("x", 5000) + `"}}`, change.TooLarge, "", "4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d docjson.Document
			err := docjson.Parse(&d, []byte(c.src), docjson.Limits{Chunks: 3, Dimension: 4, Metadata: 4096})
			var e *change.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *change.Error; document %s", err, show(&d))
			}
			if e.Code != c.code || e.Field != c.field || !strings.Contains(e.Detail, c.says) {
				t.Errorf("got  %s, field %q: %s\nwant %s, field %q: …%s…", e.Code, e.Field, e.Detail, c.code, c.field, c.says)
			}
			if e.Code == change.InvalidJSON && e.Extra["offset"] == nil {
				t.Error("no offset")
			}
		})
	}
}

// A Document that is used again shows nothing of what it held before, allocates
// nothing, and keeps what it shows until the next Parse.
func TestParseAgain(t *testing.T) {
	var d docjson.Document
	big := line(3, formats[1].format)
	small := []byte(`{"id":"x","text":"a\tb","metadata":{ "k" : 1 }}`)
	for range 3 {
		if err := docjson.Parse(&d, big, docjson.Limits{}); err != nil {
			t.Fatal(err)
		}
		if err := docjson.Parse(&d, small, docjson.Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := show(&d); got != "x||{\"k\":1}|0|text=a\tb" {
			t.Fatalf("got %q", got)
		}
	}
	for _, src := range [][]byte{big, small} {
		if n := testing.AllocsPerRun(100, func() { _ = docjson.Parse(&d, src, docjson.Limits{}) }); n != 0 {
			t.Errorf("%v allocations a document", n)
		}
	}
}

// Vectors of one document lie one after the other, whatever the slice that holds
// them has grown through.
func TestVectorsContiguous(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"chunks":[`)
	for i := range 500 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"embedding":[%d,%d,%d]}`, i, i+1, i+2)
	}
	b.WriteString(`]}`)
	var d docjson.Document
	if err := docjson.Parse(&d, []byte(b.String()), docjson.Limits{}); err != nil {
		t.Fatal(err)
	}
	for i := range d.Chunks {
		v := d.Chunks[i].Vectors[0]
		if got := v.Floats(nil); !reflect.DeepEqual(got, []float32{float32(i), float32(i + 1), float32(i + 2)}) {
			t.Fatalf("chunk %d: %v", i, got)
		}
		if i > 0 {
			before := reflect.ValueOf(d.Chunks[i-1].Vectors[0].Raw).Pointer()
			if reflect.ValueOf(v.Raw).Pointer() != before+12 {
				t.Fatalf("chunk %d does not follow chunk %d", i, i-1)
			}
		}
	}
}

func TestParseChunks(t *testing.T) {
	var d docjson.Document
	if err := docjson.ParseChunks(&d, []byte(`{"chunks":[{"id":"1","text":"a"},{"text":"b"}]}`), docjson.Limits{}); err != nil || len(d.Chunks) != 2 {
		t.Fatal(err, d.Chunks)
	}
	for _, bad := range []string{`{"text":"a"}`, `{"chunks":[]}`, `{}`, `{"chunks":[{"id":"a","text":"x"},{"id":"a","text":"x"}]}`} {
		if err := docjson.ParseChunks(&d, []byte(bad), docjson.Limits{}); err == nil {
			t.Errorf("%s passed", bad)
		}
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{"a": true, "A.b_c:d-9": true, "0": true, "": false, "-a": false, "a b": false, "é": false, "a/b": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false} {
		if docjson.ValidID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

func TestAppendTime(t *testing.T) {
	const layout = time.RFC3339Nano
	for _, us := range []int64{0, 1, -1, 1_700_000_000_123_456, -86_400_000_000, -86_400_000_001, 253402300799_999999, -62135596800_000000} {
		if got, want := string(docjson.AppendTime(nil, us)), time.UnixMicro(us).UTC().Format(layout); got != want {
			t.Errorf("%d: got %s, want %s", us, got, want)
		}
	}
}

func TestAppendView(t *testing.T) {
	v := &docjson.View{LibraryID: "papers", ID: "d", Title: "a\"\\\n\x00\u2028é😀", Metadata: []byte(`{"a":1}`), Seq: 7, CreatedAt: 1, UpdatedAt: 2, NumChunks: 2,
		Chunks: []change.Chunk{{ID: "0", Text: "x", Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{0.5, float32(math.Copysign(0, -1)), 1e-45})}}}, {ID: "1", Text: "y"}}}
	want := `{"id":"d","library_id":"papers","title":"a\"\\\n\u0000` + "\u2028é😀" + `","metadata":{"a":1},"chunks":[{"id":"0","text":"x","metadata":{},"embedding":[0.5,-0,1e-45]},{"id":"1","text":"y","metadata":{},"embedding":null}],"num_chunks":2,"seq":7,"created_at":"1970-01-01T00:00:00.000001Z","updated_at":"1970-01-01T00:00:00.000002Z"}`
	if got := string(docjson.AppendView(nil, v, true)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := docjson.AppendView(nil, v, false); bytes.Contains(got, []byte("embedding")) || !json.Valid(got) {
		t.Errorf("got %s", got)
	}
}

// What a view shows can be sent again and gives the same document.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		v := view(t, line(seed, formats[seed%4].format))
		v.Title = "t\t\"" + strconv.Itoa(int(seed))
		v.Chunks[0].ID = "0"
		again := view(t, docjson.AppendView(nil, v, true))
		if !reflect.DeepEqual(v, again) {
			t.Fatalf("seed %d: %+v\n%+v", seed, v, again)
		}
	}
}

func checkFloat(t *testing.T, s string) {
	t.Helper()
	want, err := strconv.ParseFloat(s, 32)
	var d docjson.Document
	got := docjson.Parse(&d, []byte(`{"embedding":[`+s+`]}`), docjson.Limits{})
	if (err != nil) != (got != nil) {
		t.Fatalf("%s: strconv says %v, Parse says %v", s, err, got)
	}
	if err != nil {
		return
	}
	if f := d.Chunks[0].Vectors[0].Floats(nil)[0]; math.Float32bits(f) != math.Float32bits(float32(want)) {
		t.Fatalf("%s: got %x, want %x", s, math.Float32bits(f), math.Float32bits(float32(want)))
	}
}

// Every way to write a number gives what strconv gives: random bits in the
// formats that clients use, and decimals at, just above and just below the
// midpoints between two float32.
func TestFloats(t *testing.T) {
	n := 300_000
	if testing.Short() {
		n = 20_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		f := math.Float32frombits(r.Uint32())
		if f != f || math.IsInf(float64(f), 0) {
			continue
		}
		if r.IntN(2) == 0 {
			f = float32(r.NormFloat64() * 0.05)
		}
		next := math.Nextafter32(f, float32(math.Inf(1)))
		mid := float64(f)/2 + float64(next)/2
		for _, v := range []float64{float64(f), float64(f) * (1 + r.Float64()*1e-7), mid, math.Nextafter(mid, math.Inf(1)), math.Nextafter(mid, math.Inf(-1))} {
			if math.IsInf(v, 0) {
				continue
			}
			switch r.IntN(5) {
			case 0:
				checkFloat(t, strconv.FormatFloat(v, 'g', -1, 64))
			case 1:
				checkFloat(t, strconv.FormatFloat(v, 'f', -1, 64))
			case 2:
				checkFloat(t, strconv.FormatFloat(v, 'e', r.IntN(40), 64))
			case 3:
				checkFloat(t, strconv.FormatFloat(v, 'f', r.IntN(25), 64))
			case 4:
				checkFloat(t, strconv.FormatFloat(v, 'g', -1, 32))
			}
		}
	}
	for _, s := range []string{"0", "-0", "0.0", "-0e5", "0.000000000000000000000000000000000000000000001", "1e-400", "1e-99999999999", "0e99999999999", "1e99999999999",
		"340282346638528859811704183484516925440", "340282356779733661637539395458142568447", "340282356779733661637539395458142568448",
		"1.17549435e-38", "1.1754942e-38", "1.4e-45", "7e-46", "7.1e-46", "16777217", "16777217.0000000000000000000000000000000001", "16777216.9999999999999999999999",
		"123456789012345678901234567890", "0.1234567890123456789012345678901234567890", "1000000000000000000000000e-24", "9007199254740993", "1E5", "1e+5", "12345678.12345678"} {
		checkFloat(t, s)
	}
}

func FuzzFloat(f *testing.F) {
	for _, s := range []string{"1", "-0.25", "1e-3", "0.1234567890123456789", "3.4028236e38"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || strings.ContainsAny(s, "\"{[tfn \t\r\n") {
			return
		}
		checkFloat(t, s)
	})
}

// reference reads a document with encoding/json, as strictly as it goes.
func reference(src []byte) (*jsonDocument, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	var d struct {
		jsonDocument
		Texts        []string        `json:"texts"`
		Text         *string         `json:"text"`
		Embedding    []float32       `json:"embedding"`
		Author       *string         `json:"author"`
		DocumentType *string         `json:"document_type"`
		SourceURL    *string         `json:"source_url"`
		Tags         []string        `json:"tags"`
		CreatedAt    *string         `json:"created_at"`
		LibraryID    json.RawMessage `json:"library_id"`
		Seq          json.RawMessage `json:"seq"`
		UpdatedAt    json.RawMessage `json:"updated_at"`
		NumChunks    json.RawMessage `json:"num_chunks"`
	}
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	return &d.jsonDocument, nil
}

// FuzzParse holds Parse against encoding/json: it never panics, takes nothing
// that is not JSON, and reads the same values.
func FuzzParse(f *testing.F) {
	f.Add(line(1, formats[0].format))
	f.Add([]byte(`{"id":"d","title":"\ud800\u0041\n","metadata":{"a":[1,{"b":null}], "é":true},"chunks":[{"id":"x","text":"日本","embedding":[1e-3 , 2]}],"author":"x","tags":["a"]}`))
	f.Add([]byte(`{"text":"t","created_at":"2026-01-31T12:00:00Z","seq":1}`))
	f.Add([]byte("{\"text\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		var d docjson.Document
		err := docjson.Parse(&d, src, docjson.Limits{})
		if !bytes.Equal(src, before) {
			t.Fatal("Parse changed its input")
		}
		if err != nil {
			if e := (*change.Error)(nil); !errors.As(err, &e) {
				t.Fatalf("%T", err)
			} else if e.Code == change.InvalidJSON && json.Valid(src) && !strings.Contains(e.Detail, "UTF-8") {
				t.Fatalf("%q is JSON: %v", src, err)
			}
			return
		}
		if !json.Valid(src) {
			t.Fatalf("%q is not JSON", src)
		}
		want, err := reference(src)
		if err != nil {
			t.Fatalf("%q: encoding/json says %v", src, err)
		}
		if d.ID != want.ID || d.Title != want.Title {
			t.Fatalf("got %q %q, want %q %q", d.ID, d.Title, want.ID, want.Title)
		}
		if d.Metadata != nil && !json.Valid(d.Metadata) {
			t.Fatalf("metadata %q", d.Metadata)
		}
		if len(want.Chunks) > 0 && len(d.Chunks) != len(want.Chunks) {
			t.Fatalf("%d chunks, want %d", len(d.Chunks), len(want.Chunks))
		}
		for i, c := range want.Chunks {
			got := d.Chunks[i]
			if got.ID != c.ID || got.Text != c.Text {
				t.Fatalf("chunk %d: %+v, want %+v", i, got, c)
			}
			var vector []float32
			if len(got.Vectors) > 0 {
				vector = got.Vectors[0].Floats(nil)
			}
			if !reflect.DeepEqual(change.AppendRaw(nil, vector), change.AppendRaw(nil, c.Embedding)) {
				t.Fatalf("chunk %d: %v, want %v", i, vector, c.Embedding)
			}
		}
		v := &docjson.View{ID: d.ID, Title: d.Title, Metadata: d.Metadata, Chunks: d.Chunks}
		out := docjson.AppendView(nil, v, true)
		var back jsonDocument
		if err := json.Unmarshal(out, &back); err != nil || back.Title != d.Title || bytes.IndexByte(out, '\n') >= 0 {
			t.Fatalf("view %q: %v", out, err)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\x00\x1f\u2028é\n12345678")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		out := docjson.AppendString(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != s {
			t.Fatalf("%q -> %q -> %q, %v", s, out, back, err)
		}
	})
}

// What is written is what strconv writes, bit for bit, over all of the range.
func TestAppendFloat(t *testing.T) {
	n := 3_000_000
	if testing.Short() {
		n = 100_000
	}
	check := func(f float32) {
		if got, want := docjson.AppendFloat(nil, f), strconv.AppendFloat(nil, float64(f), 'g', -1, 32); !bytes.Equal(got, want) {
			t.Fatalf("%x: got %s, want %s", math.Float32bits(f), got, want)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	low, high := math.Float32bits(0.5e-4), math.Float32bits(20)
	for range n {
		check(math.Float32frombits(low + r.Uint32N(high-low)))
		check(-float32(r.NormFloat64() * 0.05))
	}
	for i := range 100_000 { // short decimals and their neighbours
		f := float32(i) / 10_000
		check(f)
		check(math.Nextafter32(f, 100))
		check(math.Nextafter32(f, -100))
	}
	for e := -149; e < 128; e++ {
		f := float32(math.Ldexp(1, e))
		check(f)
		check(math.Nextafter32(f, 100))
		check(math.Nextafter32(f, -100))
	}
	check(0)
	check(float32(math.Copysign(0, -1)))
	check(math.MaxFloat32)
}

func FuzzFloatOut(f *testing.F) {
	f.Add(uint32(1))
	f.Fuzz(func(t *testing.T, bits uint32) {
		v := math.Float32frombits(bits)
		if v != v || math.IsInf(float64(v), 0) {
			return
		}
		s := string(docjson.AppendFloat(nil, v))
		back, err := strconv.ParseFloat(s, 32)
		if err != nil || math.Float32bits(float32(back)) != bits || !json.Valid([]byte(s)) {
			t.Fatalf("%x -> %s", bits, s)
		}
	})
}
