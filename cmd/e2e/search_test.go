package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// searchLibrary makes a small library whose vectors lie on a circle.
func searchLibrary(t *testing.T, e *env) string {
	id := e.lib(t)
	for _, d := range []J{
		{"id": "apple", "title": "Fruit", "metadata": J{"year": 2001, "tags": []string{"food", "red"}}, "chunks": []J{{"text": "A red apple a day", "embedding": []float64{1, 0}, "metadata": J{"page": 1}}}},
		{"id": "pear", "title": "Fruit", "metadata": J{"year": 2002, "tags": []string{"food"}}, "chunks": []J{{"text": "The green pear, and an apple", "embedding": []float64{0.9, 0.1}}}},
		{"id": "car", "title": "Machines", "metadata": J{"year": 2003}, "chunks": []J{{"text": "A fast red car", "embedding": []float64{0, 1}}, {"id": "second", "text": "Wheels", "embedding": []float64{-1, 0}, "metadata": J{"page": 2, "year": 1999}}}},
		{"id": "twin", "title": "", "chunks": []J{{"text": "A red apple a day", "embedding": []float64{1, 0}}}},
	} {
		e.put(t, doc(id, d["id"].(string)), d).is(201)
	}
	return id
}

func hits(t *testing.T, o J) string {
	t.Helper()
	var out []string
	for i, h := range o["results"].([]any) {
		h := h.(J)
		same(t, "rank", h["rank"], i+1)
		out = append(out, str(h, "document_id")+"/"+str(h, "chunk_id"))
	}
	same(t, "total", o["total"], len(out))
	return strings.Join(out, " ")
}

func TestSearchModes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := searchLibrary(t, e)
		path := "/v1/libraries/" + id + "/search"
		for _, c := range []struct {
			body J
			want string
		}{
			{J{"embedding": []float64{1, 0}}, "apple/0 twin/0 pear/0 car/0 car/second"},
			{J{"embedding": []float64{1, 0}, "k": 2}, "apple/0 twin/0"},
			{J{"embedding": []float64{2, 0}, "mode": "vector", "distance_threshold": 0}, "apple/0 twin/0"},
			{J{"embedding": []float64{0, 1}, "exact": true, "k": 1, "ef": 5}, "car/0"},
			{J{"query": "apples", "mode": "keyword"}, "apple/0 pear/0 twin/0"},
			{J{"query_text": "Fruit", "mode": "keyword"}, "apple/0 pear/0"},
			{J{"query": "\"red apple\"", "mode": "keyword"}, "apple/0 twin/0"},
			{J{"query": "the", "mode": "keyword"}, ""},
			{J{"query": "nothing here", "mode": "keyword"}, ""},
			{J{"query": "wheels", "mode": "hybrid", "embedding": []float64{0, 1}, "vector_weight": 1, "k": 1}, "car/0"},
			{J{"query": "wheels", "mode": "hybrid", "embedding": []float64{0, 1}, "vector_weight": 0, "k": 1}, "car/second"},
			{J{"query": "wheels", "mode": "hybrid", "embedding": []float64{-1, 0}, "fusion": "rrf", "rrf_k": 10, "k": 1}, "car/second"},
			{J{"embedding": []float64{1, 0}, "filter": J{"year": J{"$gte": 2002}}}, "pear/0 car/0"},
			{J{"embedding": []float64{1, 0}, "filter": J{"year": 1999}}, "car/second"},
			{J{"embedding": []float64{1, 0}, "filter": J{"tags": J{"$contains": "food"}, "page": 1}}, "apple/0"},
			{J{"embedding": []float64{1, 0}, "filter": J{"year": nil}}, "twin/0"},
			{J{"query": "red", "mode": "keyword", "filter": J{"$not": J{"tags": "food"}}}, "twin/0 car/0"},
		} {
			got := e.post(t, path, c.body).is(200).obj()
			list := hits(t, got)
			if c.body["mode"] == "keyword" { // which of the two is first depends on lengths only
				if sortedWords(list) != sortedWords(c.want) {
					t.Errorf("%v: %s, want %s", c.body, list, c.want)
				}
			} else if list != c.want {
				t.Errorf("%v: %s, want %s", c.body, list, c.want)
			}
			same(t, "index", got["index"], "flat")
		}
	})
}

func sortedWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestSearchHitHasAllFields(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := searchLibrary(t, e)
		path := "/v1/libraries/" + id + "/search"
		h := e.post(t, path, J{"embedding": []float64{-1, 0}, "k": 1}).is(200).obj()["results"].([]any)[0].(J)
		same(t, "score", h["score"], 1)
		same(t, "distance", h["distance"], 0)
		same(t, "title", h["title"], "Machines")
		same(t, "text", h["text"], "Wheels")
		same(t, "year", at(h, "metadata", "year"), 1999)
		same(t, "page", at(h, "metadata", "page"), 2)
		if _, there := h["embedding"]; there {
			t.Error("an embedding that was not asked for")
		}
		h = e.post(t, path, J{"query": "wheels", "mode": "keyword", "include": []string{"embeddings"}, "highlight": true}).is(200).obj()["results"].([]any)[0].(J)
		same(t, "distance", h["distance"], nil)
		same(t, "text", h["text"], nil)
		same(t, "metadata", h["metadata"], nil)
		same(t, "embedding", fmt.Sprint(h["embedding"]), "[-1 0]")
		same(t, "highlight", fmt.Sprint(at(h, "highlight", "text")), "[<em>Wheels</em>]")
	})
}

// A search sees every write that was acknowledged before it began: the new version
// at once, the old one never again.
func TestSearchSeesWrites(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := searchLibrary(t, e)
		path := "/v1/libraries/" + id + "/search"
		find := func(body J) string { return hits(t, e.post(t, path, body).is(200).obj()) }
		for i := range 30 {
			word := fmt.Sprintf("word%d", i)
			r := e.put(t, doc(id, "moving"), J{"title": word, "metadata": J{"n": i}, "chunks": []J{{"text": word + " text", "embedding": []float64{float64(i), -1}}}}).is(200, 201)
			seq := num(r.obj(), "seq")
			got := e.post(t, path, J{"embedding": []float64{float64(i), -1}, "k": 1}).is(200).obj()
			if num(got, "seq") < seq {
				t.Fatalf("the search saw up to %v, the write before it was %v", got["seq"], seq)
			}
			same(t, "by vector", hits(t, got), "moving/0")
			same(t, "by word", find(J{"query": word, "mode": "keyword"}), "moving/0")
			same(t, "by metadata", find(J{"embedding": []float64{1, 1}, "filter": J{"n": i}}), "moving/0")
			if i > 0 {
				same(t, "by the old word", find(J{"query": fmt.Sprintf("word%d", i-1), "mode": "keyword"}), "")
				same(t, "by the old metadata", find(J{"embedding": []float64{1, 1}, "filter": J{"n": i - 1}}), "")
			}
		}
		e.patch(t, doc(id, "moving"), J{"title": "renamed", "metadata": J{"n": "x"}}).is(200)
		same(t, "by the new title", find(J{"query": "renamed", "mode": "keyword"}), "moving/0")
		same(t, "by the new metadata", find(J{"embedding": []float64{1, 1}, "filter": J{"n": "x"}}), "moving/0")
		same(t, "by its text still", find(J{"query": "word29", "mode": "keyword"}), "moving/0")
		e.del(t, doc(id, "moving")).is(200)
		same(t, "after its deletion", find(J{"query": "renamed word29", "mode": "keyword"}), "")
		e.del(t, "/v1/libraries/"+id).is(200)
		e.post(t, path, J{"query": "x", "mode": "keyword"}).problem(404, "library_not_found")
	})
}

// Search works by meaning with nothing but texts.
func TestSearchByMeaning(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := e.names[0]
		e.post(t, "/v1/libraries", J{"id": id}).is(201)
		for name, text := range map[string]string{"pets": "The cat slept on the warm sofa.", "money": "Banks raised their interest rates.", "space": "The rocket reached orbit around the moon."} {
			e.put(t, doc(id, name), J{"text": text}).is(201)
		}
		path := "/v1/libraries/" + id + "/search"
		for query, want := range map[string]string{"a kitten on a couch": "pets/0", "mortgage lending costs": "money/0", "astronauts in a spacecraft": "space/0"} {
			same(t, query, hits(t, e.post(t, path, J{"query": query, "k": 1}).is(200).obj()), want)
			same(t, query+", hybrid", hits(t, e.post(t, path, J{"query": query, "k": 1, "mode": "hybrid"}).is(200).obj()), want)
		}
	})
}

func TestSearchBadRequests(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := searchLibrary(t, e)
		path := "/v1/libraries/" + id + "/search"
		for field, body := range map[string]J{
			"k":                  {"embedding": []int{1, 2}, "k": 0},
			"mode":               {"embedding": []int{1, 2}, "mode": "fuzzy"},
			"ef":                 {"embedding": []int{1, 2}, "ef": 0},
			"fusion":             {"query": "x", "mode": "hybrid", "fusion": "max"},
			"vector_weight":      {"query": "x", "mode": "hybrid", "vector_weight": 1.5},
			"rrf_k":              {"query": "x", "mode": "keyword", "rrf_k": 60},
			"query":              {},
			"embedding":          {"query": "x"},
			"include[0]":         {"embedding": []int{1, 2}, "include": []string{"everything"}},
			"distance_threshold": {"query": "x", "mode": "keyword", "distance_threshold": 1},
			"explain":            {"query": "x", "explain": true},
			"qery":               {"qery": "x"},
			"exact":              {"query": "x", "exact": 1},
			"query_text":         {"query": "x", "query_text": "y"},
		} {
			e.post(t, path, body).badField(field)
		}
		e.post(t, path, J{"embedding": []int{1, 2}, "k": 10_001}).badField("k")
		e.post(t, path, J{"embedding": []int{0, 0}}).badField("embedding")
		p := e.post(t, path, J{"embedding": []int{1, 2, 3}}).problem(400, "dimension_mismatch")
		same(t, "expected", p["expected"], 2)
		e.post(t, path, J{"embedding": []int{1, 2}, "filter": J{"a": J{"$near": 1}}}).problem(400, "invalid_filter")
		e.post(t, path, `{"query":`).problem(400, "invalid_json")
		e.post(t, path+"?top=3", J{"query": "x"}).badField("top")
		e.post(t, "/v1/libraries/"+e.names[7]+"/search", J{"query": "x"}).problem(404, "library_not_found")
	})
}

func TestSearchStream(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		id := searchLibrary(t, e)
		path := "/v1/libraries/" + id + "/search/stream"
		body := `{"embedding":[1,0],"k":2}
{"embedding":[1,0,3]}
not json

{"query":"apple","mode":"keyword","k":1000000,"include":[]}
`
		lines := e.post(t, path, body, "Content-Type", "application/x-ndjson").is(200).lines("SearchLine")
		var got []string
		for _, l := range lines {
			got = append(got, fmt.Sprintf("%v %v %v %v %v", l["type"], l["query"], l["document_id"], l["total"], l["code"]))
		}
		want := []string{"result 0 apple <nil> <nil>", "result 0 twin <nil> <nil>", "done 0 <nil> 2 <nil>", "error 1 <nil> <nil> dimension_mismatch", "error 2 <nil> <nil> invalid_json",
			"result 3 twin <nil> <nil>", "result 3 apple <nil> <nil>", "result 3 pear <nil> <nil>", "done 3 <nil> 3 <nil>"}
		if sortedLines(got) != sortedLines(want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		one := e.post(t, path, "{\n \"embedding\": [1,0],\n \"k\": 1\n}").is(200).lines("SearchLine")
		if len(one) != 2 || one[0]["document_id"] != "apple" || one[1]["type"] != "done" {
			t.Errorf("one query over several lines: %v", one)
		}
		events := string(e.post(t, path, J{"embedding": []int{1, 0}, "k": 1}, "Accept", "text/event-stream").is(200).body)
		if !strings.HasPrefix(events, "event: result\ndata: {\"type\":\"result\",\"query\":0,\"rank\":1,") || !strings.Contains(events, "}\n\nevent: done\ndata: {\"type\":\"done\"") || !strings.HasSuffix(events, "}\n\n") {
			t.Errorf("as events:\n%s", events)
		}
		e.post(t, "/v1/libraries/"+e.names[7]+"/search/stream", J{"query": "x"}).problem(404, "library_not_found")
	})
}

func sortedLines(s []string) string {
	slices.Sort(s)
	return strings.Join(s, "\n")
}

// A stream of all chunks of a large library comes in order, each once, and costs the
// server 16 bytes a hit and little more.
func TestSearchStreamLong(t *testing.T) {
	n := 20_000
	if os.Getenv("ARRWDB_E2E_LONG") != "" {
		n = 1_000_000
	}
	e := alone(t)
	id := e.lib(t)
	for from := 0; from < n; from += 20_000 {
		var b strings.Builder
		for i := from; i < from+20_000; i++ {
			fmt.Fprintf(&b, `{"id":"d%d","text":"one of many texts","embedding":[1,%d.5]}`+"\n", i, i)
		}
		same(t, "successful", e.ingest(t, id, "", b.String()).is(200).obj()["successful"], 20_000)
	}
	stream := func(k int) (lines int) {
		req := e.request(t, "POST", "/v1/libraries/"+id+"/search/stream", J{"embedding": []float64{1, 0.5}, "k": k})
		res, err := e.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		last, in := -1.0, bufio.NewScanner(res.Body)
		for in.Scan() {
			var l struct {
				Type     string   `json:"type"`
				Rank     int      `json:"rank"`
				Distance *float64 `json:"distance"`
				Total    int      `json:"total"`
			}
			if err := json.Unmarshal(in.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			if l.Type == "done" {
				same(t, "total", l.Total, lines)
				return lines
			}
			if lines++; l.Type != "result" || l.Rank != lines || *l.Distance < last {
				t.Fatalf("line %d: %s, after distance %v", lines, in.Bytes(), last)
			}
			last = *l.Distance
		}
		t.Fatalf("the answer ends after %d lines: %v", lines, in.Err())
		return 0
	}
	stream(1000) // what a search needs at all
	before := e.srv.residentBytes(t)
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			most = max(most, e.srv.residentBytes(t))
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	same(t, "lines", stream(1_000_000), n)
	close(stop)
	most := <-peak
	t.Logf("%d hits; resident: %d MiB before, %d MiB at most", n, before>>20, most>>20)
	if most > before+int64(64*n)+(96<<20) {
		t.Errorf("memory went from %d to %d MiB", before>>20, most>>20)
	}
}
