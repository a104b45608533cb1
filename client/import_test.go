package client_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

// A taker is a server that takes lines of one source, each once.
type taker struct {
	mu    sync.Mutex
	lines []string
	tries int
	// each may end the try where it returns false; it is asked after a line.
	each func(w http.ResponseWriter, try, taken int) bool
	left string // method of the last request to the source
}

func (k *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if strings.Contains(r.URL.Path, "/sources/") {
		k.left = r.Method
		fmt.Fprintf(w, `{"lines":%d,"seq":1}`, len(k.lines))
		return
	}
	k.tries++
	_ = http.NewResponseController(w).EnableFullDuplex()
	first := 1
	_, _ = fmt.Sscan(r.URL.Query().Get("first_line"), &first)
	if first != len(k.lines)+1 {
		problem(w, 409, "conflict")
		return
	}
	n := 0
	for sc := bufio.NewScanner(r.Body); sc.Scan(); {
		k.lines = append(k.lines, sc.Text())
		n++
		send(w, false, fmt.Sprintf("{\"type\":\"ack\",\"lines\":%d,\"last_seq\":%d}\n", n, len(k.lines)))
		if !k.each(w, k.tries, len(k.lines)) {
			return
		}
	}
	send(w, false, fmt.Sprintf(`{"type":"error","line":2,"code":"invalid_json","detail":"d"}
{"type":"summary","successful":%d,"failed":1,"lines":%d,"complete":true,"errors":[{"line":2,"code":"invalid_json","detail":"d"}]}
`, n, n))
}

func body(n int) (string, func() (io.ReadCloser, error)) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String(), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(b.String())), nil }
}

func TestImport(t *testing.T) {
	k := &taker{each: func(w http.ResponseWriter, try, taken int) bool {
		switch {
		case try == 1 && taken == 5:
			panic(http.ErrAbortHandler)
		case try == 2 && taken == 7:
			send(w, false, `{"type":"summary","successful":2,"lines":2,"complete":false,"problem":{"status":503,"code":"shutting_down","detail":"d"}}`+"\n")
			return false
		case try == 3 && taken == 9:
			send(w, false, `{"type":"error","fatal":true,"status":503,"code":"outcome_unknown","detail":"d"}`+"\n")
			return false
		}
		return true
	}}
	c := fake(t, k.ServeHTTP)
	text, open := body(20)
	var acked uint64
	resumed := 0
	var failed []uint64
	sum, err := c.Import(t.Context(), "l", open, client.ImportOptions{
		Ack: func(a client.Ack) {
			if a.Lines < acked {
				t.Errorf("acknowledged %d lines after %d", a.Lines, acked)
			}
			acked = a.Lines
		},
		LineError: func(e client.LineError) { failed = append(failed, e.Line) },
		Resumed:   func(error, uint64) { resumed++ }})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(k.lines, "\n")+"\n" != text {
		t.Errorf("taken: %q", k.lines)
	}
	if sum.Lines != 20 || !sum.Complete || sum.Failed != 1 || acked != 20 || resumed != 3 || len(failed) != 1 {
		t.Errorf("%+v, acked %d, resumed %d, failed %v", sum, acked, resumed, failed)
	}
	if k.left != "DELETE" {
		t.Error("its own source was left behind")
	}
}

// What no repetition mends is not repeated.
func TestImportFails(t *testing.T) {
	k := &taker{each: func(http.ResponseWriter, int, int) bool { return true }}
	c := fake(t, k.ServeHTTP)
	bad := errors.New("the file is bad")
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("a\nb\n"), readerFunc(func([]byte) (int, error) { return 0, bad }))), nil
	}
	if _, err := c.Import(t.Context(), "l", open, client.ImportOptions{}); !errors.Is(err, bad) {
		t.Error(err)
	}
	k.mu.Lock()
	if k.tries > 1 {
		t.Errorf("%d tries", k.tries)
	}
	k.mu.Unlock()
	if _, err := c.Import(t.Context(), "l", func() (io.ReadCloser, error) { return nil, bad }, client.ImportOptions{}); !errors.Is(err, bad) {
		t.Errorf("%v", err)
	}
	_, good := body(1)
	tries := 0
	refusing := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if tries++; strings.Contains(r.URL.Path, "/sources/") {
			send(w, false, `{"lines":0,"seq":0}`)
			return
		}
		problem(w, 404, "library_not_found")
	})
	if _, err := refusing.Import(t.Context(), "l", good, client.ImportOptions{Source: "s"}); !client.IsCode(err, "library_not_found") || tries != 2 {
		t.Errorf("%v after %d requests", err, tries)
	}
	begin := time.Now()
	if _, err := client.New("http://127.0.0.1:1", "").Import(t.Context(), "l", good, client.ImportOptions{Patience: 100 * time.Millisecond}); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestExport(t *testing.T) {
	documents, lines := 2, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n"
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Arrwdb-Seq", "7")
		w.Header().Set("Arrwdb-Position", "p")
		w.Header().Set("Arrwdb-Documents", fmt.Sprint(documents))
		send(w, false, lines)
	})
	var out strings.Builder
	info, err := c.Export(t.Context(), "l", &out, client.ExportOptions{Embeddings: true, Filter: "{}"})
	if err != nil || out.String() != lines || info != (client.ExportInfo{Seq: 7, Position: "p", Documents: 2}) {
		t.Errorf("%+v, %q, %v", info, out.String(), err)
	}
	documents = 3
	if _, err := c.Export(t.Context(), "l", io.Discard, client.ExportOptions{}); err == nil {
		t.Error("a document is missing, and no error")
	}
	lines += `{"type":"error","fatal":true,"status":500,"code":"internal","detail":"d"}` + "\n"
	if _, err := c.Export(t.Context(), "l", io.Discard, client.ExportOptions{}); !client.IsCode(err, "internal") {
		t.Errorf("%v", err)
	}
	lines = `{"id":"half`
	if _, err := c.Export(t.Context(), "l", io.Discard, client.ExportOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
