package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRetention fills the log past what it may hold. Readers that come too late are
// told so in each way of reading; the others read every change from the earliest on.
func TestRetention(t *testing.T) {
	e := alone(t, "--log-segment-size", "65536", "--retention", "forever", "--retention-max-bytes", "200000", "--recovery-target", "1ms")
	lib := e.lib2(t)
	old := e.headPosition(t)
	var lines []string
	for i := range 500 {
		lines = append(lines, ndjson(simple(fmt.Sprint("doc-", i), J{"words": strings.Repeat("x", 400)})))
	}
	earliest := func() uint64 { return num(e.get(t, "/v1/status").is(200).obj(), "earliest_seq") }
	eventually(t, "the log is trimmed", func() bool {
		e.ingest(t, lib, "", strings.Join(lines, "")).is(200)
		return earliest() > 100
	})
	e.srv.restart(t, true) // killed
	eventually(t, "the log is trimmed again", func() bool {
		before := earliest()
		e.ingest(t, lib, "", strings.Join(lines, "")).is(200)
		return earliest() > before
	})
	eventually(t, "the log is as small as it has to be, and nothing more is trimmed", func() bool {
		return num(e.get(t, "/v1/status").is(200).obj()["log"].(J), "bytes") <= 200_000
	})
	if held := list(e.get(t, "/v1/status").is(200).obj()["retention"].(J), "holders"); len(held) < 3 {
		t.Errorf("the status names who holds the log: %v", held)
	}

	p := e.get(t, "/v1/events?from=1").problem(410, "offset_expired")
	if first := num(p, "earliest_seq"); first < 2 || first > num(p, "head_seq") {
		t.Errorf("%v", p)
	}
	e.get(t, "/v1/events?after="+q(old)).problem(410, "offset_expired")
	for _, query := range []string{"from=1", "after=" + q(old)} {
		s := e.sse(t, query)
		f := s.named(t, "stream.reset")
		same(t, "code", mustMatch(t, "Problem", []byte(f.data))["code"], "offset_expired")
		s.ended(t, patience)
	}
	from := earliest()
	seq := from
	for _, ev := range e.eventsFrom(t, from, "") {
		if got := num(ev.(J), "seq"); got != seq {
			t.Fatalf("seq %d where %d is due", got, seq)
		}
		seq++
	}
	if head := e.head(t); seq != head+1 {
		t.Errorf("the events end at %d, the head is %d", seq-1, head)
	}
	s := e.sse(t, fmt.Sprintf("from=%d", from))
	_, ev := s.event(t)
	same(t, "seq", ev["seq"], from)
	if code := e.srv.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v := cliJSON(t, "verify", "--full", "--data", e.srv.dir, "--output", "json").(J)
	same(t, "problems", len(list(v, "problems")), 0)
}
