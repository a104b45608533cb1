package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/client"
)

func TestTail(t *testing.T) {
	s := serve(t, t.TempDir())
	c := library(t, s, "l")
	put(t, c, "l", "a", "b", "c")
	check := func(place ...string) {
		t.Helper()
		out := ok(t, append([]string{"tail", "--from", "1", "--to", "4"}, place...)...)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 {
			t.Errorf("%d lines:\n%s", len(lines), out)
		}
		contains(t, out, "library.created", "l/a", `"about b"`, "text of c")
		out = ok(t, append([]string{"tail", "--from", "start", "--to", "3", "--types", "document.*", "--library", "l,m", "--output", "json"}, place...)...)
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			var e struct{ Seq int }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != i+2 {
				t.Errorf("line %d: %v\n%s", i, err, line)
			}
		}
		if r := do(t, "", append([]string{"tail", "--types", "nonsense.*"}, place...)...); r.code == 0 {
			t.Error("a bad type passes")
		}
		if r := do(t, "", append([]string{"tail", "--after", "aaaaaaaaaaaaa:1"}, place...)...); r.code != exitFailed || !strings.Contains(r.err, "diverged") {
			t.Errorf("a foreign position: exit %d %s", r.code, r.err)
		}
	}
	check("--server", s.base)
	s.stop()
	check("--data", s.data)
	if out := ok(t, "tail", "--data", s.data); strings.Count(out, "\n") != 4 {
		t.Errorf("the whole log:\n%s", out)
	}
}

// tail goes on through a restart of the server, without a gap or a repetition.
func TestTailSurvivesRestarts(t *testing.T) {
	s := serve(t, t.TempDir())
	c := library(t, s, "l")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := newWatch(regexp.MustCompile(`l/(d7)\b`))
	lost := newWatch(regexp.MustCompile(`(connection lost)`))
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"tail", "--from", "1", "--server", s.base}, strings.NewReader(""), out, lost)
	}()
	for i := range 8 {
		if i == 4 {
			s.stop()
			<-lost.found
			s = serve(t, s.data, "--listen", s.listen())
		}
		put(t, c, "l", fmt.Sprint("d", i))
	}
	<-out.found
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit %d\n%s", got, lost.text())
	}
	for i, line := range strings.Split(strings.TrimSpace(out.text()), "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), fmt.Sprint(i+1, " ")) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	contains(t, lost.text(), "resume with: arrwdb tail --after")
	if r := do(t, "", "tail", "--server", "http://127.0.0.1:1"); r.code != exitFailed {
		t.Errorf("nobody there: exit %d", r.code)
	}
}

func TestEventLine(t *testing.T) {
	e := client.Event{Seq: 7, Type: "document.added", LibraryID: "l", Subject: "d",
		Data: []byte(`{"title":"a \u001b[31m title","document":{"chunks":[{"text":"red \u001b[31m\n and long ` + strings.Repeat("x", 100) + `"}]}}`)}
	line := eventLine(&e)
	if strings.ContainsAny(line, "\x1b\n") || len(line) > 160 {
		t.Errorf("%q", line)
	}
	contains(t, line, "l/d", "red", "…")
}
