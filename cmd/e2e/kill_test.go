package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKill kills a server under load at random moments and starts it again, and
// checks after each restart that
//
//  1. every acknowledged write is there, exactly once, at the seq that it was
//     given and with the content that it had; a write whose answer was lost is
//     there once or not at all;
//  2. a batch is there whole or not at all;
//  3. a source has exactly one event for each good line up to its position, and
//     none past it; its position is not below an acknowledged line;
//  4. the log has every seq from 1 to the head, and the head never falls;
//  5. the documents are what the log says;
//
// and at the end that a reader that lived through all of it, by Last-Event-ID,
// saw every seq once and in order.
func TestKill(t *testing.T) {
	kills := 8
	if v := os.Getenv("ARRWDB_E2E_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("ARRWDB_E2E_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("again: ARRWDB_E2E_SEED=%d ARRWDB_E2E_KILLS=%d go test -run '^TestKill$' -v ./cmd/e2e", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 1))

	e := alone(t, "--log-segment-size", "131072")
	const lib = "k"
	e.post(t, "/v1/libraries", J{"id": lib, "embedding": J{"provider": "none"}}).is(201)
	m := newModel(t, e, lib)
	reader := newLongReader(e)
	t.Cleanup(reader.close)
	var slowest time.Duration
	for kill := range kills {
		var stop atomic.Bool
		var wg sync.WaitGroup
		for _, w := range m.writers() {
			wg.Add(1)
			seed := rng.Uint64()
			go func() { defer wg.Done(); w(rand.New(rand.NewPCG(seed, 2)), &stop) }()
		}
		time.Sleep(time.Duration(30+rng.IntN(270)) * time.Millisecond) // the moment of the kill is part of the dice
		e.srv.kill()
		stop.Store(true)
		wg.Wait()
		if t.Failed() {
			t.Fatalf("life %d (seed %d)", kill+1, seed)
		}
		begin := time.Now()
		e.srv.start(t)
		slowest = max(slowest, time.Since(begin))
		m.check(kill%10 == 9 || kills < 20 || kill == kills-1)
		if t.Failed() {
			t.Fatalf("after kill %d of %d (seed %d)\n%s", kill+1, kills, seed, e.srv.log())
		}
	}
	head := e.head(t)
	reader.finish(t, head)
	t.Logf("%d kills, %d seqs, %d writes acknowledged, %d with a lost answer, slowest start %v, the reader connected %d times", kills, head, m.acked, m.unknown, slowest, reader.connects)
	if code := e.srv.stop(); code != 0 {
		t.Errorf("exit code %d on SIGTERM", code)
	}
	cliOK(t, "verify", "--full", "--data", e.srv.dir)
}

// An op is one write of one document, in the order in which its writer sent it.
type op struct {
	v   int    // metadata.v of the version; 0: deleted
	seq uint64 // as acknowledged; 0: the answer was lost
}

// A model is what the writers know.
type model struct {
	t   *testing.T
	e   *env
	lib string

	mu      sync.Mutex
	ops     map[string][]op // by document; what was checked is dropped
	version int             // unique over all writes
	acked   int
	unknown int

	sources [3]sourceModel

	// What the checks have seen.
	next    uint64 // first seq not yet checked
	maxSeen uint64
	state   map[string]op // the documents as the log says
	batches map[int]int   // events by version of a batch
}

// A sourceModel is an upload without end, cut by kills.
type sourceModel struct {
	acked    int // highest line with a receipt
	lastGood int // last good line with an event
}

const batchSize = 5

func newModel(t *testing.T, e *env, lib string) *model {
	return &model{t: t, e: e, lib: lib, ops: map[string][]op{}, next: 1, state: map[string]op{}, batches: map[int]int{}}
}

func (m *model) nextVersion() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	return m.version
}

// wrote notes a write. seq 0 means that its answer was lost.
func (m *model) wrote(id string, v int, seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops[id] = append(m.ops[id], op{v, seq})
	m.maxSeen = max(m.maxSeen, seq)
	if seq == 0 {
		m.unknown++
	} else {
		m.acked++
	}
}

// check holds everything that the server has against what the writers know.
func (m *model) check(full bool) {
	m.t.Helper()
	head := m.e.head(m.t)
	if head < m.maxSeen {
		m.t.Fatalf("head_seq fell: %d was seen, now it is %d", m.maxSeen, head)
	}
	m.maxSeen = head
	for _, ev := range m.e.eventsFrom(m.t, m.next, "") {
		if num(ev, "seq") != m.next {
			m.t.Fatalf("seq %d in the feed where %d belongs: the log has a gap", num(ev, "seq"), m.next)
		}
		m.next++
		m.seen(ev)
	}
	if m.next != head+1 {
		m.t.Fatalf("the feed ends at %d, the head is %d", m.next-1, head)
	}
	for id, rest := range m.ops {
		for _, o := range rest {
			if o.seq != 0 {
				m.t.Errorf("LOST: document %s version %d was acknowledged with seq %d and has no event", id, o.v, o.seq)
			}
		}
		delete(m.ops, id) // nothing that was in flight can still come
	}
	for v, n := range m.batches {
		if n != batchSize {
			m.t.Errorf("TORN: %d of %d operations of batch %d are there", n, batchSize, v)
		}
		delete(m.batches, v)
	}
	for k := range m.sources {
		m.checkSource(k)
	}
	if full {
		m.checkState()
	}
}

// seen takes one event and finds the write that made it.
func (m *model) seen(ev any) {
	id, typ, seq := str(ev, "subject"), str(ev, "type"), num(ev, "seq")
	if typ == "library.created" {
		return
	}
	v := 0
	if typ != "document.deleted" {
		v = int(num(ev, "data", "document", "metadata", "v"))
	}
	_, existed := m.state[id]
	if (typ == "document.added") == existed {
		m.t.Errorf("seq %d is %s of %s, which existed: %v", seq, typ, id, existed)
	}
	if v == 0 {
		delete(m.state, id)
	} else {
		m.state[id] = op{v, seq}
	}
	var k int
	if n, _ := fmt.Sscanf(id, "s%d-", &k); n == 1 {
		m.seenLine(k, id, typ, v)
		return
	}
	if id[0] == 'b' {
		m.batches[v]++
		if last := m.batches[v] == batchSize; at(ev, "last") != last {
			m.t.Errorf("seq %d: last is %v in operation %d of a batch", seq, at(ev, "last"), m.batches[v])
		}
	}
	rest := m.ops[id]
	for len(rest) > 0 && rest[0].v != v {
		if rest[0].seq != 0 {
			m.t.Errorf("LOST: document %s version %d was acknowledged with seq %d; the next event of it is version %d at %d", id, rest[0].v, rest[0].seq, v, seq)
		}
		rest = rest[1:]
	}
	switch {
	case len(rest) == 0:
		m.t.Errorf("seq %d: %s of %s version %d, which nobody sent or which has been before", seq, typ, id, v)
	case rest[0].seq != 0 && rest[0].seq != seq:
		m.t.Errorf("document %s version %d was acknowledged with seq %d, its event is at %d", id, v, rest[0].seq, seq)
		rest = rest[1:]
	default:
		rest = rest[1:]
	}
	m.ops[id] = rest
}

func (m *model) seenLine(k int, id, typ string, v int) {
	s := &m.sources[k]
	want := nextGood(k, s.lastGood)
	if typ != "document.added" || id != lineID(k, want) || v != want {
		m.t.Errorf("source %d: event %s of %s, want line %d added: a line was lost or taken twice", k, typ, id, want)
	}
	s.lastGood = v
}

func (m *model) checkSource(k int) {
	s := &m.sources[k]
	lines := int(num(m.e.source(m.t, m.lib, sourceName(k)), "lines"))
	if lines < s.acked {
		m.t.Errorf("source %d: line %d was acknowledged, the position is %d", k, s.acked, lines)
	}
	if s.lastGood > lines {
		m.t.Errorf("source %d: line %d has an event, the position is %d", k, s.lastGood, lines)
	}
	if n := nextGood(k, s.lastGood); n <= lines {
		m.t.Errorf("source %d: the position is %d, line %d has no event", k, lines, n)
	}
}

// checkState compares the documents with what the log says.
func (m *model) checkState() {
	lines := m.e.get(m.t, docs(m.lib)+"/stream").is(200).lines("Document")
	want := make([]string, 0, len(m.state))
	for id := range m.state {
		want = append(want, id)
	}
	sort.Strings(want)
	if len(lines) != len(want) {
		m.t.Errorf("%d documents in the export, the log says %d", len(lines), len(want))
	}
	for i := range min(len(lines), len(want)) {
		l, o := lines[i], m.state[want[i]]
		if str(l, "id") != want[i] || num(l, "seq") != o.seq || int(num(l, "metadata", "v")) != o.v {
			m.t.Errorf("document %s version %v at seq %v; the log says %s version %d at %d", l["id"], at(l, "metadata", "v"), l["seq"], want[i], o.v, o.seq)
			return
		}
	}
	same(m.t, "count", m.e.get(m.t, "/v1/libraries/"+m.lib+"/count").obj()["count"], len(want))
}

// A longReader is one subscriber that lives through all restarts.
type longReader struct {
	e        *env
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	progress chan uint64 // newest seq, the latest wins

	last     string
	lastSeq  uint64
	connects int
	fault    string
}

func newLongReader(e *env) *longReader {
	r := &longReader{e: e, stop: make(chan struct{}), done: make(chan struct{}), progress: make(chan uint64, 1)}
	go r.run()
	return r
}

func (r *longReader) run() {
	defer close(r.done)
	for r.fault == "" {
		select {
		case <-r.stop:
			return
		default:
		}
		if !r.connect() {
			time.Sleep(5 * time.Millisecond) // the server is down
		}
	}
}

func (r *longReader) report() {
	select {
	case <-r.progress:
	default:
	}
	r.progress <- r.lastSeq
}

// finish waits until the reader has come to the head.
func (r *longReader) finish(t *testing.T, head uint64) {
	t.Helper()
	deadline := time.After(patience)
	for at := uint64(0); at < head; {
		select {
		case at = <-r.progress:
		case <-r.done:
			t.Fatalf("the reader: %s", r.fault)
		case <-deadline:
			t.Fatalf("the reader stands at %d, the head is %d", at, head)
		}
	}
	r.close()
}

// close ends the reader. Safe twice.
func (r *longReader) close() {
	r.stopOnce.Do(func() { close(r.stop) })
	<-r.done
}
