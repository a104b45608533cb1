package e2e_test

import (
	"strings"
	"testing"
)

func TestInvalidJSON(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.put(t, doc(lib, "ok"), simple("", nil)).is(201)
		for name, body := range map[string]string{
			"empty":             "",
			"cut":               `{"id":"x","embedding":[1,2`,
			"two values":        `{"embedding":[1,2,3]}{"embedding":[1,2,3]}`,
			"trailing garbage":  `{"embedding":[1,2,3]} x`,
			"trailing comma":    `{"embedding":[1,2,3],}`,
			"single quotes":     `{'embedding':[1,2,3]}`,
			"array":             `[1,2,3]`,
			"null":              `null`,
			"string":            `"x"`,
			"invalid UTF-8":     "{\"title\":\"\xff\xfe\",\"embedding\":[1,2,3]}",
			"cut UTF-8":         "{\"title\":\"a\xe2\x82\",\"embedding\":[1,2,3]}",
			"surrogate bytes":   "{\"title\":\"\xed\xa0\x80\",\"embedding\":[1,2,3]}",
			"raw control":       "{\"title\":\"a\nb\",\"embedding\":[1,2,3]}",
			"bad escape":        `{"title":"\q","embedding":[1,2,3]}`,
			"not even JSON":     "\x00\x01\x02",
			"byte order mark 2": "\xfe\xff{",
		} {
			t.Run(name, func(t *testing.T) {
				r := e.put(t, doc(lib, "bad"), body).is(400)
				if c := str(r.obj(), "code"); c != "invalid_json" && c != "invalid_argument" {
					t.Errorf("code %s", c)
				}
				e.get(t, doc(lib, "bad")).problem(404, "document_not_found")
			})
		}
	})
}

// The same body must be judged the same however it comes in.
func TestOneShapeEverywhere(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.put(t, doc(lib, "ok"), simple("", nil)).is(201)
		nest := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
		for name, body := range map[string]string{
			"duplicate key":          `{"id":"x","title":"one","title":"two","embedding":[1,2,3]}`,
			"duplicate metadata key": `{"id":"x","metadata":{"a":1,"a":2},"embedding":[1,2,3]}`,
			"duplicate embedding":    `{"id":"x","embedding":[1,2,3],"embedding":[3,2,1]}`,
			"lone surrogate escape":  `{"id":"x","title":"\ud800","embedding":[1,2,3]}`,
			"nul escape":             `{"id":"x","title":"a\u0000b","embedding":[1,2,3]}`,
			"nested 20":              `{"id":"x","metadata":` + nest(20) + `,"embedding":[1,2,3]}`,
			"nested 1,000":           `{"id":"x","metadata":` + nest(1_000) + `,"embedding":[1,2,3]}`,
			"nested 200,000":         `{"id":"x","metadata":` + nest(200_000) + `,"embedding":[1,2,3]}`,
			"field in other case":    `{"id":"x","Title":"t","embedding":[1,2,3]}`,
			"big number in metadata": `{"id":"x","metadata":{"n":1e400},"embedding":[1,2,3]}`,
			"exact integer":          `{"id":"x","metadata":{"n":9007199254740993},"embedding":[1,2,3]}`,
			"escapes":                `{"id":"x","title":"\u00e9\ud83d\ude00\/\b","metadata":{"k\u0022":"\t"},"embedding":[1,2,3]}`,
			"spaces":                 "\t { \"id\" : \"x\" ,\r \"embedding\" : [ 1 , 2 ,3 ] } ",
			"html":                   `{"id":"x","title":"<b>&amp;</b>","embedding":[1,2,3]}`,
			"line separators":        "{\"id\":\"x\",\"title\":\"a\u2028b\u2029\",\"embedding\":[1,2,3]}",
		} {
			t.Run(name, func(t *testing.T) {
				r := e.put(t, doc(lib, "x"), body).is(200, 201, 400, 413)
				var viaPut any
				if r.status < 300 {
					viaPut = e.get(t, doc(lib, "x")).is(200).obj()
					e.del(t, doc(lib, "x")).is(200)
				}
				s := e.ingest(t, lib, "", body+"\n").is(200, 400, 413)
				if (s.status == 200 && num(s.obj(), "successful") == 1) != (r.status < 300) {
					t.Fatalf("PUT answers %d, ingest %d %s", r.status, s.status, clip(s.body))
				}
				if viaPut != nil {
					viaIngest := e.get(t, doc(lib, "x")).is(200).obj()
					for _, f := range []string{"title", "metadata", "chunks"} {
						same(t, f, viaIngest[f], at(viaPut, f))
					}
					e.del(t, doc(lib, "x")).is(200)
				}
			})
		}
		e.put(t, doc(lib, "n"), `{"metadata":{"n":9007199254740993},"embedding":[1,2,3]}`).is(201)
		if raw := string(e.get(t, doc(lib, "n")).body); !strings.Contains(raw, "9007199254740993") {
			t.Errorf("an integer of metadata lost digits: %s", raw)
		}
	})
}

func TestTextsComeBackAsSent(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		for i, text := range []string{"", " ", "é😀\u2028\u0000\u007f", "a\r\nb\tc", `"\/`, strings.Repeat("long ", 100_000), "<script>&"} {
			id := string(rune('a' + i))
			e.put(t, doc(lib, id), J{"title": text, "metadata": J{"t": text}, "chunks": []J{{"text": text, "embedding": []int{1, 2}}}}).is(201)
			got := e.get(t, doc(lib, id)).is(200).obj()
			if str(got, "title") != text || str(got, "metadata", "t") != text || str(got, "chunks", 0, "text") != text {
				t.Errorf("%.20q came back as %.20q, %.20q, %.20q", text, str(got, "title"), str(got, "metadata", "t"), str(got, "chunks", 0, "text"))
			}
		}
	})
}
