package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// J is a JSON object.
type J = map[string]any

// A client talks to one server with one key, and checks every answer.
type client struct {
	base string
	key  string
	hc   *http.Client

	forbidden   []string          // must not be in any answer, unless it was in the request
	beforeWrite func(testing.TB)  // what others do meanwhile
	always      map[string]string // headers of every request
}

func newClient(base, key string) *client {
	return &client{base: base, key: key, hc: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
		Timeout:   3 * patience,
	}}
}

// A resp is one whole answer.
type resp struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// request builds a request. body may be nil, a string or bytes (sent as they
// are), a reader, or a value to be encoded as JSON. pairs are header names and
// values; an empty value removes the header.
func (c *client) request(t testing.TB, method, path string, body any, pairs ...string) *http.Request {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, c.base+path, r)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for k, v := range c.always {
		req.Header.Set(k, v)
	}
	if len(pairs)%2 != 0 {
		t.Fatalf("odd header pairs %q", pairs)
	}
	for i := 0; i < len(pairs); i += 2 {
		switch {
		case pairs[i] == "Host":
			req.Host = pairs[i+1]
		case pairs[i+1] == "":
			req.Header.Del(pairs[i])
		default:
			req.Header.Set(pairs[i], pairs[i+1])
		}
	}
	return req
}

// do sends a request, reads the whole answer and checks it.
func (c *client) do(t testing.TB, method, path string, body any, pairs ...string) *resp {
	t.Helper()
	if c.beforeWrite != nil && method != "GET" && method != "HEAD" {
		c.beforeWrite(t)
	}
	req := c.request(t, method, path, body, pairs...)
	res, err := c.hc.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v (%d bytes read)", method, path, err, len(raw))
	}
	if res.StatusCode >= 400 && body != nil {
		// The server may close a connection whose body it did not want; the next
		// request must not run into that.
		c.hc.CloseIdleConnections()
	}
	r := &resp{t, method + " " + path, res.StatusCode, res.Header, raw}
	if method != "HEAD" {
		if err := checkAnswer(req, res.StatusCode, res.Header, raw, false); err != nil {
			t.Errorf("%s: status %d: %v\n%s", r.what, r.status, err, clip(raw))
		}
	}
	var sent string
	switch b := body.(type) {
	case string:
		sent = b
	case []byte:
		sent = string(b)
	case nil, io.Reader:
	default:
		sent = jsonText(b)
	}
	c.checkLeak(t, req, sent, raw)
	return r
}

// checkLeak looks for what this client must not see.
func (c *client) checkLeak(t testing.TB, req *http.Request, sent string, raw []byte) {
	t.Helper()
	for _, word := range c.forbidden {
		asked, _ := url.QueryUnescape(req.URL.String())
		if bytes.Contains(raw, []byte(word)) && !strings.Contains(asked, word) && !strings.Contains(sent, word) {
			t.Errorf("%s %s: the answer shows %q, which belongs to a library outside the key's scope\n%s", req.Method, req.URL, word, clip(raw))
		}
	}
}

func (c *client) get(t testing.TB, path string, pairs ...string) *resp {
	t.Helper()
	return c.do(t, "GET", path, nil, pairs...)
}

func (c *client) post(t testing.TB, path string, body any, pairs ...string) *resp {
	t.Helper()
	return c.do(t, "POST", path, body, pairs...)
}

func (c *client) put(t testing.TB, path string, body any, pairs ...string) *resp {
	t.Helper()
	return c.do(t, "PUT", path, body, pairs...)
}

func (c *client) patch(t testing.TB, path string, body any, pairs ...string) *resp {
	t.Helper()
	return c.do(t, "PATCH", path, body, pairs...)
}

func (c *client) del(t testing.TB, path string, pairs ...string) *resp {
	t.Helper()
	return c.do(t, "DELETE", path, nil, pairs...)
}

// ingest sends NDJSON to a library's stream.
func (c *client) ingest(t testing.TB, lib, query string, body any, pairs ...string) *resp {
	t.Helper()
	path := "/v1/libraries/" + lib + "/documents/stream"
	if query != "" {
		path += "?" + query
	}
	return c.post(t, path, body, append([]string{"Content-Type", "application/x-ndjson"}, pairs...)...)
}

// is demands one of the statuses.
func (r *resp) is(statuses ...int) *resp {
	r.t.Helper()
	for _, s := range statuses {
		if r.status == s {
			return r
		}
	}
	r.t.Fatalf("%s: status %d, want %v\n%s", r.what, r.status, statuses, clip(r.body))
	return r
}

// problem demands an error of that status and code.
func (r *resp) problem(status int, code string) J {
	r.t.Helper()
	p := J{}
	_ = json.Unmarshal(r.body, &p)
	if r.status != status || p["code"] != code {
		r.t.Errorf("%s: %d %v, want %d %s\n%s", r.what, r.status, p["code"], status, code, clip(r.body))
	}
	return p
}

// badField demands 400 invalid_argument for a field.
func (r *resp) badField(field string) {
	r.t.Helper()
	p := r.problem(400, "invalid_argument")
	if p["code"] == "invalid_argument" && p["field"] != field {
		r.t.Errorf("%s: invalid_argument names field %q, want %q (%v)", r.what, p["field"], field, p["detail"])
	}
}

// obj decodes the answer; numbers stay exact.
func (r *resp) obj() J {
	r.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.UseNumber()
	var v J
	if err := dec.Decode(&v); err != nil {
		r.t.Fatalf("%s: status %d: %v\n%s", r.what, r.status, err, clip(r.body))
	}
	return v
}

// seq returns the header Arrwdb-Seq.
func (r *resp) seq() uint64 {
	r.t.Helper()
	n, err := strconv.ParseUint(r.header.Get("Arrwdb-Seq"), 10, 64)
	if err != nil {
		r.t.Fatalf("%s: status %d: Arrwdb-Seq: %v", r.what, r.status, err)
	}
	return n
}

// written demands that the seq in the body is the one in the header.
func (r *resp) written() J {
	r.t.Helper()
	v := r.obj()
	if got := num(v, "seq"); got != r.seq() {
		r.t.Errorf("%s: seq %d in the body, %d in Arrwdb-Seq", r.what, got, r.seq())
	}
	if pos := r.header.Get("Arrwdb-Position"); positionSeq(pos) != r.seq() {
		r.t.Errorf("%s: Arrwdb-Position %q is not at seq %d", r.what, pos, r.seq())
	}
	return v
}

// lines splits an NDJSON answer and checks each line against a schema.
func (r *resp) lines(schema string) []J {
	r.t.Helper()
	var out []J
	if len(r.body) > 0 && !bytes.HasSuffix(r.body, []byte("\n")) {
		r.t.Errorf("%s: the last line has no end", r.what)
	}
	for _, line := range bytes.Split(bytes.TrimSuffix(r.body, []byte("\n")), []byte("\n")) {
		if len(line) > 0 {
			out = append(out, mustMatch(r.t, schema, line))
		}
	}
	return out
}

// at walks into a decoded value by keys and indexes; nil where nothing is.
func at(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(J)
			v = m[s]
		case int:
			a, _ := v.([]any)
			if s >= len(a) {
				return nil
			}
			v = a[s]
		}
	}
	return v
}

func str(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

// num reads a whole number; 0 where there is none.
func num(v any, path ...any) uint64 {
	switch n := at(v, path...).(type) {
	case json.Number:
		u, _ := strconv.ParseUint(n.String(), 10, 64)
		return u
	case float64:
		return uint64(n)
	}
	return 0
}

func list(v any, path ...any) []any {
	a, _ := at(v, path...).([]any)
	return a
}

func ids(docs []any) []string {
	out := make([]string, len(docs))
	for i, d := range docs {
		out[i] = str(d, "id")
	}
	return out
}

func positionSeq(pos string) uint64 {
	parts := strings.Split(pos, ":")
	if len(parts) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(parts[1], 10, 64)
	return n
}

// same compares two values as JSON.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	g, w := canonical(t, got), canonical(t, want)
	if g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, clip([]byte(g)), clip([]byte(w)))
	}
}

func canonical(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var x any
	if err := dec.Decode(&x); err != nil {
		t.Fatal(err)
	}
	raw, _ = json.Marshal(plainNumbers(x))
	return string(raw)
}

// plainNumbers writes each number in one way, so that 1, 1.0 and 1e0 are the same.
// What a float64 does not hold stays as it is.
func plainNumbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if f, err := x.Float64(); err == nil {
			return f
		}
	case J:
		for k := range x {
			x[k] = plainNumbers(x[k])
		}
	case []any:
		for i := range x {
			x[i] = plainNumbers(x[i])
		}
	}
	return v
}

func q(s string) string { return url.QueryEscape(s) }

// eventually polls a condition of a process that works in the background.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func jsonText(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%v: %v", v, err)) // test data that cannot be encoded
	}
	return string(raw)
}
