package httpd

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
	"github.com/arrwdb/arrwdb/wal"
)

// Limits of the feed's readers.
const (
	defaultEvents    = 100
	maxEvents        = 10_000
	maxWait          = time.Minute
	defaultHeartbeat = 15 * time.Second
	minHeartbeat     = 10 * time.Millisecond
	maxHeartbeat     = 5 * time.Minute
	feedBatchBytes   = 256 << 10
)

// feedLog is the database as the feed needs it.
type feedLog struct{ *engine.DB }

func (l feedLog) ReadLog(from uint64) (cdc.FrameReader, error) {
	return cdc.Adapt(l.DB.ReadLog(from))(func(f *wal.Frame) cdc.Frame { return cdc.Frame{Chain: f.Chain, Records: f.Records} })
}

// feedQuery reads the query that all readers of the feed share.
func (c *call) feedQuery(lastEventID string) (*cdc.Query, error) {
	for _, name := range []string{"snapshot", "consumer"} {
		if c.has(name) {
			return nil, change.BadField(name, "%s is not in this build yet", name)
		}
	}
	q, err := cdc.ParseQuery(c.query, lastEventID, func(s string) (cdc.Matcher, error) { return parseFilter([]byte(s)) })
	if err != nil {
		return nil, err
	}
	q.Allow = c.scope()
	return q, nil
}

// servable reports whether a fault of opening a cursor is about the position: an
// EventSource is told so inside a stream, as it never sees a status.
func aboutPosition(e *change.Error) bool {
	return e.Code == change.Diverged || e.Code == change.Ahead || e.Code == change.OffsetExpired
}

// streamEvents serves SSE.
func (c *call) streamEvents() error {
	q, err := c.feedQuery(string(c.ctx.Request.Header.Peek("Last-Event-ID")))
	if err != nil {
		return err
	}
	heartbeat, err := c.heartbeat()
	if err != nil {
		return err
	}
	if c.ctx.IsHead() {
		c.ctx.Response.Header.SetContentType("text/event-stream")
		return nil
	}
	id := c.requestID()
	cur, e := c.r.hub.Open(q)
	if e != nil && !aboutPosition(e) {
		return e
	}
	epoch, earliest := c.db.Lineage().Current(), c.db.EarliestSeq()
	err = c.hijack(hijackOptions{contentType: "text/event-stream", feed: true, headers: "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"}, func(st *stream) {
		if e != nil {
			st.write(cdc.AppendReset(nil, problemJSON(e, id, nil)))
			return
		}
		defer cur.Close()
		buf := cdc.AppendOpen(cdc.AppendRetry(nil, cdc.RetryMillis), epoch, cur.NextSeq(), cur.Head(), earliest)
		sseLoop(st, cur, buf, heartbeat, id)
	})
	if err != nil && cur != nil {
		cur.Close()
	}
	return err
}

func (c *call) heartbeat() (time.Duration, error) {
	d, err := c.queryDuration("heartbeat", defaultHeartbeat, maxHeartbeat)
	if err == nil && d < minHeartbeat {
		return 0, change.BadField("heartbeat", "%s is shorter than %s", d, minHeartbeat)
	}
	return d, err
}

// sseLoop sends events until the client goes or the server stops: everything
// that waits goes out in one write.
func sseLoop(st *stream, cur *cdc.Cursor, buf []byte, heartbeat time.Duration, id string) {
	var marks cdc.Checkpoints
	marks.Told(cur.Position().Seq)
	live := false
	timer := time.NewTimer(heartbeat)
	defer timer.Stop()
	for {
		changed := cur.Changed()
		out, batch, err := cur.AppendBatch(buf, cdc.SSE, cdc.Limits{Bytes: feedBatchBytes})
		buf = out
		if batch.LastSeq > 0 {
			marks.Told(batch.LastSeq)
		}
		if err != nil {
			st.write(cdc.AppendReset(buf, problemJSON(asError(err), id, nil)))
			return
		}
		if batch.Caught && !live {
			buf, live = cdc.AppendLive(buf, cdc.SSE), true
		}
		if marks.Due(time.Now(), cur.Position().Seq, false) {
			buf = cdc.AppendCheckpoint(buf, cdc.SSE, cur.Position(), cur.Head())
		}
		if len(buf) > 0 {
			if !st.write(buf) {
				return
			}
			buf = buf[:0]
			if cap(buf) > 4*feedBatchBytes {
				buf = nil
			}
			timer.Reset(heartbeat)
		}
		if !batch.Caught {
			if st.gone() {
				return
			}
			continue
		}
		if buf = sseWait(st, cur, &marks, timer, changed, heartbeat, buf); buf == nil {
			return
		}
	}
}

// sseWait waits for a change, a heartbeat or a checkpoint that comes due. It
// returns what is to be sent, or nil where the stream is to end.
func sseWait(st *stream, cur *cdc.Cursor, marks *cdc.Checkpoints, timer *time.Timer, changed <-chan struct{}, heartbeat time.Duration, buf []byte) []byte {
	if buf == nil {
		buf = make([]byte, 0, 512)
	}
	var mark <-chan time.Time
	if at, ok := marks.Next(cur.Position().Seq); ok {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		mark = t.C
	}
	select {
	case <-changed:
		return buf
	case <-mark:
		if marks.Due(time.Now(), cur.Position().Seq, false) {
			buf = cdc.AppendCheckpoint(buf, cdc.SSE, cur.Position(), cur.Head())
		}
		return buf
	case <-timer.C:
		if marks.Due(time.Now(), cur.Position().Seq, true) {
			buf = cdc.AppendCheckpoint(buf, cdc.SSE, cur.Position(), cur.Head())
		}
		timer.Reset(heartbeat)
		return cdc.AppendHeartbeat(buf, cur.Head())
	case <-st.done:
		return nil
	}
}

// pullEvents serves one page, or lines.
func (c *call) pullEvents() error {
	q, err := c.feedQuery("")
	if err != nil {
		return err
	}
	limit, err := c.queryInt("limit", defaultEvents, 1, maxEvents)
	if err != nil {
		return err
	}
	wait, err := c.queryDuration("wait", 0, maxWait)
	if err != nil {
		return err
	}
	follow, err := c.queryBool("follow")
	if err != nil {
		return err
	}
	heartbeat, err := c.heartbeat()
	if err != nil {
		return err
	}
	lines := strings.Contains(string(c.ctx.Request.Header.Peek("Accept")), "application/x-ndjson")
	if follow && !lines {
		return change.BadField("follow", "follow=true goes with Accept: application/x-ndjson")
	}
	cur, e := c.r.hub.Open(q)
	if e != nil {
		return e
	}
	if lines {
		if !c.has("limit") {
			limit = 0
		}
		return c.eventLines(cur, limit, follow, heartbeat)
	}
	defer cur.Close()
	return c.eventPage(cur, limit, wait)
}

func (c *call) eventPage(cur *cdc.Cursor, limit int, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	b := []byte(`{"events":[`)
	empty := len(b)
	for {
		changed := cur.Changed()
		out, batch, err := cur.AppendBatch(b, cdc.Elements, cdc.Limits{Events: limit, Bytes: int(c.s.o.MaxBodyBytes)})
		if b = out; err != nil && len(b) == empty {
			return err
		}
		if batch.Events > 0 || err != nil || wait == 0 {
			if !batch.Caught && batch.Events == 0 && err == nil {
				continue // a long run of changes that do not pass
			}
			break
		}
		if !batch.Caught {
			continue
		}
		select {
		case <-changed:
			continue
		case <-deadline.C:
		case <-c.s.stop.Done():
		}
		break
	}
	b = append(bytes.TrimSuffix(b, []byte(",")), `],"next":`...)
	b = strconv.AppendUint(b, cur.NextSeq(), 10)
	b = append(b, `,"position":"`...)
	b = cur.Position().Append(b)
	b = append(b, `","head_seq":`...)
	head := c.db.Head()
	b = strconv.AppendUint(b, head.Seq, 10)
	b = append(b, `,"epoch":`...)
	b = append(docjson.AppendString(b, head.Epoch.String()), '}')
	c.saw(head)
	return c.raw(200, b)
}

// eventLines sends events as lines, to the head, and on with follow.
func (c *call) eventLines(cur *cdc.Cursor, limit int, follow bool, heartbeat time.Duration) error {
	id := c.requestID()
	head := "Cache-Control: no-store\r\n" + c.seqHeaders()
	err := c.hijack(hijackOptions{contentType: "application/x-ndjson", headers: head, chunked: true, feed: true}, func(st *stream) {
		defer cur.Close()
		buf := make([]byte, 0, feedBatchBytes+64<<10)
		stop := cur.Head()
		timer := time.NewTimer(heartbeat)
		defer timer.Stop()
		for sent := 0; ; {
			changed := cur.Changed()
			l := cdc.Limits{Bytes: feedBatchBytes, Events: maxEvents}
			if limit > 0 {
				l.Events = min(l.Events, limit-sent)
			}
			out, batch, err := cur.AppendBatch(buf[:0], cdc.NDJSON, l)
			buf = out
			sent += batch.Events
			if len(buf) > 0 && !st.write(buf) {
				return
			}
			if err != nil {
				st.write(append(problemJSON(asError(err), id, map[string]any{"type": "error", "fatal": true}), '\n'))
				return
			}
			if limit > 0 && sent >= limit || !follow && (batch.Caught || cur.NextSeq() > stop) {
				st.end()
				return
			}
			if st.gone() {
				return
			}
			if !batch.Caught {
				continue
			}
			if st.head != nil && !st.write(nil) { // the client waits for the status
				return
			}
			timer.Reset(heartbeat)
			select {
			case <-changed:
			case <-timer.C:
				if !st.write([]byte("\n")) { // an empty line keeps the connection open
					return
				}
			case <-st.done:
				return
			}
		}
	})
	if err != nil {
		cur.Close()
	}
	return err
}

func (c *call) seqHeaders() string {
	p := c.db.Head()
	return "Arrwdb-Seq: " + strconv.FormatUint(p.Seq, 10) + "\r\nArrwdb-Position: " + p.String() + "\r\n"
}

func (c *call) eventStats() error {
	head := c.db.Head()
	st := c.r.hub.Stats()
	published, byType := c.db.Published(c.scope())
	if c.scope() != nil {
		// Totals over all libraries would tell of foreign ones.
		st.Subscribers, st.Delivered = c.s.open.subscribers(c.key.ID), 0
	}
	out := struct {
		Head        uint64            `json:"head_seq"`
		Durable     uint64            `json:"durable_seq"`
		Earliest    uint64            `json:"earliest_seq"`
		Epoch       change.Epoch      `json:"epoch"`
		LogBytes    int64             `json:"log_bytes"`
		Subscribers int64             `json:"subscribers"`
		Published   uint64            `json:"published_total"`
		Delivered   uint64            `json:"delivered_total"`
		ByType      map[string]uint64 `json:"by_type"`
		Consumers   []json.RawMessage `json:"consumers"`
	}{head.Seq, c.db.DurableSeq(), c.db.EarliestSeq(), head.Epoch, c.db.LogStats().Bytes, st.Subscribers, published, st.Delivered, byType, []json.RawMessage{}}
	return c.json(200, out)
}
