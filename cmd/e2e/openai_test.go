package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A library embeds with a service: documents, uploads and queries. What the service
// does wrong is told apart from what the client does wrong.
func TestOpenAICompatibleProvider(t *testing.T) {
	var broken atomic.Int32 // the status that it answers
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Model string   `json:"model"`
			Input []string `json:"input"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		if status := int(broken.Load()); status != 0 || r.URL.Path != "/v1/embeddings" || r.Header.Get("Authorization") != "Bearer the-secret" {
			w.WriteHeader(max(status, 400))
			_, _ = w.Write([]byte(`{"error":{"message":"no: the-secret"}}`))
			return
		}
		var data []J
		for i, text := range in.Input { // by what they are about
			v := []float64{0.1, 0.1, 0.1}
			for j, word := range []string{"cat", "bank", "moon"} {
				v[j] += float64(strings.Count(text, word))
			}
			data = append(data, J{"index": i, "embedding": v})
		}
		_ = json.NewEncoder(w).Encode(J{"data": data})
	}))
	defer service.Close()
	host := strings.TrimPrefix(service.URL, "http://")
	srv := &server{dir: t.TempDir(), args: []string{"--embedding-host", host, "--embedding-private"}, env: []string{"ARRWDB_EMBEDDING_TEST=the-secret"}}
	t.Cleanup(srv.kill)
	srv.start(t)
	c := newClient(srv.base(), "")
	e := &env{client: c, srv: srv, root: c, names: envNames()}
	spec := func(over J) J {
		m := J{"provider": "openai", "base_url": service.URL + "/v1", "model": "small", "api_key_env": "ARRWDB_EMBEDDING_TEST"}
		for k, v := range over {
			m[k] = v
		}
		return J{"id": "ai", "embedding": m}
	}
	for field, over := range map[string]J{
		"embedding.base_url":    {"base_url": "http://other.example.com/v1"},
		"embedding.model":       {"model": ""},
		"embedding.api_key_env": {"api_key_env": "HOME"},
	} {
		e.post(t, "/v1/libraries", spec(over)).badField(field)
	}
	e.post(t, "/v1/libraries", spec(J{"api_key_env": "ARRWDB_EMBEDDING_MISSING"})).badField("embedding.api_key_env")
	broken.Store(404)
	p := e.post(t, "/v1/libraries", spec(nil)).problem(502, "embedding_failed")
	same(t, "retryable", p["retryable"], false)
	broken.Store(0)
	lib := e.post(t, "/v1/libraries", spec(nil)).is(201).obj()
	same(t, "dimension", lib["dimension"], 3)

	e.put(t, doc("ai", "pets"), J{"text": "a cat, another cat"}).is(201)
	e.put(t, doc("ai", "own"), J{"chunks": []J{{"text": "x", "embedding": []float64{0, 0, 9}}}}).is(201)
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"id":"b%d","text":"bank number %d"}`, i, i))
	}
	sum := e.ingest(t, "ai", "", strings.Join(lines, "\n")).is(200).obj()
	same(t, "successful", sum["successful"], 300)
	path := "/v1/libraries/ai/search"
	same(t, "by meaning", hits(t, e.post(t, path, J{"query": "my cat", "k": 1}).is(200).obj()), "pets/0")
	same(t, "its own vector", hits(t, e.post(t, path, J{"query": "the moon", "k": 1}).is(200).obj()), "own/0")

	broken.Store(401)
	p = e.post(t, path, J{"query": "my cat"}).problem(502, "embedding_failed")
	same(t, "retryable", p["retryable"], false)
	if strings.Contains(jsonText(p), "the-secret") {
		t.Errorf("the key is shown: %v", p)
	}
	e.put(t, doc("ai", "late"), J{"text": "not embedded"}).problem(502, "embedding_failed")
	e.get(t, doc("ai", "late")).problem(404, "document_not_found")
	same(t, "by word, without the service", hits(t, e.post(t, path, J{"query": "another", "mode": "keyword"}).is(200).obj()), "pets/0")
}
