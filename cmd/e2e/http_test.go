package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		for _, path := range []string{"/v1", "/v1/", "/v1/nothing", "/v2/libraries", "/v1/libraries/" + lib + "/nothing", doc(lib, "a") + "/nothing"} {
			e.get(t, path).problem(404, "not_found")
		}
		for _, c := range []struct{ method, path, allow string }{
			{"PUT", "/v1/libraries", "GET POST"}, {"POST", "/v1/libraries/" + lib, "DELETE GET PATCH"}, {"POST", doc(lib, "a"), "DELETE GET PATCH PUT"},
			{"DELETE", "/v1/events", "GET"}, {"POST", "/v1/status", "GET"}, {"PUT", docs(lib), "GET POST"}, {"GET", "/v1/libraries/" + lib + "/batch", "POST"},
		} {
			r := e.do(t, c.method, c.path, J{})
			r.problem(405, "method_not_allowed")
			for _, m := range strings.Fields(c.allow) {
				if !strings.Contains(r.header.Get("Allow"), m) {
					t.Errorf("%s %s: Allow %q lacks %s", c.method, c.path, r.header.Get("Allow"), m)
				}
			}
		}
	})
}

func TestContentTypes(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		body := jsonText(simple("a", nil))
		for _, ct := range []string{"text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"} {
			e.post(t, docs(lib), body, "Content-Type", ct).problem(415, "unsupported_media_type")
		}
		e.post(t, docs(lib), body, "Content-Type", "application/json; charset=utf-8").is(201)
		e.get(t, doc(lib, "a"), "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").is(200)
		if ct := e.get(t, doc(lib, "a")).header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			t.Errorf("content type %q", ct)
		}
	})
}

func TestRequestIDs(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		seen := map[string]bool{}
		for range 5 {
			id, _ := e.get(t, "/v1/libraries/"+e.names[7]).problem(404, "library_not_found")["request_id"].(string)
			if id == "" || seen[id] {
				t.Errorf("request_id %q", id)
			}
			seen[id] = true
		}
	})
}

func TestHead(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		r := e.do(t, "HEAD", doc(lib, "a"), nil).is(200, 405)
		if len(r.body) != 0 {
			t.Errorf("HEAD has a body: %q", r.body)
		}
		e.get(t, doc(lib, "a")).is(200) // the connection is still in step
	})
}

func TestTooLargeBody(t *testing.T) {
	s := startServer(t, t.TempDir(), "--max-body-bytes", "100000")
	c := newClient(s.base(), "")
	c.post(t, "/v1/libraries", J{"id": "l", "embedding": J{"provider": "none"}}).is(201)
	big := J{"id": "a", "title": strings.Repeat("x", 200_000), "embedding": []int{1, 2, 3}}
	p := c.post(t, docs("l"), big).problem(413, "too_large")
	same(t, "limit", p["limit"], 100_000)
	// Without a Content-Length the body is counted as it comes.
	c.post(t, docs("l"), io.MultiReader(strings.NewReader(jsonText(big)))).problem(413, "too_large")
	c.get(t, doc("l", "a")).problem(404, "document_not_found")
	c.post(t, docs("l"), simple("b", nil)).is(201)
	// An upload is bounded by the line, not by the whole.
	var lines []any
	for range 2000 {
		lines = append(lines, simple("c", J{"pad": strings.Repeat("y", 100)}))
	}
	counts(t, c.ingest(t, "l", "", ndjson(lines...)).is(200).obj(), 2000, 0, 0, 2000)
}

// Bytes that are no request must not take the server down, nor a connection of
// somebody else.
func TestGarbageOnTheWire(t *testing.T) {
	e := openEnv(t)
	for _, raw := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
		"POST /v1/libraries HTTP/1.1\r\nHost: " + e.srv.addr + "\r\nContent-Length: -5\r\n\r\n",
		"POST /v1/libraries HTTP/1.1\r\nHost: " + e.srv.addr + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\n\r\n",
		"GET /v1/libraries/%zz HTTP/1.1\r\nHost: " + e.srv.addr + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", e.srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
		_, _ = io.WriteString(conn, raw) // the server may close first
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			if res.StatusCode == 500 {
				t.Errorf("%.40q: status %d", raw, res.StatusCode)
			}
			res.Body.Close()
		}
		conn.Close()
	}
	e.get(t, "/livez").is(200)
}

// A body that is refused unread must not be taken for the next request.
func TestRefusedBodyIsNotARequest(t *testing.T) {
	e := openEnv(t)
	inner := "GET /smuggled HTTP/1.1\r\nHost: " + e.srv.addr + "\r\n\r\n"
	body := strings.Repeat(inner, 1+(1<<20)/len(inner))
	for _, path := range []string{"/v1/libraries/none/documents/stream", "/v1/libraries/none/documents", "/nothing", "/livez"} {
		conn, err := net.Dial("tcp", e.srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() {
			_, _ = io.WriteString(conn, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s", path, e.srv.addr, len(body), body))
			_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: "+e.srv.addr+"\r\nConnection: close\r\n\r\n")
		}()
		r := bufio.NewReader(conn)
		var statuses []int
		for {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				break // closed, which is as good
			}
			_, _ = io.Copy(io.Discard, res.Body)
			statuses = append(statuses, res.StatusCode)
		}
		conn.Close()
		if len(statuses) > 2 || len(statuses) > 0 && statuses[0] < 400 || len(statuses) == 2 && statuses[1] != 200 {
			t.Errorf("POST %s, then GET /livez: statuses %v", path, statuses)
		}
	}
}

func TestHealthAndStatus(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		e.get(t, "/livez").is(200)
		e.get(t, "/readyz").is(200)
		anyone := newClient(e.base, "")
		anyone.get(t, "/livez").is(200)
		anyone.get(t, "/readyz").is(200)
		if v := str(e.root.get(t, "/v1/status").is(200).obj(), "version"); v == "" {
			t.Error("no version in /v1/status")
		}
		metrics := e.root.get(t, "/metrics").is(200)
		if !strings.Contains(string(metrics.body), "# TYPE ") || !strings.Contains(string(metrics.body), "arrwdb_") {
			t.Errorf("no metrics of the program's own:\n%s", clip(metrics.body))
		}
		if e.scoped {
			// Where a scoped key may read them, they must show nothing of others.
			e.get(t, "/v1/status").is(200, 403)
			e.get(t, "/metrics").is(200, 403)
			anyone.get(t, "/v1/status").problem(401, "unauthenticated")
		}
	})
}

func TestOpenAPIIsServed(t *testing.T) {
	e := openEnv(t)
	r := e.get(t, "/openapi.json").is(200, 404)
	if r.status == 404 {
		t.Skip("not served yet")
	}
	raw, err := os.ReadFile(filepath.Join("..", "..", "httpd", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if json.Unmarshal(raw, &want) != nil || json.Unmarshal(r.body, &got) != nil {
		t.Fatal("not JSON")
	}
	same(t, "openapi.json", got, want)
}

// Parts that a later issue builds answer 400 or 404 with a clear code.
func TestLaterParts(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		for _, c := range []struct{ method, path string }{
			{"POST", "/v1/libraries/" + lib + "/search"}, {"GET", "/v1/jobs"}, {"POST", "/v1/jobs/batch-import"}, {"PUT", "/v1/consumers/c"},
			{"PUT", "/v1/webhooks/w"}, {"GET", "/v1/ws"}, {"GET", "/v1/libraries/" + lib + "/ws"}, {"GET", "/v1/events?snapshot=true"}, {"GET", "/v1/events/stream?consumer=c"},
		} {
			var body any
			if c.method != "GET" {
				body = J{}
			}
			r := e.do(t, c.method, c.path, body)
			if r.status == 200 || r.status >= 500 {
				t.Errorf("%s: status %d\n%s", r.what, r.status, clip(r.body))
			}
		}
	})
}

func TestHostCheckWithoutKeys(t *testing.T) {
	e := openEnv(t)
	port := e.srv.addr[strings.LastIndex(e.srv.addr, ":"):]
	for _, host := range []string{"localhost" + port, "127.0.0.1" + port, "[::1]" + port, "127.0.0.1", "localhost"} {
		e.get(t, "/v1/libraries", "Host", host).is(200)
	}
	for _, host := range []string{"evil.example" + port, "evil.example", "127.0.0.1.evil.example" + port, "localhost.evil.example", "10.0.0.1" + port, "192.168.0.1"} {
		for _, r := range []*resp{e.get(t, "/v1/libraries", "Host", host), e.post(t, "/v1/libraries", J{"id": "rebound", "embedding": J{"provider": "none"}}, "Host", host)} {
			if r.status < 400 || r.status >= 500 {
				t.Errorf("Host %q: status %d, want a refusal", host, r.status)
			}
		}
	}
	e.get(t, "/v1/libraries/rebound").problem(404, "library_not_found")
}

func TestHostIsFreeWithKeys(t *testing.T) {
	scopedEnv(t).get(t, "/v1/libraries", "Host", "db.example:8080").is(200)
}

func TestOriginCheck(t *testing.T) {
	both(t, func(t *testing.T, e *env) {
		lib := e.lib(t)
		e.put(t, doc(lib, "a"), simple("", nil)).is(201)
		for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"} {
			for _, r := range []*resp{
				e.post(t, docs(lib), simple("x", nil), "Origin", origin), e.put(t, doc(lib, "x"), simple("", nil), "Origin", origin), e.patch(t, doc(lib, "a"), J{"title": "x"}, "Origin", origin),
				e.del(t, doc(lib, "a"), "Origin", origin), e.ingest(t, lib, "", ndjson(simple("x", nil)), "Origin", origin),
			} {
				r.problem(403, "permission_denied")
				if r.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: a foreign origin is told that it may", r.what)
				}
			}
		}
		e.get(t, doc(lib, "x")).problem(404, "document_not_found")
		own := e.srv.base()
		e.post(t, docs(lib), simple("own", nil), "Origin", own).is(201)
		e.get(t, doc(lib, "own"), "Origin", own).is(200)
	})
}

func TestCORSOrigins(t *testing.T) {
	s := startServer(t, t.TempDir(), "--cors-origin", "https://app.example")
	c := newClient(s.base(), "")
	lib := J{"id": "l", "embedding": J{"provider": "none"}}
	r := c.post(t, "/v1/libraries", lib, "Origin", "https://app.example").is(201)
	same(t, "Access-Control-Allow-Origin", r.header.Get("Access-Control-Allow-Origin"), "https://app.example")
	c.post(t, docs("l"), simple("a", nil), "Origin", "https://other.example").problem(403, "permission_denied")
	req := c.request(t, "OPTIONS", docs("l"), nil, "Origin", "https://app.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,authorization")
	res, err := c.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode >= 300 || res.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: status %d, headers %v", res.StatusCode, res.Header)
	}
}
