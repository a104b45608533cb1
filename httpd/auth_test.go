package httpd_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/httpd"
)

// newKey makes a key and returns its id and secret.
func (w *world) newKey(spec map[string]any) (id, secret string) {
	w.t.Helper()
	m := w.do("POST", "/v1/keys", spec).is(201).obj()
	return m["id"].(string), m["key"].(string)
}

// as returns the same world with another key.
func (w *world) as(key string) *world {
	other := *w
	other.key = key
	return &other
}

// keyed makes a world with an admin key; the world uses it.
func keyed(t *testing.T, change func(*httpd.Options)) *world {
	w := newWorld(t, change)
	w.lib("a")
	w.lib("b")
	_, w.key = w.newKey(map[string]any{"role": "admin", "name": "root"})
	return w
}

func TestKeysAreRequiredOnceThereAreSome(t *testing.T) {
	w := keyed(t, nil)
	nobody := w.as("")
	for _, path := range []string{"/v1/libraries", "/v1/nothing", "/metrics", "/v1/events/stream", "/v1/libraries/a?x=1"} {
		r := nobody.do("GET", path, nil)
		r.problem(401, "unauthenticated")
		if r.header.Get("WWW-Authenticate") == "" {
			t.Error("no WWW-Authenticate")
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/openapi.json", "/docs"} {
		nobody.do("GET", path, nil).is(200)
	}
	w.do("GET", "/v1/libraries", nil, "Host", "db.example").is(200)
	nobody.do("GET", "/v1/libraries?access_token="+w.key, nil).is(200)
	nobody.do("GET", "/v1/libraries", nil, "Authorization", "Basic "+w.key).problem(401, "unauthenticated")
	w.do("GET", "/metrics", nil).is(200)
}

func TestHostWithoutKeys(t *testing.T) {
	w := newWorld(t, nil)
	w.do("GET", "/v1/libraries", nil, "Host", "localhost:1").is(200)
	w.do("GET", "/v1/libraries", nil, "Host", "evil.example").problem(403, "permission_denied")
	w.do("GET", "/v1/libraries", nil, "Host", "127.0.0.1.evil.example").problem(403, "permission_denied")
}

func TestRoles(t *testing.T) {
	w := keyed(t, nil)
	secrets := map[string]string{}
	for _, role := range []string{"read", "write"} {
		_, secrets[role] = w.newKey(map[string]any{"role": role})
	}
	_, scoped := w.newKey(map[string]any{"role": "admin", "libraries": []string{"a"}})
	for _, c := range []struct{ method, path, least string }{
		{"GET", "/v1/libraries", "read"}, {"POST", "/v1/libraries/a/documents/get", "read"}, {"POST", "/v1/libraries/a/documents", "write"}, {"DELETE", "/v1/libraries/a/documents/x", "write"},
		{"PATCH", "/v1/libraries/a", "write"}, {"POST", "/v1/libraries/a/documents/stream", "write"}, {"GET", "/v1/keys", "admin"}, {"POST", "/v1/admin/checkpoint", "admin"}, {"GET", "/metrics", "admin"},
	} {
		for role, secret := range secrets {
			r := w.as(secret).do(c.method, c.path+"?nonsense=1", "{broken")
			denied := c.least == "admin" || c.least == "write" && role == "read"
			if denied != (r.status == 403) || !denied && c.path != "/metrics" && r.status != 400 {
				t.Errorf("%s %s as %s: %d", c.method, c.path, role, r.status)
			}
		}
		if r := w.as(scoped).do(c.method, c.path, "{broken"); (c.least == "admin") != (r.status == 403) {
			t.Errorf("%s %s with a key of one library: %d", c.method, c.path, r.status)
		}
	}
}

func TestScope(t *testing.T) {
	w := keyed(t, nil)
	_, secret := w.newKey(map[string]any{"role": "write", "libraries": []string{"a"}})
	s := w.as(secret)
	w.do("PUT", "/v1/libraries/b/documents/secret", simple("secret")).is(201)
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/libraries/b"}, {"GET", "/v1/libraries/b/documents"}, {"PUT", "/v1/libraries/b/documents/x"}, {"POST", "/v1/libraries/b/documents/stream?ack=x"},
		{"GET", "/v1/documents/secret?library_id=b"}, {"DELETE", "/v1/documents/secret?library_id=b"}, {"GET", "/v1/libraries/b/sources/s"}, {"POST", "/v1/libraries/b/batch"},
	} {
		got := s.do(c.method, c.path, nil).problem(404, "library_not_found")["detail"]
		none := s.do(c.method, strings.NewReplacer("libraries/b", "libraries/none", "=b", "=none").Replace(c.path), nil).problem(404, "library_not_found")["detail"]
		if strings.ReplaceAll(fmt.Sprint(got), `"b"`, `"none"`) != none {
			t.Errorf("%s %s tells %q, of a library that does not exist %q", c.method, c.path, got, none)
		}
	}
	if l := s.do("GET", "/v1/libraries", nil).is(200).obj()["libraries"].([]any); len(l) != 1 {
		t.Errorf("%d libraries", len(l))
	}
	for _, path := range []string{"/v1/events?from=1", "/v1/events?from=1&library=b", "/v1/status", "/v1/events/stats"} {
		if r := s.do("GET", path, nil).is(200); strings.Contains(string(r.body), "secret") || strings.Contains(string(r.body), `"b"`) {
			t.Errorf("%s shows another library: %s", path, r.body)
		}
	}
	s.do("POST", "/v1/libraries", map[string]any{"id": "c", "embedding": map[string]any{"provider": "none"}}).problem(403, "permission_denied")
	c := s.sse("from=1")
	for {
		e := c.event()
		if strings.Contains(e["data"], "secret") || strings.Contains(e["data"], `"b"`) {
			t.Errorf("the stream shows another library: %v", e)
		}
		if e["event"] == "stream.live" {
			break
		}
	}
}

// Revocation and expiry end what is open within 5 s.
func TestRevocationEndsStreams(t *testing.T) {
	var mu sync.Mutex
	skip := time.Duration(0)
	w := keyed(t, func(o *httpd.Options) {
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(skip)
		}
	})
	id, revoked := w.newKey(map[string]any{"role": "write"})
	_, expiring := w.newKey(map[string]any{"role": "write", "expires": "1h"})
	_, good := w.newKey(map[string]any{"role": "write"})
	stays := w.as(good).sse("")
	stays.until("stream.live")
	type opened struct {
		sse  *wire
		line *wire
		sum  *wire
	}
	var all []opened
	for _, key := range []string{revoked, expiring} {
		k := w.as(key)
		o := opened{sse: k.sse(""), line: k.upload("a", "ack=line"), sum: k.upload("a", "")}
		o.sse.until("stream.live")
		o.line.answer()
		o.sum.chunk(simple("s"))
		all = append(all, o)
	}
	w.do("DELETE", "/v1/keys/"+id, nil).is(200)
	mu.Lock()
	skip = 2 * time.Hour
	mu.Unlock()
	begin := time.Now()
	for _, o := range all {
		o.sse.closed(5 * time.Second)
		o.line.closed(5 * time.Second)
		res := o.sum.answer()
		raw, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 && res.StatusCode != 401 || res.StatusCode == 200 && decoded(t, raw)["complete"] != false {
			t.Errorf("%d %s", res.StatusCode, raw)
		}
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	w.as(revoked).do("GET", "/v1/libraries", nil).problem(401, "unauthenticated")
	w.as(good).do("PUT", "/v1/libraries/a/documents/still", simple("still")).is(201)
	stays.until("document.added")
}

// The first key ends what was opened when none was needed.
func TestFirstKeyEndsOpenStreams(t *testing.T) {
	w := newWorld(t, nil)
	w.lib("l")
	sse, up := w.sse(""), w.upload("l", "ack=line")
	sse.until("stream.live")
	up.answer()
	w.newKey(map[string]any{"role": "admin"})
	sse.closed(5 * time.Second)
	up.closed(5 * time.Second)
	w.do("GET", "/v1/libraries", nil).problem(401, "unauthenticated")
}

func TestKeysOverHTTP(t *testing.T) {
	w := keyed(t, nil)
	r := w.do("POST", "/v1/keys", map[string]any{"role": "read", "name": "n", "libraries": []string{"a"}, "expires": "24h"}).is(201)
	m := r.obj()
	for _, f := range []string{"id", "name", "role", "libraries", "expires_at", "created_at", "key"} {
		if m[f] == nil {
			t.Errorf("%s is missing: %s", f, r.body)
		}
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Error("a secret may be cached")
	}
	if l := w.do("GET", "/v1/keys", nil).is(200); strings.Contains(string(l.body), m["key"].(string)) || len(l.obj()["keys"].([]any)) != 2 {
		t.Errorf("%s", l.body)
	}
	for body, field := range map[string]string{`{}`: "role", `{"role":"god"}`: "role", `{"role":"read","expires":"yesterday"}`: "expires", `{"role":"read","expires":"-1h"}`: "expires", `{"role":"read","lib":["a"]}`: "lib"} {
		if p := w.do("POST", "/v1/keys", body).problem(400, "invalid_argument"); p["field"] != field {
			t.Errorf("%s: field %v, want %s", body, p["field"], field)
		}
	}
	w.do("POST", "/v1/keys", map[string]any{"role": "read"}, "Idempotency-Key", "k").problem(400, "invalid_argument")
	w.do("DELETE", "/v1/keys/none", nil).problem(404, "not_found")
}

func TestOriginsAndCORS(t *testing.T) {
	w := newWorld(t, func(o *httpd.Options) { o.CORSOrigins = []string{"https://app.example"} })
	w.lib("l")
	for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1.evil.example", "https://app.example.evil.example", "http://app.example"} {
		r := w.do("PUT", "/v1/libraries/l/documents/x", simple("x"), "Origin", origin)
		r.problem(403, "permission_denied")
		if r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is told that it may", origin)
		}
	}
	for _, origin := range []string{"https://app.example", "http://" + w.addr} {
		r := w.do("PUT", "/v1/libraries/l/documents/x", simple("x"), "Origin", origin)
		if r.status > 201 || r.header.Get("Access-Control-Allow-Origin") != origin || r.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", origin, r.status, r.header)
		}
	}
	r := w.do("OPTIONS", "/v1/libraries/l/documents", nil, "Origin", "https://app.example", "Access-Control-Request-Method", "POST").is(204)
	if r.header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Last-Event-ID") {
		t.Errorf("preflight %v", r.header)
	}
	// EventSource of a page that may.
	c := w.dial()
	c.send("GET /v1/events/stream HTTP/1.1\r\nHost: " + w.addr + "\r\nOrigin: https://app.example\r\n\r\n")
	if res := c.answer(); res.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%v", res.Header)
	}
}

// The key must be in no log line, however much is logged.
func TestKeyIsNeverLogged(t *testing.T) {
	var b lockedBuffer
	w := keyed(t, func(o *httpd.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	nobody := w.as("")
	nobody.do("GET", "/v1/libraries?access_token="+w.key, nil).is(200)
	nobody.do("GET", "/v1/libraries?x=1&access_token="+w.key, nil).problem(400, "invalid_argument")
	nobody.do("GET", "/v1/nothing?access_token="+w.key, nil).problem(404, "not_found")
	w.do("GET", "/v1/libraries/none", nil).problem(404, "library_not_found")
	if text := b.String(); !strings.Contains(text, "path=/v1/libraries") || strings.Contains(text, w.key) {
		t.Errorf("the log:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRequestIDs(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.do("GET", "/livez", nil).header.Get("X-Request-Id"), w.do("GET", "/livez", nil).header.Get("X-Request-Id")
	if a == "" || a == b {
		t.Errorf("ids %q %q", a, b)
	}
	if p := w.do("GET", "/v1/nothing", nil, "X-Request-Id", "mine-1").problem(404, "not_found"); p["request_id"] != "mine-1" {
		t.Errorf("%v", p)
	}
	r := w.do("GET", "/v1/nothing", nil, "X-Request-Id", strings.Repeat("x", 200))
	if id := r.problem(404, "not_found")["request_id"].(string); len(id) > 100 {
		t.Errorf("%q", id)
	}
}
