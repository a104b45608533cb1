package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

// beProgram makes the test binary be the program, for commands that start it
// again.
const beProgram = "BE_ARRWDB"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ARRWDB_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// patience bounds waits for what must happen.
const patience = 30 * time.Second

type result struct {
	code     int
	out, err string
}

// do runs one command.
func do(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// ok runs a command that must exit 0 and returns its standard output.
func ok(t testing.TB, args ...string) string {
	t.Helper()
	r := do(t, "", args...)
	if r.code != 0 {
		t.Fatalf("arrwdb %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// okJSON runs a command with --output json and decodes its one value.
func okJSON(t testing.TB, into any, args ...string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(ok(t, append(args, "--output", "json")...)))
	if err := dec.Decode(into); err != nil {
		t.Fatalf("arrwdb %s: %v", strings.Join(args, " "), err)
	}
	if dec.More() {
		t.Fatalf("arrwdb %s prints more than one value", strings.Join(args, " "))
	}
}

// A served is a server that runs in this process.
type served struct {
	base string
	data string
	said *watch
	stop func() int // returns the exit code; safe twice
}

func (s *served) listen() string { return strings.TrimPrefix(s.base, "http://") }

// serve starts a server and returns once it is ready.
func serve(t testing.TB, data string, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said := newWatch(regexp.MustCompile(`listening on (http://\S+),`))
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...), strings.NewReader(""), io.Discard, said)
		said.end()
	}()
	s := &served{data: data, said: said, stop: sync.OnceValue(func() int { cancel(); return <-code })}
	t.Cleanup(func() { s.stop() })
	select {
	case url := <-said.found:
		if s.base = url; url == "" {
			t.Fatalf("the server did not start:\n%s", said.text())
		}
	case <-time.After(patience):
		t.Fatalf("the server is not ready:\n%s", said.text())
	}
	return s
}

// A watch is a writer that waits for a text.
type watch struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	re    *regexp.Regexp
	found chan string // the first group of the first match, or "" at the end
	done  bool
}

func newWatch(re *regexp.Regexp) *watch { return &watch{re: re, found: make(chan string, 1)} }

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if m := w.re.FindSubmatch(w.buf.Bytes()); m != nil && !w.done {
		w.done = true
		w.found <- string(m[len(m)-1])
	}
	return len(p), nil
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.done = true
		w.found <- ""
	}
}

func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// library makes a library through a server.
func library(t testing.TB, s *served, id string) *client.Client {
	t.Helper()
	c := client.New(s.base, "")
	if _, err := c.CreateLibrary(t.Context(), client.LibrarySpec{ID: id, Embedding: &client.Embedding{Provider: "none"}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t testing.TB, c *client.Client, lib string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := c.PutDocument(t.Context(), lib, id, client.Document{Title: "about " + id, Chunks: []client.Chunk{{Text: "text of " + id, Embedding: []float32{1, 2, 3}}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// document is a document as a line.
func document(id string) string {
	return `{"id":"` + id + `","title":"` + id + `","embedding":[1,2,3]}`
}

// file writes a file of the test and returns its name.
func file(t testing.TB, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}
