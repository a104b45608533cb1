package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arrwdb/arrwdb/embed"
	"github.com/arrwdb/arrwdb/embed/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-very-secret"

// A service is a fake of one. Every text's vector is (its length, 1, its first byte).
type service struct {
	*httptest.Server
	mu       sync.Mutex
	requests [][]string
	now, top atomic.Int32                                         // requests under way, and the most there were
	answer   func(n int, w http.ResponseWriter, in []string) bool // before the usual one; true: done
	hold     chan struct{}
	came     chan struct{} // is told of each request that is held
	met      chan struct{} // closed by the second of two requests at once; those before wait for it
	meet     sync.Once
}

func start(t *testing.T) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for top := s.top.Load(); n > top && !s.top.CompareAndSwap(top, n); top = s.top.Load() {
	}
	if s.met != nil {
		if n > 1 {
			s.meet.Do(func() { close(s.met) })
		}
		select {
		case <-s.met:
		case <-time.After(time.Minute):
		}
	}
	raw, _ := io.ReadAll(r.Body)
	var in struct {
		Model  string   `json:"model"`
		Input  []string `json:"input"`
		Format string   `json:"encoding_format"`
	}
	if json.Unmarshal(raw, &in) != nil || r.URL.Path != "/v1/embeddings" || in.Model != "m" || in.Format != "float" || r.Header.Get("Authorization") != "Bearer "+key {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"error":{"message":"unexpected request %s %s"}}`, r.URL.Path, raw)
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, in.Input)
	count := len(s.requests)
	s.mu.Unlock()
	if s.hold != nil {
		select {
		case s.came <- struct{}{}:
		default:
		}
		select {
		case <-s.hold:
		case <-r.Context().Done():
			return
		}
	}
	if s.answer != nil && s.answer(count, w, in.Input) {
		return
	}
	type item struct {
		Index     int       `json:"index"`
		Embedding []float64 `json:"embedding"`
	}
	var data []item
	for i, text := range in.Input {
		data = append(data, item{i, []float64{float64(len(text)), 1, float64(text[0])}})
	}
	slices.Reverse(data) // the index counts, not the place
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (s *service) model(t *testing.T, change func(*openai.ClientOptions)) *openai.Model {
	t.Helper()
	u, _ := url.Parse(s.URL)
	o := openai.ClientOptions{AllowedHosts: []string{u.Host}, AllowPrivate: true, Sleep: func(context.Context, time.Duration) error { return nil }}
	if change != nil {
		change(&o)
	}
	c := openai.NewClient(o)
	t.Cleanup(c.Close)
	m, err := openai.New(openai.Config{BaseURL: s.URL + "/v1/", Model: "m", APIKey: key, Dimension: 3, Client: c})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEmbed(t *testing.T) {
	s := start(t)
	s.met = make(chan struct{})
	m := s.model(t, func(o *openai.ClientOptions) { o.BatchSize, o.MaxBatchBytes, o.MaxConcurrent = 7, 100, 3 })
	var texts []string
	for i := range 100 {
		texts = append(texts, strings.Repeat("x", i))
	}
	out, err := m.Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		if len(v) != 3 || v[0] != float32(max(i, 1)) { // an empty text goes out as a space
			t.Fatalf("text %d: %v", i, v)
		}
	}
	for _, in := range s.requests {
		size := 0
		for _, text := range in {
			size += len(text)
		}
		if len(in) > 7 || len(in) > 1 && size > 100 {
			t.Errorf("a batch of %d texts, %d bytes", len(in), size)
		}
	}
	if top := s.top.Load(); top > 3 || top < 2 {
		t.Errorf("%d requests at once", top)
	}
	if dim, err := m.Probe(context.Background()); dim != 3 || err != nil {
		t.Error(dim, err)
	}
	if out, err := m.Embed(context.Background(), nil); len(out) != 0 || err != nil {
		t.Error(out, err)
	}
	info := m.Info()
	if info.Provider != "openai" || info.Dimension != 3 || info.Hash != openai.Hash(s.URL+"/v1/embeddings", "m", 3) || info.Hash == openai.Hash(s.URL+"/v1", "m2", 3) {
		t.Errorf("%+v", info)
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		fails  int
		ok     bool
		calls  int
	}{
		{"busy", 429, 2, true, 3}, {"broken", 500, 4, true, 5}, {"broken for good", 503, 99, false, 5}, {"timeout", 408, 1, true, 2},
		{"refused", 401, 99, false, 1}, {"unknown model", 404, 99, false, 1}, {"redirect", 302, 99, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			s.answer = func(n int, w http.ResponseWriter, _ []string) bool {
				if n > c.fails {
					return false
				}
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(c.status)
				fmt.Fprintf(w, `{"error":{"message":"no: \u0007 %s"}}`, key)
				return true
			}
			var waits []time.Duration
			m := s.model(t, func(o *openai.ClientOptions) {
				o.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
			})
			_, err := m.Embed(context.Background(), []string{"a"})
			if (err == nil) != c.ok || len(s.requests) != c.calls {
				t.Fatalf("%v after %d calls", err, len(s.requests))
			}
			for _, d := range waits {
				if d < 7*time.Second || d > 20*time.Second {
					t.Errorf("waited %v, Retry-After was 7 s", d)
				}
			}
			if err != nil {
				var e *embed.Error
				if !errors.As(err, &e) || e.Retryable != (c.status == 503) || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "\a") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestCutAndSlowAnswers(t *testing.T) {
	s := start(t)
	s.answer = func(n int, w http.ResponseWriter, _ []string) bool {
		if n == 1 {
			panic(http.ErrAbortHandler)
		}
		if n == 2 {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"data":[`))
			panic(http.ErrAbortHandler)
		}
		return false
	}
	if _, err := s.model(t, nil).Embed(context.Background(), []string{"a"}); err != nil || len(s.requests) != 3 {
		t.Fatalf("%v after %d calls", err, len(s.requests))
	}
	slow := start(t)
	slow.hold, slow.came = make(chan struct{}), make(chan struct{}, 1)
	defer close(slow.hold)
	m := slow.model(t, func(o *openai.ClientOptions) { o.Timeout, o.Retries = 20*time.Millisecond, -1 })
	_, err := m.Embed(context.Background(), []string{"a"})
	var e *embed.Error
	if !errors.As(err, &e) || !e.Retryable {
		t.Errorf("a service that does not answer: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	<-slow.came // of the request above
	m = slow.model(t, nil)
	done := make(chan error)
	go func() {
		_, err := m.Embed(ctx, []string{"a", "b"})
		done <- err
	}()
	<-slow.came
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestWrongAnswers(t *testing.T) {
	for _, body := range []string{
		`not json`, `{}`, `{"data":[]}`, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2,3]}]}`,
		`{"data":[{"index":1,"embedding":[1,2,3]}]}`, `{"data":[{"index":-1,"embedding":[1,2,3]}]}`, `{"data":[{"index":0,"embedding":[1,2]}]}`,
		`{"data":[{"index":0,"embedding":[0,0,0]}]}`, `{"data":[{"index":0,"embedding":[1e39,0,0]}]}`, `{"data":[{"index":0,"embedding":"AAAA"}]}`,
		`{"data":[{"index":0,"embedding":[1,null,"x"]}]}`, strings.Repeat(" ", 100<<10),
	} {
		s := start(t)
		s.answer = func(_ int, w http.ResponseWriter, _ []string) bool { _, _ = w.Write([]byte(body)); return true }
		_, err := s.model(t, nil).Embed(context.Background(), []string{"a"})
		var e *embed.Error
		if !errors.As(err, &e) || e.Retryable || len(s.requests) != 1 {
			t.Errorf("%.40q: %v, %d calls", body, err, len(s.requests))
		}
	}
}

// One batch that fails fails all, and ends the others.
func TestOneBatchFails(t *testing.T) {
	s := start(t)
	s.answer = func(_ int, w http.ResponseWriter, in []string) bool {
		if in[0] == "bad" {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"bad text"}`))
			return true
		}
		return false
	}
	m := s.model(t, func(o *openai.ClientOptions) { o.BatchSize = 1 })
	_, err := m.Embed(context.Background(), []string{"a", "b", "bad", "c"})
	if err == nil || !strings.Contains(err.Error(), "bad text") {
		t.Error(err)
	}
}

func TestGuard(t *testing.T) {
	s := start(t)
	m := s.model(t, func(o *openai.ClientOptions) { o.AllowPrivate = false })
	_, err := m.Embed(context.Background(), []string{"a"})
	var e *embed.Error
	if !errors.As(err, &e) || e.Retryable || !strings.Contains(e.Detail, "private") || len(s.requests) > 0 {
		t.Errorf("loopback: %v", err)
	}
	u, _ := url.Parse(s.URL)
	c := openai.NewClient(openai.ClientOptions{AllowedHosts: []string{"localhost"}, Retries: -1})
	defer c.Close()
	named, err := openai.New(openai.Config{BaseURL: "http://localhost:" + u.Port() + "/v1", Model: "m", Dimension: 3, Client: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := named.Embed(context.Background(), []string{"a"}); err == nil || len(s.requests) > 0 {
		t.Errorf("a name that is loopback: %v", err)
	}
}

func TestConfig(t *testing.T) {
	c := openai.NewClient(openai.ClientOptions{AllowedHosts: []string{"api.example.com", "other.example.com:8443"}})
	defer c.Close()
	for base, ok := range map[string]bool{
		"https://api.example.com/v1": true, "https://API.example.com:9/v1/embeddings": true, "https://other.example.com:8443": true,
		"https://other.example.com": false, "https://evil.example.com/v1": false, "https://api.example.com.evil.com/": false, "ftp://api.example.com": false,
		"https://user:pw@api.example.com/": false, "https://api.example.com/?a=b": false, "https://api.example.com/#x": false, "": false, "https://": false, "::": false,
	} {
		if _, err := openai.New(openai.Config{BaseURL: base, Model: "m", Client: c}); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := openai.New(openai.Config{BaseURL: "https://api.example.com", Client: c}); err == nil {
		t.Error("no model")
	}
	for name, ok := range map[string]bool{"ARRWDB_EMBEDDING_KEY": true, "ARRWDB_EMBEDDING_": false, "PATH": false, "": false, "arrwdb_embedding_key": false} {
		if err := openai.CheckKeyEnv(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
