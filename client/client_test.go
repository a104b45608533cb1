package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

func TestRequests(t *testing.T) {
	var seen string
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = r.Method + " " + r.URL.RequestURI() + " " + string(b)
		if r.Header.Get("Authorization") != "Bearer the-key" {
			t.Errorf("key: %q", r.Header.Get("Authorization"))
		}
		_, _ = io.WriteString(w, `{"id":"x","seq":7,"count":5,"lines":3,"keys":[]}`)
	})
	ctx := t.Context()
	for _, call := range []struct {
		want string
		do   func() error
	}{
		{`POST /v1/libraries {"id":"l","embedding":{"provider":"none"}}`, func() error {
			_, err := c.CreateLibrary(ctx, client.LibrarySpec{ID: "l", Embedding: &client.Embedding{Provider: "none"}})
			return err
		}},
		{"GET /v1/libraries/a%2Fb ", func() error { _, err := c.Library(ctx, "a/b"); return err }},
		{"DELETE /v1/libraries/l ", func() error {
			seq, err := c.DeleteLibrary(ctx, "l")
			if seq != 7 {
				t.Errorf("seq %d", seq)
			}
			return err
		}},
		{`PUT /v1/libraries/l/documents/d {"chunks":[{"text":"t","embedding":[1,2]}]}`, func() error {
			d, err := c.PutDocument(ctx, "l", "d", client.Document{Chunks: []client.Chunk{{Text: "t", Embedding: []float32{1, 2}}}})
			if d.Seq != 7 {
				t.Errorf("%+v", d)
			}
			return err
		}},
		{"GET /v1/libraries/l/documents/d?include=embeddings ", func() error { _, err := c.Document(ctx, "l", "d", true); return err }},
		{"DELETE /v1/libraries/l/documents/d ", func() error { _, err := c.DeleteDocument(ctx, "l", "d"); return err }},
		{"GET /v1/libraries/l/count?filter=%7B%7D ", func() error {
			n, err := c.Count(ctx, "l", "{}")
			if n != 5 {
				t.Errorf("count %d", n)
			}
			return err
		}},
		{"GET /v1/libraries/l/sources/s ", func() error {
			lines, seq, err := c.Source(ctx, "l", "s")
			if lines != 3 || seq != 7 {
				t.Errorf("%d, %d", lines, seq)
			}
			return err
		}},
		{"DELETE /v1/libraries/l/sources/s ", func() error { return c.DeleteSource(ctx, "l", "s") }},
		{"GET /v1/status ", func() error { _, err := c.Status(ctx); return err }},
		{"GET /readyz ", func() error { return c.Ready(ctx) }},
		{`POST /v1/keys {"role":"read"}`, func() error { _, err := c.CreateKey(ctx, client.KeySpec{Role: "read"}); return err }},
		{"GET /v1/keys ", func() error { _, err := c.Keys(ctx); return err }},
		{"DELETE /v1/keys/k ", func() error { return c.RevokeKey(ctx, "k") }},
	} {
		if err := call.do(); err != nil || seen != call.want {
			t.Errorf("got  %s\nwant %s\n%v", seen, call.want, err)
		}
	}
}

func TestErrors(t *testing.T) {
	status, code := 400, "dimension_mismatch"
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "2")
		if code == "" {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>a proxy's page")
			return
		}
		problem(w, status, code)
	})
	_, err := c.Status(t.Context())
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 400 || e.Code != code || e.Detail != "the detail" || e.RequestID != "r" || e.RetryAfter != 2*time.Second || e.Transient() {
		t.Errorf("%#v", err)
	}
	var more struct{ Expected int }
	if err := json.Unmarshal(e.Raw, &more); err != nil || more.Expected != 3 {
		t.Errorf("members of the code: %s", e.Raw)
	}
	if !client.IsCode(err, code) || client.IsCode(err, "other") || client.IsCode(io.EOF, "") {
		t.Error("IsCode")
	}
	status, code = 503, "shutting_down"
	if _, err := c.Status(t.Context()); !errors.As(err, &e) || !e.Transient() {
		t.Errorf("%v", err)
	}
	status, code = 502, ""
	if _, err := c.Status(t.Context()); !errors.As(err, &e) || e.Status != 502 || e.Detail != "<html>a proxy's page" {
		t.Errorf("%#v", err)
	}
	if _, err := client.New("http://127.0.0.1:1", "").Status(t.Context()); err == nil || errors.As(err, &e) {
		t.Errorf("nobody there: %v", err)
	}
}
