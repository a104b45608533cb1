package e2e_test

import (
	"fmt"
	"testing"
)

func TestListDocumentsInPages(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		want := []string{"0", "00", "1", "10", "2", "A", "B", "a", "a.b", "a:b"} // byte order
		for i := range want {
			e.put(t, doc(lib, want[len(want)-1-i]), simple("", J{"n": i})).is(201)
		}
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			page := e.get(t, docs(lib)+"?limit=3"+cursor).is(200).obj()
			if n := len(list(page, "documents")); n > 3 {
				t.Errorf("%d documents in a page of 3", n)
			}
			got = append(got, ids(list(page, "documents"))...)
			if page["next_cursor"] == nil {
				break
			}
			if pages > 5 {
				t.Fatal("the cursor does not end")
			}
			cursor = "&cursor=" + q(str(page, "next_cursor"))
		}
		for i := range got {
			if i > 0 && got[i-1] >= got[i] {
				t.Errorf("%q before %q", got[i-1], got[i])
			}
		}
		same(t, "ids", got, []string{"0", "00", "1", "10", "2", "A", "B", "a", "a.b", "a:b"})
		f := q(`{"n":{"$gte":5}}`)
		page := e.get(t, docs(lib)+"?limit=2&filter="+f).is(200).obj()
		rest := e.get(t, docs(lib)+"?limit=100&filter="+f+"&cursor="+q(str(page, "next_cursor"))).is(200).obj()
		if n := len(list(page, "documents")) + len(list(rest, "documents")); n != 5 {
			t.Errorf("%d documents pass the filter in two pages, want 5", n)
		}
		e.get(t, docs(lib)+"?cursor=nonsense").problem(400, "invalid_cursor")
		e.get(t, docs(lib)+"?limit=x").badField("limit")
		e.get(t, docs(lib)+"?limit=-1").badField("limit")
		e.get(t, docs(lib)+"?fitler=x").badField("fitler")
		e.get(t, docs(lib)+"?include=everything").badField("include")
	})
}

func TestFilters(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		for id, m := range map[string]J{
			"a": {"year": 2017, "kind": "paper", "tags": []string{"nlp", "ml"}, "author": J{"name": "X", "age": 40}, "ok": true},
			"b": {"year": 2020, "kind": "book", "tags": []string{"db"}, "author": J{"name": "Y"}, "ok": false},
			"c": {"year": 2020.5, "kind": "paper", "tags": []string{}},
			"d": {"kind": nil, "year": "2017"},
			"e": {},
			"f": {"year": -3, "kind": "Paper", "n": 9007199254740993},
		} {
			e.put(t, doc(lib, id), simple("", m)).is(201)
		}
		for _, c := range []struct{ filter, want string }{
			{`{}`, "abcdef"},
			{`{"kind":"paper"}`, "ac"},
			{`{"kind":{"$eq":"paper"}}`, "ac"},
			{`{"year":2017}`, "a"},
			{`{"year":2017.0}`, "a"},
			{`{"year":"2017"}`, "d"},
			{`{"ok":true}`, "a"},
			{`{"ok":{"$ne":true},"kind":"book"}`, "b"},
			{`{"year":{"$gt":2017}}`, "bc"},
			{`{"year":{"$gte":2017}}`, "abc"},
			{`{"year":{"$lt":2017}}`, "f"},
			{`{"year":{"$lte":2017}}`, "af"},
			{`{"year":{"$gte":2017,"$lt":2020.5}}`, "ab"},
			{`{"year":{"$in":[2017,2020.5]}}`, "ac"},
			{`{"kind":{"$in":[]}}`, ""},
			{`{"kind":{"$in":["book","Paper"]}}`, "bf"},
			{`{"author":{"$exists":true}}`, "ab"},
			{`{"author.age":{"$exists":true}}`, "a"},
			{`{"author":{"$exists":false},"kind":"paper"}`, "c"},
			{`{"author.name":"Y"}`, "b"},
			{`{"tags":{"$contains":"nlp"}}`, "a"},
			{`{"tags":{"$contains":"none"}}`, ""},
			{`{"$and":[{"kind":"paper"},{"year":{"$gt":2018}}]}`, "c"},
			{`{"$or":[{"kind":"book"},{"year":-3}]}`, "bf"},
			{`{"$and":[{"$or":[{"kind":"book"},{"kind":"paper"}]},{"$not":{"year":2017}}]}`, "bc"},
			{`{"kind":"paper","year":2017}`, "a"},
			{`{"$or":[{"$and":[{"kind":"paper"},{"ok":true}]},{"author.name":{"$in":["Y"]}}]}`, "ab"},
			{`{"author.age":{"$gt":30,"$lt":50}}`, "a"},
			{`{"kind":{"$nin":["paper","book","Paper"]},"year":"2017"}`, "d"},
		} {
			t.Run(c.filter, func(t *testing.T) {
				got := ""
				for _, id := range ids(list(e.get(t, docs(lib)+"?filter="+q(c.filter)).is(200).obj(), "documents")) {
					got += id
				}
				same(t, "matches", got, c.want)
				same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count?filter="+q(c.filter)).is(200).obj(), J{"count": len(c.want)})
				same(t, "export", len(e.get(t, docs(lib)+"/stream?filter="+q(c.filter)).is(200).lines("ExportLine")), len(c.want))
			})
		}
		for _, bad := range []string{
			`{`, `[]`, `"x"`, `{"year":{"$gte":2017,"$foo":1}}`, `{"$or":{}}`, `{"$and":"x"}`, `{"$nope":[]}`,
			`{"year":{"$in":5}}`, `{"year":{"$exists":"yes"}}`, `{"$not":[1]}`,
		} {
			t.Run("bad "+bad, func(t *testing.T) {
				e.get(t, docs(lib)+"?filter="+q(bad)).problem(400, "invalid_filter")
				e.get(t, "/v1/libraries/"+lib+"/count?filter="+q(bad)).problem(400, "invalid_filter")
			})
		}
		p := e.get(t, docs(lib)+"?filter="+q(`{"$and":[{"kind":"paper"},{"year":{"$foo":1}}]}`)).problem(400, "invalid_filter")
		if detail, _ := p["detail"].(string); len(detail) == 0 {
			t.Error("invalid_filter must name the path")
		}
	})
}

func TestGetAndDeleteMany(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		for i := range 10 {
			e.put(t, doc(lib, fmt.Sprint("d", i)), simple("", J{"n": i, "kind": fmt.Sprint(i % 2)})).is(201)
		}
		got := list(e.post(t, docs(lib)+"/get", J{"ids": []string{"d3", "nope", "d1", "d3"}}).is(200).obj(), "documents")
		if len(got) != 4 || got[1] != nil {
			t.Fatalf("documents %v", got)
		}
		same(t, "order as asked", []string{str(got[0], "id"), str(got[2], "id"), str(got[3], "id")}, []string{"d3", "d1", "d3"})
		vec := e.post(t, docs(lib)+"/get?include=embeddings", J{"ids": []string{"d3"}}).is(200).obj()
		same(t, "embedding", at(vec, "documents", 0, "chunks", 0, "embedding"), []float64{1, 0.5, 0.25})
		e.post(t, docs(lib)+"/get", J{"id": []string{"d3"}}).badField("id")

		r := e.post(t, docs(lib)+"/delete", J{"ids": []string{"d0", "nope", "d2"}}).is(200)
		same(t, "deleted", r.obj()["deleted"], 2)
		same(t, "last_seq", r.obj()["last_seq"], r.seq())
		same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 8)
		r = e.post(t, docs(lib)+"/delete", J{"filter": J{"n": J{"$gte": 8}}}).is(200)
		same(t, "deleted by filter", r.obj()["deleted"], 2)
		same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 6)
		none := e.post(t, docs(lib)+"/delete", J{"ids": []string{"nope"}}).is(200).obj()
		same(t, "deleted nothing", none["deleted"], 0)
		e.post(t, docs(lib)+"/delete", J{}).problem(400, "invalid_argument")
		e.post(t, docs(lib)+"/delete", J{"filter": J{"$bad": 1}}).problem(400, "invalid_filter")
		same(t, "count", e.get(t, "/v1/libraries/"+lib+"/count").obj()["count"], 6)
		e.get(t, "/v1/libraries/"+e.names[7]+"/count").problem(404, "library_not_found")
	})
}

func TestChunkRoutes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		d := doc(lib, "c")
		before := e.put(t, d, simple("", J{"k": 1})).is(201)
		added := e.post(t, d+"/chunks", J{"chunks": []J{{"text": "more", "embedding": []int{1, 1, 1}}, {"id": "named", "embedding": []int{2, 1, 1}, "metadata": J{"p": 2}}}}).is(200, 201)
		if added.seq() <= before.seq() {
			t.Errorf("seq %d then %d", before.seq(), added.seq())
		}
		now := e.get(t, d).is(200).obj()
		same(t, "seq", now["seq"], added.seq())
		same(t, "num_chunks", now["num_chunks"], 3)
		same(t, "last chunk", at(now, "chunks", 2), J{"id": "named", "text": "", "metadata": J{"p": 2}})
		same(t, "created_at", now["created_at"], before.obj()["created_at"])
		same(t, "metadata", now["metadata"], J{"k": 1})
		e.post(t, d+"/chunks", J{"chunks": []J{{"id": "named", "embedding": []int{2, 1, 1}}}}).problem(409, "already_exists")
		e.post(t, d+"/chunks", J{"chunks": []J{{"id": "x", "embedding": []int{2, 1}}}}).problem(400, "dimension_mismatch")
		e.post(t, doc(lib, "none")+"/chunks", J{"chunks": []J{{"embedding": []int{2, 1, 1}}}}).problem(404, "document_not_found")

		gone := e.del(t, d+"/chunks/0").is(200)
		now = e.get(t, d).is(200).obj()
		same(t, "seq after delete", now["seq"], gone.seq())
		same(t, "num_chunks", now["num_chunks"], 2)
		e.del(t, d+"/chunks/0").problem(404, "chunk_not_found")
		e.del(t, doc(lib, "none")+"/chunks/0").problem(404, "document_not_found")
		// A new chunk without an id never takes the id of one that lives.
		e.post(t, d+"/chunks", J{"chunks": []J{{"embedding": []int{1, 1, 1}}}}).is(200, 201)
		seen := map[string]bool{}
		for _, id := range ids(list(e.get(t, d).obj(), "chunks")) {
			if seen[id] {
				t.Errorf("chunk id %q twice", id)
			}
			seen[id] = true
		}
	})
}

func TestBatch(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		path := "/v1/libraries/" + lib + "/batch"
		old := e.put(t, doc(lib, "old"), simple("", J{"v": 1})).is(201)
		e.put(t, doc(lib, "gone"), simple("", nil)).is(201)
		op := func(name, id string, d J) J {
			o := J{"op": name, "id": id}
			if d != nil {
				o["document"] = d
			}
			return o
		}
		r := e.post(t, path, J{"operations": []J{
			op("put", "new", simple("", nil)), op("patch", "old", J{"metadata": J{"v": 2}}), op("delete", "gone", nil), op("put", "new2", simple("", nil)),
		}}).is(200)
		results := list(r.obj(), "results")
		if len(results) != 4 {
			t.Fatalf("results %v", results)
		}
		same(t, "last_seq", r.obj()["last_seq"], r.seq())
		for i, id := range []string{"new", "old", "gone", "new2"} {
			same(t, "result id", str(results[i], "id"), id)
			if i > 0 && num(results[i], "seq") != num(results[i-1], "seq")+1 {
				t.Errorf("seqs of one group are not consecutive: %v", results)
			}
		}
		events := e.eventsFrom(t, num(results[0], "seq"), "library="+lib)
		for i, ev := range events {
			same(t, "type", str(ev, "type"), []string{"document.added", "document.updated", "document.deleted", "document.added"}[i])
			same(t, "last", at(ev, "last"), i == 3)
		}

		// All or nothing, and the error names the operation.
		head := e.root.post(t, docs(lib), simple("mark", nil)).is(201).seq()
		for name, c := range map[string]struct {
			ops    []J
			at     int
			status int
		}{
			"missing document":   {[]J{op("put", "x", simple("", nil)), op("patch", "nope", J{"title": "t"})}, 1, 404},
			"wrong dimension":    {[]J{op("put", "x", simple("", nil)), op("put", "x2", nil), op("put", "y", J{"embedding": []int{1, 2}})}, -1, 400},
			"second dimension":   {[]J{op("put", "x", simple("", nil)), op("put", "y", J{"embedding": []int{1, 2}})}, 1, 400},
			"unknown operation":  {[]J{op("put", "x", simple("", nil)), op("replace", "y", nil)}, 1, 400},
			"if_match is stale":  {[]J{op("put", "x", simple("", nil)), {"op": "patch", "id": "old", "document": J{"title": "t"}, "if_match": old.seq()}}, 1, 412},
			"bad id":             {[]J{op("delete", "a b", nil)}, 0, 400},
			"unknown field":      {[]J{op("put", "x", simple("", nil)), {"op": "delete", "id": "old", "documnet": J{}}}, 1, 400},
			"bad document field": {[]J{op("put", "x", J{"embedding": []int{1, 2, 3}, "titel": "x"})}, 0, 400},
		} {
			t.Run(name, func(t *testing.T) {
				r := e.post(t, path, J{"operations": c.ops}).is(c.status)
				if c.at >= 0 {
					same(t, "operation", r.obj()["operation"], c.at)
				}
				e.get(t, doc(lib, "x")).problem(404, "document_not_found")
			})
		}
		same(t, "no event of a refused batch", len(e.eventsFrom(t, head+1, "library="+lib)), 0)
		e.post(t, path, J{"operations": []J{{"op": "put", "id": "old", "document": simple("", nil), "if_match": num(results[1], "seq")}}}).is(200)
		// Later operations see earlier ones.
		e.post(t, path, J{"operations": []J{op("put", "s", simple("", nil)), op("patch", "s", J{"title": "seen"}), op("delete", "s", nil), op("put", "s", simple("", J{"last": true}))}}).is(200)
		same(t, "the last operation wins", e.get(t, doc(lib, "s")).is(200).obj()["metadata"], J{"last": true})
		many := make([]J, 1001)
		for i := range many {
			many[i] = op("put", fmt.Sprint("many", i), simple("", nil))
		}
		e.post(t, path, J{"operations": many[:1000]}).is(200)
		if r := e.post(t, path, J{"operations": many}); r.status != 400 && r.status != 413 {
			t.Errorf("1,001 operations: status %d", r.status)
		}
	})
}
