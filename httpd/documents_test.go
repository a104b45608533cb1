package httpd_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/httpd"
)

func TestReadsSayWhatTheySaw(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	put := w.do("PUT", "/v1/libraries/l/documents/a", simple("a")).is(201)
	seq, pos := put.header.Get("Arrwdb-Seq"), put.header.Get("Arrwdb-Position")
	if fmt.Sprint(put.obj()["seq"]) != seq || put.header.Get("ETag") != `"`+seq+`"` || !strings.Contains(pos, ":"+seq) {
		t.Errorf("%s %v", put.body, put.header)
	}
	for _, path := range []string{"", "/documents", "/documents/a", "/count", "/sources/s", "/documents/stream"} {
		for _, min := range []string{seq, pos} {
			r := w.do("GET", "/v1/libraries/l"+path+"?min_seq="+min, nil).is(200)
			if r.header.Get("Arrwdb-Seq") != seq || r.header.Get("Arrwdb-Position") != pos {
				t.Errorf("%s: %v", path, r.header)
			}
		}
	}
	n, _ := strconv.Atoi(seq)
	w.do("GET", "/v1/libraries/l", nil, "Arrwdb-Min-Seq", strconv.Itoa(n+1)).problem(409, "ahead")
	w.do("GET", "/v1/libraries/l?min_seq=aaaaaaaaaaaaa:1", nil).problem(409, "diverged")
	w.do("GET", "/v1/libraries/l?min_seq="+pos[:len(pos)-1]+"x", nil).problem(400, "invalid_argument")
	w.do("GET", "/v1/libraries/l?timeout=x", nil).problem(400, "invalid_argument")
}

func TestPreconditions(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	const path = "/v1/libraries/l/documents/a"
	etag := w.do("PUT", path, simple("a"), "If-None-Match", "*").is(201).header.Get("ETag")
	if p := w.do("PUT", path, simple("a"), "If-None-Match", "*").problem(412, "precondition_failed"); p["seq"] == nil {
		t.Errorf("%v", p)
	}
	w.do("GET", path, nil, "If-None-Match", etag).is(304)
	next := w.do("PATCH", path, `{"title":"new"}`, "If-Match", etag).is(200).header.Get("ETag")
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		body := map[string]any{"title": "x"}
		if method == "PUT" {
			body["embedding"] = []int{1, 2, 3}
		}
		w.do(method, path, body, "If-Match", etag).problem(412, "precondition_failed")
		w.do(method, path, body, "If-Match", "x").problem(400, "invalid_argument")
	}
	w.do("DELETE", path, nil, "If-Match", next).is(200)
}

func TestStrictRequests(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	for _, c := range []struct{ method, path, body, code, field string }{
		{"GET", "/v1/libraries?limt=1", "", "invalid_argument", "limt"},
		{"GET", "/v1/libraries?limit=0", "", "invalid_argument", "limit"},
		{"GET", "/v1/libraries?limit=1&limit=2", "", "invalid_argument", "limit"},
		{"GET", "/v1/libraries?cursor=x", "", "invalid_cursor", ""},
		{"POST", "/v1/libraries", `{"id":"x","metrik":"l2"}`, "invalid_argument", "metrik"},
		{"POST", "/v1/libraries", `{"id":5}`, "invalid_argument", "id"},
		{"POST", "/v1/libraries", `{"id":"x"} {}`, "invalid_json", ""},
		{"POST", "/v1/libraries", strings.Repeat(`[`, 100_000), "invalid_argument", "body"},
		{"PATCH", "/v1/libraries/l", `{"dimension":3}`, "invalid_argument", "dimension"},
		{"PUT", "/v1/libraries/l/documents/a", `{"embeding":[1]}`, "invalid_argument", "embeding"},
		{"PUT", "/v1/libraries/l/documents/a", `{"id":"b","embedding":[1]}`, "invalid_argument", "id"},
		{"GET", "/v1/libraries/l/documents?filter=x", "", "invalid_filter", ""},
		{"GET", "/v1/libraries/l/documents/stream?include=x", "", "invalid_argument", "include"},
		{"POST", "/v1/libraries/l/documents/get", `{}`, "invalid_argument", "ids"},
		{"POST", "/v1/libraries/l/documents/delete", `{"ids":[],"filter":{}}`, "invalid_argument", "ids"},
		{"POST", "/v1/libraries/l/batch", `{"operations":[]}`, "invalid_argument", "operations"},
		{"GET", "/v1/documents/a", "", "invalid_argument", "library_id"},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		p := w.do(c.method, c.path, body).problem(400, c.code)
		if c.field != "" && p["field"] != c.field {
			t.Errorf("%s %s: field %v, want %s", c.method, c.path, p["field"], c.field)
		}
	}
	r := w.do("PUT", "/v1/libraries/l/batch", nil)
	r.problem(405, "method_not_allowed")
	if r.header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", r.header.Get("Allow"))
	}
	if p := w.do("POST", "/v1/libraries/l/watch", `{}`).problem(404, "not_found"); !strings.Contains(fmt.Sprint(p["detail"]), "live queries") {
		t.Errorf("%v", p)
	}
}

func TestListsPage(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	w.lib("m")
	w.ingest("l", "", many(25)).is(200)
	path, pages, seen := "/v1/libraries/l/documents?limit=10", 0, 0
	cursor := ""
	for {
		m := w.do("GET", path+cursor, nil).is(200).obj()
		pages++
		seen += len(m["documents"].([]any))
		if m["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + m["next_cursor"].(string)
	}
	if pages != 3 || seen != 25 {
		t.Errorf("%d pages, %d documents", pages, seen)
	}
	w.do("GET", "/v1/libraries/m/documents?limit=10"+cursor, nil).problem(400, "invalid_cursor")
	w.do("GET", "/v1/libraries?limit=10"+cursor, nil).problem(400, "invalid_cursor")
}

func TestBatchNamesTheOperation(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	op := func(more string) string {
		return `{"operations":[{"op":"put","id":"a","document":{"embedding":[1,2,3]}},` + more + `]}`
	}
	for more, code := range map[string]string{
		`{"op":"delete","id":"none"}`:                                    "document_not_found",
		`{"op":"put","id":"b","document":{"embedding":[1]}}`:             "dimension_mismatch",
		`{"op":"put","id":"b","document":{"embedding":[1,2,"x"]}}`:       "",
		`{"op":"move","id":"b"}`:                                         "invalid_argument",
		`{"op":"patch","id":"a","document":{"title":"x"},"iff_match":1}`: "invalid_argument",
	} {
		r := w.do("POST", "/v1/libraries/l/batch", op(more))
		m := r.obj()
		if r.status < 400 || m["operation"] != 1.0 || code != "" && m["code"] != code {
			t.Errorf("%s: %d %s", more, r.status, r.body)
		}
	}
	if n := w.count("l"); n != 0 {
		t.Errorf("%d documents", n)
	}
	first := w.do("POST", "/v1/libraries/l/batch", op(`{"op":"put","id":"b","document":{"embedding":[1,2,3]}}`), "Idempotency-Key", "k").is(200)
	again := w.do("POST", "/v1/libraries/l/batch", op(`{"op":"put","id":"b","document":{"embedding":[1,2,3]}}`), "Idempotency-Key", "k").is(200)
	if string(first.body) != string(again.body) || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%s, then %s %v", first.body, again.body, again.header)
	}
}

func TestUploadLimit(t *testing.T) {
	w := newWorld(t, func(o *httpd.Options) { o.MaxUploads = 1 })
	w.lib("l")
	c := w.upload("l", "ack=line")
	c.answer()
	for _, ack := range []string{"summary", "line"} {
		w.ingest("l", "ack="+ack, simple("a")).problem(503, "overloaded")
	}
	c.conn.Close()
	w.eventually("there is room again", func() bool { return w.ingest("l", "", simple("a")).status == 200 })
}
