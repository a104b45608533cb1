package cdc_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memLog is a log in memory, for what a real one does not do on request:
// trimming at a chosen moment, faults, and readers that end for good at the head.
type memLog struct {
	mu       sync.Mutex
	lineage  change.Lineage
	frames   []memFrame
	head     uint64
	earliest uint64
	notify   chan struct{}
	chain    uint32

	endsForGood bool                  // a reader that met the head stays there
	fault       error                 // of the following Next
	onRead      func(frame *memFrame) // before a frame is handed out
	opened      int                   // readers so far
	open        int                   // readers now
}

type memFrame struct {
	first, last uint64
	cdc.Frame
}

const epoch1, epoch2, epoch3 = change.Epoch(0x1111111111111111), change.Epoch(0x2222222222222222), change.Epoch(0x3333333333333333)

func newLog() *memLog {
	return &memLog{lineage: change.Lineage{{Epoch: epoch1, FirstSeq: 1}}, earliest: 1, notify: make(chan struct{}), chain: 0xabcd0000}
}

// commit appends a frame of groups.
func (l *memLog) commit(groups ...[]change.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chain++
	f := memFrame{first: l.head + 1}
	f.Chain = l.chain
	for _, g := range groups {
		for i, r := range g {
			r.Flags = 0
			if i == 0 {
				r.Flags |= change.GroupFirst
			}
			if i == len(g)-1 {
				r.Flags |= change.GroupLast
			}
			if !r.Kind.IsControl() {
				l.head++
				r.Seq = l.head
			}
			f.Records = append(f.Records, r)
		}
	}
	f.last = l.head
	l.frames = append(l.frames, f)
	close(l.notify)
	l.notify = make(chan struct{})
}

// trim drops the frames that lie wholly below seq, as the log drops segments.
func (l *memLog) trim(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.frames) > 0 && l.frames[0].last < seq {
		l.earliest = l.frames[0].last + 1
		l.frames[0].Records = nil
		l.frames = l.frames[1:]
	}
}

func (l *memLog) Head() change.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return change.Position{Epoch: l.lineage.Current(), Seq: l.head}
}

func (l *memLog) EarliestSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.earliest
}

func (l *memLog) Lineage() change.Lineage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lineage
}

func (l *memLog) Notify() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notify
}

func (l *memLog) find(seq uint64) (memFrame, bool) {
	for _, f := range l.frames {
		if f.last >= seq && f.last >= f.first {
			return f, true
		}
	}
	return memFrame{}, false
}

func (l *memLog) CheckPosition(p change.Position) *change.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.find(p.Seq); ok && p.Seq >= f.first && f.Chain != p.Check {
		return change.Errorf(change.Diverged, "the check of %s differs", p).With("common_seq", uint64(0))
	}
	return nil
}

func (l *memLog) PositionAt(seq uint64) (change.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.find(seq)
	if !ok || seq < f.first {
		return change.Position{}, errors.New("not in the log")
	}
	return change.Position{Epoch: l.lineage.At(seq), Seq: seq, Check: f.Chain, HasCheck: true}, nil
}

func (l *memLog) ReadLog(from uint64) (cdc.FrameReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.earliest {
		return nil, errors.New("trimmed")
	}
	l.opened++
	l.open++
	return &memReader{l: l, next: from}, nil
}

type memReader struct {
	l     *memLog
	next  uint64
	ended bool
	mem   []byte // the bytes of the frame handed out, used again
	out   cdc.Frame
}

func (r *memReader) Next() (*cdc.Frame, error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for i := range r.mem {
		r.mem[i] = 0xdd // whoever kept a part of the last frame sees it
	}
	if err := r.l.fault; err != nil {
		r.l.fault = nil
		return nil, err
	}
	if r.ended {
		return nil, io.EOF
	}
	if r.next < r.l.earliest {
		return nil, errors.New("segment is gone")
	}
	f, ok := r.l.find(r.next)
	if !ok {
		r.ended = r.l.endsForGood
		return nil, io.EOF
	}
	if r.l.onRead != nil {
		r.l.onRead(&f)
	}
	r.next = f.last + 1
	r.mem = r.mem[:0]
	size := 0
	for _, rec := range f.Records {
		size += len(rec.Body) + len(rec.Raw)
	}
	r.mem = slices.Grow(r.mem, size)
	r.out = cdc.Frame{Chain: f.Chain}
	for _, rec := range f.Records {
		at := len(r.mem)
		r.mem = append(append(r.mem, rec.Body...), rec.Raw...)
		rec.Body, rec.Raw = r.mem[at:at+len(rec.Body)], r.mem[at+len(rec.Body):]
		r.out.Records = append(r.out.Records, rec)
	}
	return &r.out, nil
}

func (r *memReader) Close() error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.l.open--
	return nil
}

// added makes the record of a document that is added.
func added(lib, id, metadata string, texts ...string) change.Record {
	c := change.DocumentChange{Time: 1_700_000_000_000_000, CreatedAt: 1_700_000_000_000_000, NumChunks: len(texts), LibraryID: lib, ID: id, Title: "T " + id, Metadata: []byte(metadata)}
	for i, t := range texts {
		c.Added = append(c.Added, change.Chunk{Num: uint64(i), ID: change.DefaultChunkID(i), Text: t,
			Vectors: []change.Vector{{Raw: change.AppendRaw(nil, []float32{0.5, float32(i)})}}})
	}
	return record(change.DocumentAdded, &c)
}

func record(k change.Kind, c *change.DocumentChange) change.Record {
	body, raw := c.Encode()
	return change.Record{Kind: k, Library: 1, Body: body, Raw: raw}
}

// patched makes the record of a document whose metadata go from before to after.
func patched(lib, id string, before, after string) change.Record {
	return record(change.DocumentPatched, &change.DocumentChange{Time: 1_700_000_000_000_001, CreatedAt: 1_700_000_000_000_000, NumChunks: 1,
		LibraryID: lib, ID: id, Title: "T2", Metadata: []byte(after), Prev: &change.Image{Seq: 1, Title: "T1", Metadata: []byte(before)},
		Touched: []change.ChunkRef{{Num: 0, ID: "0"}}})
}

func deleted(lib, id, metadata string) change.Record {
	return record(change.DocumentDeleted, &change.DocumentChange{Time: 1_700_000_000_000_002, CreatedAt: 1_700_000_000_000_000,
		LibraryID: lib, ID: id, Title: "T", Metadata: []byte(metadata), Prev: &change.Image{Seq: 2, Title: "T", Metadata: []byte(metadata)},
		Killed: []change.ChunkRef{{Num: 0, ID: "0"}}})
}

func library(k change.Kind, id string) change.Record {
	c := change.LibraryChange{Time: 1_700_000_000_000_000, CreatedAt: 1_700_000_000_000_000, ID: id, Settings: []byte(`{"id":"` + id + `"}`)}
	if k != change.LibraryCreated {
		c.PrevSeq, c.PrevSettings = 1, []byte(`{"id":"`+id+`","name":"old"}`)
	}
	return change.Record{Kind: k, Library: 1, Body: c.Encode()}
}

func control() change.Record {
	return change.Record{Kind: change.ControlSource, Body: (&change.Source{Name: "s"}).Encode()}
}

func one(r change.Record) []change.Record { return []change.Record{r} }

// numbered commits n documents, per of them a frame, in groups of the given size.
func (l *memLog) numbered(n, perFrame, group int) {
	for i := 0; i < n; {
		var groups [][]change.Record
		for k := 0; k < perFrame && i < n; {
			var g []change.Record
			for len(g) < group && i < n {
				g = append(g, added("papers", fmt.Sprintf("doc-%d", i), fmt.Sprintf(`{"n":%d}`, i%10), "text"))
				i++
			}
			k += len(g)
			groups = append(groups, g)
		}
		l.commit(groups...)
	}
}

// contains is a filter that looks for a piece of the metadata.
type contains string

func (m contains) Match(doc, chunk []byte) bool {
	return strings.Contains(string(doc), string(m)) || strings.Contains(string(chunk), string(m))
}
