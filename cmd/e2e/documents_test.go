package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestDocumentLife(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		sent := J{"id": "doc-1", "title": "Attention", "metadata": J{"year": 2017, "tags": []string{"nlp"}},
			"chunks": []J{{"text": "one", "embedding": []float64{0.1, 0.2}, "metadata": J{"page": 1}}, {"text": "two", "embedding": []float64{0.3, 0.4}}}}
		made := e.post(t, docs(lib), sent).is(201).written()
		want := J{"id": "doc-1", "library_id": lib, "title": "Attention", "metadata": sent["metadata"], "num_chunks": 2,
			"chunks": []J{{"id": "0", "text": "one", "metadata": J{"page": 1}}, {"id": "1", "text": "two", "metadata": J{}}},
			"seq":    made["seq"], "created_at": made["created_at"], "updated_at": made["updated_at"]}
		same(t, "POST", made, want)
		same(t, "GET", e.get(t, doc(lib, "doc-1")).is(200).obj(), want)
		same(t, "GET without the library in the path", e.get(t, "/v1/documents/doc-1?library_id="+lib).is(200).obj(), want)
		same(t, "embeddings", at(e.get(t, doc(lib, "doc-1")+"?include=embeddings").is(200).obj(), "chunks", 1, "embedding"), []float64{0.3, 0.4})

		e.post(t, docs(lib), sent).problem(409, "already_exists")
		up := e.post(t, docs(lib)+"?upsert=true", J{"id": "doc-1", "title": "T2", "embedding": []float64{1, 0}}).is(200, 201).written()
		same(t, "title after upsert", up["title"], "T2")
		same(t, "metadata after upsert", up["metadata"], J{})
		same(t, "created_at is kept", up["created_at"], made["created_at"])

		gone := e.del(t, doc(lib, "doc-1")).is(200).written()
		same(t, "id", gone["id"], "doc-1")
		e.get(t, doc(lib, "doc-1")).problem(404, "document_not_found")
		e.del(t, doc(lib, "doc-1")).problem(404, "document_not_found")
		e.put(t, doc(lib, "doc-2"), J{"embedding": []int{1, 2}}).is(201)
		e.del(t, "/v1/documents/doc-2?library_id="+lib).is(200).written()
		e.get(t, "/v1/documents/doc-2?library_id="+lib).problem(404, "document_not_found")
		e.get(t, "/v1/documents/doc-2?library_id="+e.names[7]).problem(404, "library_not_found")
		e.get(t, "/v1/documents/doc-2").badField("library_id")
	})
}

func TestDocumentPutCreatesAndReplaces(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		first := e.put(t, doc(lib, "p"), simple("p", J{"a": 1})).is(201).written()
		second := e.put(t, doc(lib, "p"), J{"title": "new", "texts": []string{}, "embedding": []int{1, 2, 3}}).status
		if second != 200 && second != 400 { // texts and embedding together: silent
			t.Errorf("status %d", second)
		}
		third := e.put(t, doc(lib, "p"), J{"title": "third", "embedding": []int{1, 2, 3}}).is(200).written()
		same(t, "replaced whole", third["metadata"], J{})
		same(t, "one chunk", third["num_chunks"], 1)
		same(t, "created_at is kept", third["created_at"], first["created_at"])
		if num(third, "seq") <= num(first, "seq") {
			t.Errorf("seq %d then %d", num(first, "seq"), num(third, "seq"))
		}
		e.put(t, doc(lib, "p"), J{"id": "other", "embedding": []int{1, 2, 3}}).badField("id")
		e.put(t, doc(e.names[7], "p"), simple("p", nil)).problem(404, "library_not_found")
	})
}

func TestDocumentIDIsMade(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		made := e.post(t, docs(lib), J{"embedding": []int{1, 2}}).is(201).obj()
		id := str(made, "id")
		if id == "" {
			t.Fatal("no id")
		}
		same(t, "title", made["title"], "")
		same(t, "chunk", at(made, "chunks", 0), J{"id": "0", "text": "", "metadata": J{}})
		e.get(t, doc(lib, id)).is(200)
	})
}

// The shapes of section 4: chunks, texts, text, embedding alone. Without a
// provider each chunk needs its vector.
func TestDocumentShapes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.post(t, docs(lib), J{"id": "e", "embedding": []int{1, 2}}).is(201)
		e.post(t, docs(lib), J{"id": "c", "chunks": []J{{"embedding": []int{1, 2}}}}).is(201)
		e.post(t, docs(lib), J{"id": "own", "chunks": []J{{"id": "intro", "text": "x", "embedding": []int{1, 2}}, {"text": "y", "embedding": []int{1, 2}}}}).is(201)
		own := e.get(t, doc(lib, "own")).obj()
		same(t, "chunk ids", ids(list(own, "chunks")), []string{"intro", "1"})
		for name, body := range map[string]J{
			"text":                  {"id": "n", "text": "some words"},
			"texts":                 {"id": "n", "texts": []string{"a", "b"}},
			"chunk without vector":  {"id": "n", "chunks": []J{{"text": "a"}}},
			"one of two without":    {"id": "n", "chunks": []J{{"text": "a", "embedding": []int{1, 2}}, {"text": "b"}}},
			"same chunk id twice":   {"id": "n", "chunks": []J{{"id": "x", "embedding": []int{1, 2}}, {"id": "x", "embedding": []int{1, 2}}}},
			"bad chunk id":          {"id": "n", "chunks": []J{{"id": "a b", "embedding": []int{1, 2}}}},
			"unknown field":         {"id": "n", "embedding": []int{1, 2}, "titel": "x"},
			"unknown chunk field":   {"id": "n", "chunks": []J{{"txt": "a", "embedding": []int{1, 2}}}},
			"metadata not object":   {"id": "n", "embedding": []int{1, 2}, "metadata": "x"},
			"title not a string":    {"id": "n", "embedding": []int{1, 2}, "title": 7},
			"embedding not numbers": {"id": "n", "embedding": []string{"a"}},
			"bad id":                {"id": "a/b", "embedding": []int{1, 2}},
		} {
			t.Run(name, func(t *testing.T) {
				e.post(t, docs(lib), body).is(400)
				e.get(t, doc(lib, "n")).problem(404, "document_not_found")
			})
		}
		e.post(t, docs(lib), J{"id": "n", "embedding": []int{1, 2}, "titel": "x"}).badField("titel")
		e.post(t, docs(lib)+"?upset=true", J{"id": "n", "embedding": []int{1, 2}}).badField("upset")
		e.post(t, docs(lib)+"?upsert=maybe", J{"id": "n", "embedding": []int{1, 2}}).badField("upsert")
	})
}

func TestDocumentTopLevelFieldsGoToMetadata(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		got := e.post(t, docs(lib), J{"id": "m", "embedding": []int{1, 2}, "author": "A", "document_type": "paper",
			"source_url": "https://example.org/x", "tags": []string{"a", "b"}, "metadata": J{"k": 1}}).is(201).obj()
		same(t, "metadata", got["metadata"], J{"author": "A", "document_type": "paper", "source_url": "https://example.org/x", "tags": []string{"a", "b"}, "k": 1})
	})
}

// An answer can be sent back: read-only fields are ignored, created_at and chunk
// ids are kept.
func TestDocumentAnswerIsARequest(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib, other := e.lib(t), e.lib(t)
		e.post(t, docs(lib), J{"id": "r", "title": "R", "metadata": J{"x": J{"y": []int{1}}}, "chunks": []J{{"id": "c7", "text": "t", "embedding": []float64{0.25, -1}}}}).is(201)
		got := e.get(t, doc(lib, "r")+"?include=embeddings").is(200).obj()
		got["created_at"] = "2001-02-03T04:05:06Z"
		back := e.post(t, docs(other)+"?include=embeddings", got).is(201).obj()
		same(t, "created_at", back["created_at"], "2001-02-03T04:05:06Z")
		for _, f := range []string{"id", "title", "metadata", "chunks", "num_chunks"} {
			same(t, f, back[f], got[f])
		}
		same(t, "library_id", back["library_id"], other)
		same(t, "seq is its own", back["seq"], e.get(t, doc(other, "r")).obj()["seq"])
	})
}

func TestDocumentMergePatch(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		// The examples of RFC 7396, appendix A, that fit inside metadata.
		for i, c := range []struct{ before, patch, after J }{
			{J{"a": "b"}, J{"a": "c"}, J{"a": "c"}},
			{J{"a": "b"}, J{"b": "c"}, J{"a": "b", "b": "c"}},
			{J{"a": "b"}, J{"a": nil}, J{}},
			{J{"a": "b", "b": "c"}, J{"a": nil}, J{"b": "c"}},
			{J{"a": []string{"b"}}, J{"a": "c"}, J{"a": "c"}},
			{J{"a": "c"}, J{"a": []string{"b"}}, J{"a": []string{"b"}}},
			{J{"a": J{"b": "c"}}, J{"a": J{"b": "d", "c": nil}}, J{"a": J{"b": "d"}}},
			{J{"a": []J{{"b": "c"}}}, J{"a": []int{1}}, J{"a": []int{1}}},
			{J{"e": nil}, J{"a": 1}, J{"e": nil, "a": 1}},
			{J{}, J{"a": J{"bb": J{"ccc": nil}}}, J{"a": J{"bb": J{}}}},
			{J{"a": 1}, J{}, J{"a": 1}},
		} {
			id := fmt.Sprint("m", i)
			e.put(t, doc(lib, id), simple("", c.before)).is(201)
			got := e.patch(t, doc(lib, id), J{"metadata": c.patch}, "Content-Type", "application/merge-patch+json").is(200).written()
			same(t, fmt.Sprintf("case %d: %v + %v", i, c.before, c.patch), got["metadata"], c.after)
			same(t, "stored", e.get(t, doc(lib, id)).obj(), got)
		}
		before := e.get(t, doc(lib, "m0")).obj()
		got := e.patch(t, doc(lib, "m0"), J{"title": "only"}).is(200).written()
		same(t, "title", got["title"], "only")
		for _, f := range []string{"metadata", "chunks", "num_chunks", "created_at"} {
			same(t, f, got[f], before[f])
		}
		e.patch(t, doc(lib, "none"), J{"title": "x"}).problem(404, "document_not_found")
		e.patch(t, doc(lib, "m0"), J{"chunks": []J{}}).problem(400, "invalid_argument")
		e.patch(t, doc(lib, "m0"), J{"metadata": 5}).is(400)
		e.patch(t, doc(lib, "m0"), `[1]`).is(400)
	})
}

func TestDocumentPreconditions(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		d := doc(lib, "p")
		e.put(t, d, simple("", nil), "If-Match", `"1"`).problem(412, "precondition_failed")
		first := e.put(t, d, simple("", nil), "If-None-Match", "*").is(201)
		tag := first.header.Get("ETag")
		same(t, "ETag", tag, fmt.Sprintf(`"%d"`, first.seq()))
		same(t, "ETag of GET", e.get(t, d).header.Get("ETag"), tag)
		p := e.put(t, d, simple("", nil), "If-None-Match", "*").problem(412, "precondition_failed")
		same(t, "seq of the 412", p["seq"], first.seq())

		second := e.put(t, d, simple("", nil), "If-Match", tag).is(200)
		for name, r := range map[string]*resp{
			"PUT":    e.put(t, d, simple("", nil), "If-Match", tag),
			"PATCH":  e.patch(t, d, J{"title": "x"}, "If-Match", tag),
			"DELETE": e.del(t, d, "If-Match", tag),
		} {
			same(t, name+": seq of the 412", r.problem(412, "precondition_failed")["seq"], second.seq())
		}
		third := e.patch(t, d, J{"title": "x"}, "If-Match", second.header.Get("ETag")).is(200)
		e.del(t, d, "If-Match", second.header.Get("ETag")).problem(412, "precondition_failed")
		e.del(t, d, "If-Match", third.header.Get("ETag")).is(200)
		e.put(t, d, simple("", nil), "If-Match", "garbage").is(400, 412)
	})
}

func TestDocumentIDs(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		long := strings.Repeat("x", 128)
		for _, id := range []string{"A", "0", "a.b_c:d-e", long, "Z..", "a:b:c"} {
			e.put(t, doc(lib, id), simple("", nil)).is(201)
			same(t, "id", e.get(t, doc(lib, id)).is(200).obj()["id"], id)
		}
		for _, id := range []string{long + "x", ".a", "-a", "_a", ":a", "a%20b", "a%2Fb", "%C3%A9", "a%00"} {
			if r := e.put(t, doc(lib, id), simple("", nil)); r.status != 400 && r.status != 404 {
				t.Errorf("id %q: status %d", id, r.status)
			}
		}
		e.post(t, docs(lib), J{"id": strings.Repeat("y", 1<<20), "embedding": []int{1, 2, 3}}).badField("id")
	})
}
