package cdc

import (
	"strconv"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// A Format is how events are written one after the other.
type Format uint8

const (
	SSE       Format = iota // id, event and data lines
	NDJSON                  // one CloudEvent a line
	Elements                // CloudEvents with a comma after each, for the inside of an array
	WebSocket               // one event message of the WebSocket protocol a line; a line is a frame
)

// emit appends one event of b.
func emit(dst, b []byte, ev *event, f Format, last bool, m match) []byte {
	switch f {
	case SSE:
		dst = append(dst, "id: "...)
		dst = append(dst, b[ev.idFrom:ev.idTo]...)
		dst = append(dst, "\nevent: "...)
		dst = append(dst, ev.kind.EventType()...)
		dst = append(dst, "\ndata: "...)
	case WebSocket:
		dst = append(dst, `{"type":"event","event_type":"`...)
		dst = append(dst, ev.kind.EventType()...)
		dst = append(dst, `","library_id":`...)
		dst = append(dst, b[ev.libraryAt:ev.libraryTo]...)
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, ev.seq, 10)
		dst = append(dst, `,"id":"`...)
		dst = append(dst, b[ev.idFrom:ev.idTo]...)
		dst = append(dst, `","time":"`...)
		dst = append(dst, b[ev.timeFrom:ev.timeTo]...)
		dst = append(dst, `","last":`...)
		dst = strconv.AppendBool(dst, last)
		dst = append(dst, b[ev.last:ev.end]...)
		dst = append(dst, spliced[m]...)
		return append(dst, "}}\n"...)
	}
	dst = append(dst, b[ev.from:ev.last]...)
	dst = strconv.AppendBool(dst, last)
	dst = append(dst, b[ev.last:ev.end]...)
	dst = append(dst, spliced[m]...)
	switch f {
	case SSE:
		return append(dst, "}}\n\n"...)
	case NDJSON:
		return append(dst, "}}\n"...)
	}
	return append(dst, "}},"...)
}

// RetryMillis and ResetRetryMillis are what SSE clients are told to wait before
// they connect again: after a cut connection, and after a stream.reset.
const (
	RetryMillis      = 1_000
	ResetRetryMillis = 30_000
)

// AppendRetry appends the line of SSE that says after how many milliseconds to
// connect again.
func AppendRetry(dst []byte, millis int) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(millis), 10)
	return append(dst, "\n\n"...)
}

// AppendSSE appends an event of SSE. data is one line; id may be empty.
func AppendSSE(dst []byte, id, name string, data []byte) []byte {
	if id != "" {
		dst = append(dst, "id: "...)
		dst = append(dst, id...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}

// AppendOpen appends stream.open, the first event of an SSE stream. from is the
// first seq that the stream may show.
func AppendOpen(dst []byte, epoch change.Epoch, from, head, earliest uint64) []byte {
	data := append([]byte(nil), `{"epoch":`...)
	data = docjson.AppendString(data, epoch.String())
	data = append(data, `,"from":`...)
	data = strconv.AppendUint(data, from, 10)
	data = append(data, `,"head_seq":`...)
	data = strconv.AppendUint(data, head, 10)
	data = append(data, `,"earliest_seq":`...)
	data = strconv.AppendUint(data, earliest, 10)
	return AppendSSE(dst, "", "stream.open", append(data, '}'))
}

// AppendLive appends the mark that is sent once, when a reader has caught up.
func AppendLive(dst []byte, f Format) []byte {
	switch f {
	case SSE:
		return append(dst, "event: stream.live\ndata: {}\n\n"...)
	case WebSocket:
		return append(dst, `{"type":"live"}`+"\n"...)
	}
	return dst
}

// AppendCheckpoint appends the mark that moves a reader over events that it does
// not get. at is the cursor's Position, never further. In formats that have no
// such mark it appends nothing.
func AppendCheckpoint(dst []byte, f Format, at change.Position, head uint64) []byte {
	switch f {
	case SSE:
		dst = append(dst, "id: "...)
		dst = at.Append(dst)
		dst = append(dst, "\nevent: stream.checkpoint\ndata: {\"seq\":"...)
		dst = strconv.AppendUint(dst, at.Seq, 10)
		dst = append(dst, `,"head_seq":`...)
		dst = strconv.AppendUint(dst, head, 10)
		return append(dst, "}\n\n"...)
	case WebSocket:
		dst = append(dst, `{"type":"checkpoint","seq":`...)
		dst = strconv.AppendUint(dst, at.Seq, 10)
		dst = append(dst, `,"id":"`...)
		dst = at.Append(dst)
		return append(dst, "\"}\n"...)
	}
	return dst
}

// AppendHeartbeat appends the comment that keeps an idle SSE stream open.
func AppendHeartbeat(dst []byte, head uint64) []byte {
	dst = append(dst, ": hb "...)
	dst = strconv.AppendUint(dst, head, 10)
	return append(dst, "\n\n"...)
}

// AppendReset appends the end of an SSE stream whose position cannot be served.
// problem is the problem's JSON on one line.
func AppendReset(dst, problem []byte) []byte {
	dst = AppendRetry(dst, ResetRetryMillis)
	return AppendSSE(dst, "", "stream.reset", problem)
}

// CheckpointEvery is how often a reader that sees nothing is moved on at most,
// apart from heartbeats.
const CheckpointEvery = time.Second

// Checkpoints decides when a reader is to be sent a checkpoint. It is a value
// and knows no clock.
type Checkpoints struct {
	told uint64    // the newest seq that the reader knows the position of
	at   time.Time // of the last checkpoint
}

// Told records that the reader was sent the position seq: where it began, or the
// id of the last event of a batch.
func (k *Checkpoints) Told(seq uint64) { k.told = max(k.told, seq) }

// Due reports whether a checkpoint is to be sent now: the cursor has gone past
// what the reader knows, and there was none for a second, or a heartbeat is sent
// anyhow. It takes the answer true as a promise that the checkpoint is sent.
func (k *Checkpoints) Due(now time.Time, scanned uint64, heartbeat bool) bool {
	if scanned <= k.told || !heartbeat && now.Sub(k.at) < CheckpointEvery {
		return false
	}
	k.told, k.at = scanned, now
	return true
}

// Next returns when a checkpoint that is not due now will be, false where none
// is wanting.
func (k *Checkpoints) Next(scanned uint64) (at time.Time, ok bool) {
	return k.at.Add(CheckpointEvery), scanned > k.told
}
