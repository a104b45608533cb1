package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/arrwdb/arrwdb/client"
)

// fake starts a server that answers as a test says.
func fake(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return client.New(s.URL+"/", "the-key")
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"about:blank","title":"T","status":%d,"code":%q,"detail":"the detail","request_id":"r","expected":3}`, status, code)
}

// send writes and flushes, and cuts the connection where cut is set.
func send(w http.ResponseWriter, cut bool, text string) {
	_, _ = io.WriteString(w, text)
	w.(http.Flusher).Flush()
	if cut {
		panic(http.ErrAbortHandler)
	}
}
