package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

func TestLibraryDefaults(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.names[0]
		lib := e.post(t, "/v1/libraries", J{"id": id, "embedding": J{"provider": "none"}}).is(201).written()
		t.Cleanup(func() { e.root.del(t, "/v1/libraries/"+id) })
		for _, c := range []struct {
			path []any
			want any
		}{
			{[]any{"id"}, id}, {[]any{"name"}, id}, {[]any{"description"}, ""}, {[]any{"metadata"}, J{}},
			{[]any{"dimension"}, nil}, {[]any{"metric"}, "cosine"}, {[]any{"index", "type"}, "flat"},
			{[]any{"embedding", "provider"}, "none"}, {[]any{"chunking"}, J{"max_words": 200, "overlap": 20}},
			{[]any{"analyzer", "language"}, "en"}, {[]any{"stats", "documents"}, 0}, {[]any{"stats", "chunks"}, 0},
		} {
			same(t, fmt.Sprint(c.path), at(lib, c.path...), c.want)
		}
		same(t, "created_at and updated_at of a new library", lib["created_at"], lib["updated_at"])
		same(t, "GET after POST", e.get(t, "/v1/libraries/"+id).is(200).obj(), lib)
	})
}

func TestLibraryWithEverythingSet(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		spec := J{"name": "Research papers", "description": "all of them", "metadata": J{"owner": J{"team": "x"}, "n": 1.5},
			"dimension": 3, "metric": "dot", "index": J{"type": "flat"}, "chunking": J{"max_words": 50, "overlap": 5}, "analyzer": J{"language": "en"}}
		id := e.lib(t, spec)
		lib := e.get(t, "/v1/libraries/"+id).is(200).obj()
		for k, want := range spec {
			if k == "index" {
				want, lib[k] = "flat", at(lib, k, "type")
			}
			same(t, k, lib[k], want)
		}
		e.put(t, doc(id, "a"), J{"embedding": []float64{1, 2}}).problem(400, "dimension_mismatch")
	})
}

func TestLibraryIDIsMadeWhereOnlyANameIsSent(t *testing.T) {
	e := openEnv(t) // a scoped key cannot see a library whose id it does not name
	lib := e.post(t, "/v1/libraries", J{"name": "Nameless id", "embedding": J{"provider": "none"}}).is(201).obj()
	id := str(lib, "id")
	t.Cleanup(func() { e.del(t, "/v1/libraries/"+id).is(200) })
	if len(id) != 36 || id[14] != '7' {
		t.Errorf("id %q is not a UUIDv7", id)
	}
	same(t, "name", lib["name"], "Nameless id")
}

func TestLibraryExists(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.lib(t)
		e.post(t, "/v1/libraries", J{"id": id, "embedding": J{"provider": "none"}}).problem(409, "already_exists")
	})
}

func TestLibraryPatch(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.lib(t, J{"description": "before", "metadata": J{"a": 1}})
		before := e.get(t, "/v1/libraries/"+id).is(200).obj()
		after := e.patch(t, "/v1/libraries/"+id, J{"name": "N", "description": "D"}).is(200).written()
		same(t, "name", after["name"], "N")
		same(t, "description", after["description"], "D")
		same(t, "metadata stays", after["metadata"], J{"a": 1})
		same(t, "created_at", after["created_at"], before["created_at"])
		if num(after, "seq") <= num(before, "seq") {
			t.Errorf("seq went from %d to %d", num(before, "seq"), num(after, "seq"))
		}
		same(t, "GET after PATCH", e.get(t, "/v1/libraries/"+id).is(200).obj(), after)
		e.patch(t, "/v1/libraries/"+id, J{"dimension": 4}).problem(400, "invalid_argument")
		e.patch(t, "/v1/libraries/"+id, J{"nmae": "x"}).badField("nmae")
		e.patch(t, "/v1/libraries/"+e.names[7], J{"name": "x"}).problem(404, "library_not_found")
	})
}

func TestLibraryDelete(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.lib(t)
		e.put(t, doc(id, "a"), simple("a", nil)).is(201)
		gone := e.del(t, "/v1/libraries/"+id).is(200).written()
		same(t, "id", gone["id"], id)
		e.get(t, "/v1/libraries/"+id).problem(404, "library_not_found")
		e.get(t, doc(id, "a")).problem(404, "library_not_found")
		e.del(t, "/v1/libraries/"+id).problem(404, "library_not_found")

		// The same name again is a new, empty library.
		again := e.post(t, "/v1/libraries", J{"id": id, "embedding": J{"provider": "none"}}).is(201).obj()
		same(t, "documents", at(again, "stats", "documents"), 0)
		e.get(t, doc(id, "a")).problem(404, "document_not_found")
		same(t, "list", e.get(t, docs(id)).is(200).obj(), J{"documents": []any{}, "next_cursor": nil})
	})
}

func TestLibraryListAndCursor(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		var want []string
		for range 5 {
			want = append(want, e.lib(t))
		}
		same(t, "whole list", ids(list(e.get(t, "/v1/libraries").is(200).obj(), "libraries")), want)
		var got []string
		cursor := ""
		for pages := 0; ; pages++ {
			page := e.get(t, "/v1/libraries?limit=2"+cursor).is(200).obj()
			got = append(got, ids(list(page, "libraries"))...)
			if page["next_cursor"] == nil {
				break
			}
			if pages > 5 {
				t.Fatal("the cursor does not end")
			}
			cursor = "&cursor=" + q(str(page, "next_cursor"))
		}
		same(t, "pages of two", got, want)
		e.get(t, "/v1/libraries?cursor=%21%21").problem(400, "invalid_cursor")
	})
}

func TestLibraryBadRequests(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.names[0]
		none := J{"provider": "none"}
		for _, c := range []struct {
			name  string
			body  any
			field string
		}{
			{"upper case", J{"id": "Upper", "embedding": none}, "id"},
			{"leading dash", J{"id": "-a", "embedding": none}, "id"},
			{"space", J{"id": "a b", "embedding": none}, "id"},
			{"65 letters", J{"id": fmt.Sprintf("%065d", 0), "embedding": none}, "id"},
			{"unknown field", J{"id": id, "embedding": none, "dimensions": 3}, "dimensions"},
			{"metric", J{"id": id, "embedding": none, "metric": "euclid"}, "metric"},
			{"dimension 0", J{"id": id, "embedding": none, "dimension": 0}, "dimension"},
			{"dimension -1", J{"id": id, "embedding": none, "dimension": -1}, "dimension"},
			{"index.type", J{"id": id, "embedding": none, "index": J{"type": "tree"}}, "index.type"},
			{"provider", J{"id": id, "embedding": J{"provider": "magic"}}, "embedding.provider"},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := e.post(t, "/v1/libraries", c.body)
				if e.scoped && c.field == "id" && r.status == 403 {
					return // the scope is judged before the id
				}
				r.t = t
				r.badField(c.field)
			})
		}
		e.post(t, "/v1/libraries", `{"id":`).problem(400, "invalid_json")
		e.post(t, "/v1/libraries", J{"id": id, "embedding": none, "metadata": []int{1}}).is(400)
		e.get(t, "/v1/libraries?limt=3").badField("limt")
		e.get(t, "/v1/libraries?limit=abc").badField("limit")
		e.get(t, "/v1/libraries/"+id).problem(404, "library_not_found")
		if !e.scoped {
			e.post(t, "/v1/libraries", J{"embedding": none}).problem(400, "invalid_argument")
		}
	})
}

// The built-in model is the default: it embeds what comes without a vector, and
// its name and hash are pinned. A service that was not allowed is not called.
func TestLibraryProviders(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		e.post(t, "/v1/libraries", J{"id": e.names[0], "embedding": J{"provider": "openai", "model": "m", "base_url": "https://api.example.com"}}).badField("embedding.base_url")
		e.post(t, "/v1/libraries", J{"id": e.names[0], "embedding": J{"provider": "cohere"}}).badField("embedding.provider")
		e.post(t, "/v1/libraries", J{"id": e.names[0], "embedding": J{"provider": "none", "model": "m"}}).badField("embedding.model")
		e.post(t, "/v1/libraries", J{"id": e.names[0], "embedding": J{"provider": "builtin", "hash": "00"}}).badField("embedding.hash")
		e.post(t, "/v1/libraries", J{"id": e.names[0], "dimension": 64}).badField("dimension")
		lib := e.post(t, "/v1/libraries", J{"id": e.names[0]}).is(201).obj()
		same(t, "provider", at(lib, "embedding", "provider"), "builtin")
		same(t, "dimension", lib["dimension"], 100)
		if len(str(lib["embedding"].(J), "hash")) != 64 {
			t.Errorf("the model is not pinned: %v", lib["embedding"])
		}
		e.put(t, doc(e.names[0], "d"), J{"text": "a short text"}).is(201)
		d := e.get(t, doc(e.names[0], "d")+"?include=embeddings").is(200).obj()
		if v := d["chunks"].([]any)[0].(J)["embedding"].([]any); len(v) != 100 {
			t.Errorf("the text has a vector of %d numbers", len(v))
		}
		e.put(t, doc(e.names[0], "d"), J{"embedding": []int{1, 2}}).problem(400, "dimension_mismatch")
	})
}

func TestLibraryStats(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.lib(t)
		for i := range 3 {
			e.put(t, doc(id, fmt.Sprint("d", i)), J{"chunks": []J{{"text": "a", "embedding": []int{1, 2}}, {"text": "b", "embedding": []int{2, 1}}}}).is(201)
		}
		e.del(t, doc(id, "d0")).is(200)
		lib := e.get(t, "/v1/libraries/"+id).is(200).obj()
		same(t, "documents", at(lib, "stats", "documents"), 2)
		same(t, "chunks", at(lib, "stats", "chunks"), 4)
		same(t, "dimension", lib["dimension"], 2)
		if made, err := time.Parse(time.RFC3339, str(lib, "created_at")); err != nil || time.Since(made) > time.Hour {
			t.Errorf("created_at %v: %v", lib["created_at"], err)
		}
	})
}
