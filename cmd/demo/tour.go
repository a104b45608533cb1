package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

// Options says how the tour goes.
type Options struct {
	Program string // the program whose serve is shown
	Data    string // the data directory, new or empty; "" is one that goes at the end
	Listen  string // address wanted; where it is not to be had a free port is taken
	Exit    bool   // end after the tour instead of serving on
	Out     io.Writer
	Fancy   bool                      // colours, and a bar that moves
	Line    func(client.Event) string // an event for people
}

const (
	library  = "wordnet" // what the tour makes
	lateDocs = 1000      // are uploaded while the server is killed

	pace = 800 * time.Millisecond // between the steps, for people
)

// A tour is one run of the demo.
type tour struct {
	Options
	*console
	srv   *child
	c     *client.Client
	feed  *follower
	docs  []client.Document
	acked atomic.Uint64 // the newest seq that the server has acknowledged
}

// Run gives the tour. It returns nil where ctx ends it.
func Run(ctx context.Context, o Options) (err error) {
	t := &tour{Options: o, console: &console{w: o.Out, fancy: o.Fancy}}
	if t.docs, err = Corpus(); err != nil {
		return err
	}
	goes := ""
	if t.Data == "" {
		if t.Data, err = os.MkdirTemp("", "arrwdb-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(t.Data)) }()
		goes = ", and goes when you leave"
	} else if names, _ := filepath.Glob(filepath.Join(t.Data, "*")); len(names) > 0 {
		return fmt.Errorf("%s is not empty: the demo begins with a new directory", t.Data)
	}
	addr, err := listenAddress(t.Listen)
	if err != nil {
		return err
	}
	t.srv = &child{program: t.Program, data: t.Data, listen: addr}
	defer func() { err = errors.Join(err, t.srv.stop()) }()
	t.c = client.New(t.srv.base(), "")
	t.title("arrwDB in six steps. What it writes lies in %s%s.", t.Data, goes)
	if err := t.tour(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if t.Exit {
		return nil
	}
	t.title("Ctrl-C ends it.")
	select {
	case <-ctx.Done():
		return nil
	case <-t.srv.exited:
		if ctx.Err() != nil {
			return nil // Ctrl-C reaches the server too
		}
		return errors.New("the server ended")
	}
}

func (t *tour) tour(ctx context.Context) error {
	begin := time.Now()
	reading, stop := context.WithCancel(ctx)
	t.feed = &follower{
		show: func(e client.Event) { t.event(t.Line(e)) },
		lost: func(after uint64) { t.say("feed    connection lost; the last event was seq %s", number(after)) },
		back: func(pos string) { t.say("feed    connected again, goes on after %s", pos) },
	}
	for i, step := range []func(context.Context) error{t.serve, func(ctx context.Context) error { return t.create(ctx, reading) }, t.load, t.search, t.crash, t.check} {
		t.step(i + 1)
		t.pause(ctx)
		if err := step(ctx); err != nil {
			stop()
			return err
		}
	}
	stop()
	<-t.feed.done
	t.title("That took %.1f s.", time.Since(begin).Seconds())
	if t.Exit {
		t.say("Without --exit the server goes on, and these work in another terminal:")
	} else {
		t.say("The server goes on at %s. Try, in another terminal:", t.srv.base())
	}
	return t.examples(ctx)
}

// pause lets people read, where somebody looks.
func (t *tour) pause(ctx context.Context) {
	if !t.Fancy {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(pace):
	}
}

func (t *tour) serve(ctx context.Context) error {
	t.head("A server: one program, one directory")
	begin := time.Now()
	if err := t.srv.start(ctx); err != nil {
		return err
	}
	t.say("arrwdb serve --data %s --listen %s", t.Data, t.srv.listen)
	t.say("process %d, ready after %s", t.srv.pid(), millis(begin))
	return nil
}

func (t *tour) create(ctx, reading context.Context) error {
	t.head("A library, a document, and the change that it made")
	if _, err := t.c.CreateLibrary(ctx, client.LibrarySpec{ID: library, Name: "WordNet 3.0", Embedding: &client.Embedding{Provider: "builtin"}}); err != nil {
		return err
	}
	t.feed.run(reading, t.c)
	if err := t.feed.reach(ctx, 1); err != nil {
		return err
	}
	t.say("the feed is open: every write below is an event, in order")
	t.feed.next(1)
	begin := time.Now()
	d, err := t.c.PutDocument(ctx, library, t.docs[0].ID, t.docs[0])
	if err != nil {
		return err
	}
	t.say("PUT /v1/libraries/%s/documents/%s: seq %d, durable and visible after %s", library, d.ID, d.Seq, millis(begin))
	t.acked.Store(d.Seq)
	return t.feed.reach(ctx, d.Seq)
}

func (t *tour) load(ctx context.Context) error {
	docs := t.docs[1 : len(t.docs)-lateDocs]
	t.head("%s documents, streamed in: glosses of WordNet 3.0", number(uint64(len(docs))))
	t.say("the built-in model makes a vector of each, offline; words and metadata are indexed too")
	body, err := lines(docs)
	if err != nil {
		return err
	}
	bar := t.bar(len(docs))
	begin := time.Now()
	sum, err := t.c.ImportNDJSON(ctx, library, bytes.NewReader(body), client.ImportOptions{Ack: func(a client.Ack) {
		t.ack(a)
		_ = bar.Set64(int64(a.Lines)) // only looks
	}})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	if sum.Successful != uint64(len(docs)) {
		return fmt.Errorf("%d documents were taken of %d", sum.Successful, len(docs))
	}
	if err := t.feed.reach(ctx, t.acked.Load()); err != nil {
		return err
	}
	t.say("%s documents in %.2f s: %s a second, each durable and visible, and the feed has told of all", number(sum.Successful), took.Seconds(), number(uint64(float64(sum.Successful)/took.Seconds())))
	return nil
}

// search shows what each kind of search is for.
func (t *tour) search(ctx context.Context) error {
	t.head("Search by meaning, by word, and by both")
	for _, q := range []client.Search{
		{Query: "medicine and hospitals", Mode: "vector", K: 3},
		{Query: "\"motor vehicle\"", Mode: "keyword", K: 2},
		{Query: "ship on the ocean", Mode: "hybrid", K: 3, Filter: json.RawMessage(`{"pos":"noun"}`)},
	} {
		q.Highlight = true
		a, err := t.c.Search(ctx, library, q)
		if err != nil {
			return err
		}
		if a.Total != q.K {
			return fmt.Errorf("%s search for %q: %d hits, not %d", q.Mode, q.Query, a.Total, q.K)
		}
		where := ""
		if q.Filter != nil {
			where = ", filter " + string(q.Filter)
		}
		t.say("%-7s %s%s   (%.1f ms)", q.Mode, q.Query, where, a.TookMS)
		for _, h := range a.Results {
			text := *h.Text
			if len(h.Highlight.Text) > 0 {
				text = h.Highlight.Text[0]
			}
			t.hit(h.Rank, h.Score, h.Title, text)
		}
	}
	return nil
}

func (t *tour) ack(a client.Ack) {
	if a.LastSeq > t.acked.Load() {
		t.acked.Store(a.LastSeq)
	}
}

// crash kills the server in the middle of an upload and starts it again, while
// the upload and the feed go on by themselves.
func (t *tour) crash(ctx context.Context) error {
	docs := t.docs[len(t.docs)-lateDocs:]
	t.head("kill -9 in the middle of an upload")
	first, err := lines(docs[:lateDocs/2])
	if err != nil {
		return err
	}
	rest, err := lines(docs[lateDocs/2:])
	if err != nil {
		return err
	}
	taken, died := make(chan struct{}), make(chan struct{})
	half, broken := uint64(0), sync.Once{}
	done := make(chan error, 1)
	go func() {
		_, err := t.c.Import(ctx, library, func() (io.ReadCloser, error) {
			// The second half waits for the crash, so that it is in the middle.
			return io.NopCloser(io.MultiReader(bytes.NewReader(first), gate{died}, bytes.NewReader(rest))), nil
		}, client.ImportOptions{Source: "late-docs",
			Ack: func(a client.Ack) {
				t.ack(a)
				if half == 0 && a.Lines > 0 {
					half = a.Lines
					close(taken)
				}
			},
			Resumed: func(error, uint64) {
				broken.Do(func() { t.say("upload  broken off; it goes on once the server is back") })
			}})
		done <- err
	}()
	select {
	case <-taken:
	case err := <-done:
		return errors.Join(errors.New("the upload ended before the crash"), err)
	}
	t.say("upload  %s documents as source=late-docs; lines acknowledged so far: %d", number(lateDocs), half)
	t.alarm("kill -9 %d", t.srv.pid())
	t.srv.kill()
	acked := t.acked.Load()
	t.feed.next(2)
	close(died)
	t.pause(ctx)
	begin := time.Now()
	if err := t.srv.start(ctx); err != nil {
		return err
	}
	t.say("process %d on the same directory: recovered and ready after %s", t.srv.pid(), millis(begin))
	if err := t.kept(ctx, acked); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return err
	}
	had, _, err := t.c.Source(ctx, library, "late-docs")
	if err != nil {
		return err
	}
	if err := t.feed.reach(ctx, uint64(1+len(t.docs))); err != nil {
		return err
	}
	t.say("upload  went on behind what the server had; %s lines taken, none twice", number(had))
	return nil
}

// kept checks that what was acknowledged before the crash is there after it.
func (t *tour) kept(ctx context.Context, acked uint64) error {
	page, err := t.c.Pull(ctx, client.EventOptions{}, 1, 0)
	if err != nil {
		return err
	}
	if page.HeadSeq < acked {
		return fmt.Errorf("seq %d was acknowledged before the crash, and after it the head is %d", acked, page.HeadSeq)
	}
	t.say("seq %s was the last that had been acknowledged, and it is there", number(acked))
	return nil
}

// A gate is a reader that holds nothing and ends once open is closed.
type gate struct{ open <-chan struct{} }

func (g gate) Read([]byte) (int, error) {
	<-g.open
	return 0, io.EOF
}

// check holds what the tour has claimed against what the server has.
func (t *tour) check(ctx context.Context) error {
	t.head("Checked")
	want := uint64(len(t.docs))
	n, err := t.c.Count(ctx, library, "")
	if err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("the library holds %d documents, not %d", n, want)
	}
	t.good("%s documents sent, %s there", number(want), number(n))
	// The library, and each document once: that nothing came twice shows in the
	// seq of the head.
	page, err := t.c.Pull(ctx, client.EventOptions{From: "now"}, 1, 0)
	if err != nil {
		return err
	}
	if got := t.feed.last(); got != want+1 || page.HeadSeq != got {
		return fmt.Errorf("the feed is at seq %d and the head at %d, both should be at %d", got, page.HeadSeq, want+1)
	}
	t.good("events 1 to %s: each once, in order, none missing, across the crash", number(want+1))
	info, err := t.c.Export(ctx, library, io.Discard, client.ExportOptions{Embeddings: true})
	if err != nil {
		return err
	}
	t.good("export of the state at seq %s: %s documents, with their vectors", number(info.Seq), number(info.Documents))
	return nil
}

// examples prints requests, each of which was tried first.
func (t *tour) examples(ctx context.Context) error {
	doc := "/v1/libraries/" + library + "/documents/" + t.docs[1].ID
	for _, path := range []string{
		"/v1/libraries/" + library,
		doc,
		"/v1/libraries/" + library + "/documents?limit=3&filter=%7B%22pos%22:%22verb%22%7D",
		"/v1/libraries/" + library + "/documents/stream",
		"/v1/events?from=1&limit=3",
	} {
		res, err := t.c.Do(ctx, "GET", path, nil, nil, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		t.code("curl '%s%s'", t.srv.base(), path)
	}
	t.code("curl -X PATCH -H 'Content-Type: application/json' -d '{\"metadata\":{\"seen\":true}}' '%s%s'", t.srv.base(), doc)
	t.code("curl -N '%s/v1/events/stream?from=start'", t.srv.base())
	t.code("go run ./cmd/arrwdb search %s --server %s 'fear of heights'", library, t.srv.base())
	t.code("go run ./cmd/arrwdb tail --server %s", t.srv.base())
	t.code("go run ./cmd/arrwdb status --server %s", t.srv.base())
	return nil
}

// lines writes documents as NDJSON.
func lines(docs []client.Document) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i := range docs {
		if err := enc.Encode(&docs[i]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
