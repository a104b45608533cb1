package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

const epoch = "aaaaaaaaaaaaa"

func sseOpen(from int) string {
	return fmt.Sprintf("retry: 1000\n\nevent: stream.open\ndata: {\"epoch\":%q,\"from\":%d,\"head_seq\":9,\"earliest_seq\":1}\n\n", epoch, from)
}

func sseEvent(seq int) string {
	id := fmt.Sprintf("%s:%d:0000000%d", epoch, seq, seq)
	return fmt.Sprintf("id: %s\nevent: document.added\ndata: {\"id\":%q,\"type\":\"document.added\",\"seq\":%d,\"subject\":\"d\",\"library_id\":\"l\",\"last\":true,\"data\":{}}\n\n", id, id, seq)
}

// follow reads the feed until seq last, or its error.
func follow(ctx context.Context, c *client.Client, o client.EventOptions, last uint64) (got []string, err error) {
	for e, err := range c.Events(ctx, o) {
		if err != nil {
			return got, err
		}
		got = append(got, fmt.Sprint(e.Type, " ", e.Seq))
		if e.Seq >= last {
			break
		}
	}
	return got, nil
}

// The feed goes on after what was read, however the connection ends: before the
// first event, in the middle of one, in a restart; nothing is shown twice.
func TestEventsGoOn(t *testing.T) {
	var asked []string
	step := 0
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("from")+"|"+r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		step++
		switch step {
		case 1:
			send(w, true, sseOpen(4))
		case 2:
			send(w, true, sseOpen(4)+sseEvent(4)+sseEvent(5)+sseEvent(6)[:40])
		case 3:
			problem(w, 503, "overloaded")
		case 4: // a server that begins too early
			send(w, false, sseOpen(5)+": hb 9\n\n"+sseEvent(5)+sseEvent(6)+"event: stream.live\ndata: {}\n\n")
			send(w, true, "id: "+epoch+":8:00000008\nevent: stream.checkpoint\ndata: {\"seq\":8,\"head_seq\":9}\n\n")
		case 5:
			send(w, false, sseOpen(9)+strings.ReplaceAll(sseEvent(9), "\n", "\r\n"))
			<-r.Context().Done()
		}
	})
	lost, opened := 0, 0
	got, err := follow(t.Context(), c, client.EventOptions{From: "now", Marks: true, Types: []string{"document.*"},
		Lost: func(err error, position string) { lost++ }, Connected: func(string) { opened++ }}, 9)
	want := []string{"document.added 4", "document.added 5", "document.added 6", "stream.live 6", "stream.checkpoint 8", "document.added 9"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	wantAsked := []string{"now|", "|" + epoch + ":3", "|" + epoch + ":5:00000005", "|" + epoch + ":5:00000005", "|" + epoch + ":8:00000008"}
	if !reflect.DeepEqual(asked, wantAsked) {
		t.Errorf("asked for %q", asked)
	}
	if lost != 4 || opened != 4 {
		t.Errorf("lost %d, opened %d", lost, opened)
	}
}

func TestEventsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    string
	}{
		"a problem": {func(w http.ResponseWriter, r *http.Request) { problem(w, 401, "unauthenticated") }, "unauthenticated"},
		"a reset": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			send(w, false, "retry: 30000\n\nevent: stream.reset\ndata: {\"status\":410,\"code\":\"offset_expired\",\"detail\":\"gone\"}\n\n")
		}, "offset_expired"},
		"something else": {func(w http.ResponseWriter, r *http.Request) { send(w, false, "<html>") }, "protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := follow(t.Context(), fake(t, c.handler), client.EventOptions{}, 1)
			if !client.IsCode(err, c.code) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := follow(t.Context(), client.New("http://127.0.0.1:1", ""), client.EventOptions{}, 1); err == nil {
		t.Error("nobody there, and no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send(w, false, sseOpen(1))
		cancel()
		<-r.Context().Done()
	})
	if _, err := follow(ctx, c, client.EventOptions{}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A server that says nothing for three heartbeats is gone.
func TestEventsStall(t *testing.T) {
	first := true
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send(w, false, sseOpen(1))
		if first {
			first = false
			<-r.Context().Done()
			return
		}
		send(w, false, sseEvent(1))
		<-r.Context().Done()
	})
	if got, err := follow(t.Context(), c, client.EventOptions{Heartbeat: 20 * time.Millisecond}, 1); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestPull(t *testing.T) {
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query().Encode(); q != "after=p&library=a%2Cb&limit=5&wait=1s" {
			t.Errorf("query %s", q)
		}
		send(w, false, `{"events":[{"id":"x:1","type":"document.added","seq":1}],"next":2,"position":"x:1","head_seq":9,"epoch":"x"}`)
	})
	p, err := c.Pull(t.Context(), client.EventOptions{After: "p", Libraries: []string{"a", "b"}}, 5, time.Second)
	if err != nil || p.Next != 2 || p.HeadSeq != 9 || p.Position != "x:1" || len(p.Events) != 1 || p.Events[0].Seq != 1 || len(p.Events[0].Raw) == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
