package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// A writer works until the server is gone.
type writer func(rng *rand.Rand, stop *atomic.Bool)

func (m *model) writers() []writer {
	return []writer{m.putter, m.poster, m.patcher, m.batcher, m.deleter,
		func(r *rand.Rand, s *atomic.Bool) { m.uploader(0, "", r, s) },
		func(r *rand.Rand, s *atomic.Bool) { m.uploader(1, "gzip", r, s) },
		func(r *rand.Rand, s *atomic.Bool) { m.uploader(2, "zstd", r, s) }}
}

// write sends one write. ok is false where the answer was lost.
func (m *model) write(method, path string, body any) (answer J, seq uint64, ok bool) {
	raw, err := json.Marshal(body)
	if err != nil {
		m.t.Error(err)
		return nil, 0, false
	}
	req, err := http.NewRequest(method, m.e.base+path, bytes.NewReader(raw))
	if err != nil {
		m.t.Error(err)
		return nil, 0, false
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := m.e.hc.Do(req)
	if err != nil {
		return nil, 0, false
	}
	defer res.Body.Close()
	raw, err = io.ReadAll(res.Body)
	if res.StatusCode == http.StatusServiceUnavailable {
		return nil, 0, false
	}
	if res.StatusCode >= 300 {
		m.t.Errorf("%s %s: status %d\n%s", method, path, res.StatusCode, clip(raw))
		return nil, 0, false
	}
	// The head of a 2xx answer is a promise, even where the body is cut.
	seq, perr := strconv.ParseUint(res.Header.Get("Arrwdb-Seq"), 10, 64)
	if perr != nil {
		m.t.Errorf("%s %s: Arrwdb-Seq: %v", method, path, perr)
	}
	_ = json.Unmarshal(raw, &answer)
	return answer, seq, err == nil
}

func (m *model) body(v int, rng *rand.Rand) J {
	return J{"title": strings.Repeat("t", rng.IntN(300)), "metadata": J{"v": v}, "chunks": []J{{"text": "x", "embedding": []float64{float64(v), 1, 2}}}}
}

func (m *model) putter(rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		id, v := fmt.Sprint("p", rng.IntN(8)), m.nextVersion()
		_, seq, ok := m.write("PUT", doc(m.lib, id), m.body(v, rng))
		m.wrote(id, v, seq)
		if !ok {
			return
		}
	}
}

func (m *model) poster(rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		v := m.nextVersion()
		d := m.body(v, rng)
		id := fmt.Sprint("n", v)
		d["id"] = id
		_, seq, ok := m.write("POST", docs(m.lib), d)
		m.wrote(id, v, seq)
		if !ok {
			return
		}
	}
}

func (m *model) patcher(rng *rand.Rand, stop *atomic.Bool) {
	id := "m" + strconv.Itoa(rng.IntN(4))
	v := m.nextVersion()
	_, seq, ok := m.write("PUT", doc(m.lib, id), m.body(v, rng))
	m.wrote(id, v, seq)
	for ok && !stop.Load() {
		v = m.nextVersion()
		_, seq, ok = m.write("PATCH", doc(m.lib, id), J{"metadata": J{"v": v, fmt.Sprint("k", rng.IntN(3)): v}})
		m.wrote(id, v, seq)
	}
}

func (m *model) batcher(rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		v := m.nextVersion()
		var ops []J
		for i := range batchSize {
			ops = append(ops, J{"op": "put", "id": fmt.Sprint("b", i), "document": m.body(v, rng)})
		}
		answer, last, ok := m.write("POST", "/v1/libraries/"+m.lib+"/batch", J{"operations": ops})
		for i := range batchSize {
			seq := uint64(0)
			if last != 0 {
				seq = last - uint64(batchSize-1-i)
			}
			if got := num(answer, "results", i, "seq"); ok && got != seq {
				m.t.Errorf("batch: result %d has seq %d, last_seq is %d", i, got, last)
			}
			m.wrote(fmt.Sprint("b", i), v, seq)
		}
		if !ok {
			return
		}
	}
}

// deleter puts and deletes in turn. It cannot know which of the two was lost, so
// it begins each life with a PUT.
func (m *model) deleter(rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		id, v := fmt.Sprint("d", rng.IntN(3)), m.nextVersion()
		_, seq, ok := m.write("PUT", doc(m.lib, id), m.body(v, rng))
		m.wrote(id, v, seq)
		if !ok {
			return
		}
		_, seq, ok = m.write("DELETE", doc(m.lib, id), nil)
		m.wrote(id, 0, seq)
		if !ok {
			return
		}
	}
}

func sourceName(k int) string   { return fmt.Sprint("src", k) }
func lineID(k, line int) string { return fmt.Sprintf("s%d-%07d", k, line) }
func goodLine(k, line int) bool { return k == 0 || (line%7 != 3 && line%11 != 5) }
func nextGood(k, line int) (n int) {
	for n = line + 1; !goodLine(k, n); n++ {
	}
	return n
}
func sourceLine(k, line int) string { // the same whenever it is asked for
	switch {
	case k == 0 || goodLine(k, line):
		return fmt.Sprintf(`{"id":"%s","title":"%s","metadata":{"v":%d},"embedding":[%d,1,2]}`, lineID(k, line), strings.Repeat("s", line%97), line, line)
	case line%7 == 3:
		return `{"id":"broken"`
	default:
		return ""
	}
}

// uploader sends its source on from where it was taken, or from further back.
func (m *model) uploader(k int, encoding string, rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		taken, ok := m.taken(k)
		if !ok {
			return
		}
		first := 1
		if taken > 2000 || rng.IntN(3) > 0 {
			first = max(1, taken+1-rng.IntN(50))
		}
		if !m.upload(k, encoding, first, taken+50+rng.IntN(400), rng) {
			return
		}
	}
}

func (m *model) taken(k int) (int, bool) {
	res, err := m.e.hc.Get(m.e.base + "/v1/libraries/" + m.lib + "/sources/" + sourceName(k))
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	var s struct{ Lines int }
	return s.Lines, json.NewDecoder(res.Body).Decode(&s) == nil
}

// upload sends the lines from first to last and reads receipts meanwhile.
func (m *model) upload(k int, encoding string, first, last int, rng *rand.Rand) bool {
	body, feed := io.Pipe()
	var w io.Writer = feed
	flush, finish := func() {}, func() {}
	switch encoding {
	case "gzip":
		z, _ := gzip.NewWriterLevel(feed, gzip.BestSpeed) // the level is valid
		w, flush, finish = z, func() { _ = z.Flush() }, func() { _ = z.Close() }
	case "zstd":
		z, _ := zstd.NewWriter(feed, zstd.WithEncoderConcurrency(1)) // the options are valid
		w, flush, finish = z, func() { _ = z.Flush() }, func() { _ = z.Close() }
	}
	pieces := 1 + rng.IntN(40)
	go func() {
		for line := first; line <= last; line++ {
			if _, err := io.WriteString(w, sourceLine(k, line)+"\n"); err != nil {
				return // the server is gone
			}
			if line%pieces == 0 {
				flush()
			}
		}
		finish()
		feed.Close()
	}()
	defer body.Close()
	path := fmt.Sprintf("/v1/libraries/%s/documents/stream?ack=line&source=%s&first_line=%d", m.lib, sourceName(k), first)
	req, err := http.NewRequest("POST", m.e.base+path, body)
	if err != nil {
		m.t.Error(err)
		return false
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := m.e.hc.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		raw, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusServiceUnavailable {
			m.t.Errorf("upload of source %d: status %d\n%s", k, res.StatusCode, clip(raw))
		}
		return false
	}
	return m.receipts(k, res.Body)
}

func (m *model) receipts(k int, r io.Reader) bool {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	whole := false
	for sc.Scan() {
		var l struct {
			Type     string
			Line     int
			To       int
			Lines    int
			Seq      uint64
			Last     uint64 `json:"last_seq"`
			Complete bool
		}
		if json.Unmarshal(sc.Bytes(), &l) != nil {
			continue // cut by the kill
		}
		switch l.Type {
		case "line", "lines":
			m.mu.Lock()
			m.sources[k].acked = max(m.sources[k].acked, l.Line, l.To)
			m.maxSeen = max(m.maxSeen, l.Seq, l.Last)
			m.acked++
			m.mu.Unlock()
		case "summary":
			whole = l.Complete
		}
	}
	return whole && sc.Err() == nil
}

// connect reads the stream from where the reader stands until it breaks.
func (r *longReader) connect() bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	url := r.e.base + "/v1/events/stream?heartbeat=1s"
	if r.last == "" {
		url += "&from=1"
	}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		r.fault = err.Error()
		return false
	}
	if r.last != "" {
		req.Header.Set("Last-Event-ID", r.last)
	}
	hc := &http.Client{Transport: r.e.hc.Transport}
	res, err := hc.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		if res.StatusCode != http.StatusServiceUnavailable {
			r.fault = fmt.Sprintf("status %d on reconnect at %q", res.StatusCode, r.last)
		}
		return false
	}
	r.connects++
	_ = parseFrames(res.Body, func(f frame) {
		switch {
		case r.fault != "":
		case f.event == "stream.reset":
			r.fault = "reset at " + r.last + ": " + f.data
			cancel()
		case strings.HasPrefix(f.event, "stream.") || f.event == "":
			if f.hasID && f.id != "" {
				r.last = f.id
			}
		default:
			r.take(f)
		}
	})
	return true
}

func (r *longReader) take(f frame) {
	var ev struct {
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal([]byte(f.data), &ev); err != nil {
		r.fault = fmt.Sprintf("%v: %s", err, f.data)
		return
	}
	if ev.Seq != r.lastSeq+1 || positionSeq(f.id) != ev.Seq {
		r.fault = fmt.Sprintf("seq %d (id %s) came after %d: a hole or a duplicate", ev.Seq, f.id, r.lastSeq)
		return
	}
	r.last, r.lastSeq = f.id, ev.Seq
	r.report()
}
