package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// readWindow is how much a reader reads at once. 256 KiB keeps one system call
// per 256 KiB of log and fits the second-level cache.
const readWindow = 256 << 10

// A Frame is one commit as a reader sees it. Frames and their bytes are never
// modified, so readers may share them.
type Frame struct {
	FirstSeq uint64 // of the next change, where the frame holds control records only
	LastSeq  uint64 // FirstSeq-1 where it holds no change
	Commit   uint64
	Time     int64  // of the commit, µs since 1970 UTC
	Chain    uint32 // after this frame: the check of positions at its seqs
	Records  []change.Record
	Segment  string // file name
	Offset   int64  // of the frame in it
	Size     int    // in the file
}

// Stamp returns the stamp of a view that has taken this frame.
func (f *Frame) Stamp() change.Stamp { return change.Stamp{Seq: f.LastSeq, Commit: f.Commit} }

// ReaderStart says where a reader begins: with the first frame that holds a
// change with a seq of at least Seq, or with the frame numbered Commit. One of
// the two is set.
type ReaderStart struct {
	Seq    uint64
	Commit uint64
}

// A Reader reads the commits of a log in order. It is for one goroutine at a
// time. It checks CRCs and the chain of everything that it reads.
type Reader struct {
	l       *Log
	seg     *segment
	file    vfs.File
	offset  int64
	commit  uint64 // of the next frame
	seq     uint64 // next seq
	chain   uint32
	minSeq  uint64 // frames before the one that holds it are passed over
	window  []byte
	winFrom int64
}

// NewReader returns a reader. It fails with an *ExpiredError where the start is
// no longer in the log. A start behind the end is fine: the reader waits there.
func (l *Log) NewReader(from ReaderStart) (*Reader, error) {
	r := &Reader{l: l, minSeq: from.Seq}
	l.mu.RLock()
	defer l.mu.RUnlock()
	var i int
	if from.Commit > 0 {
		i = sort.Search(len(l.segments), func(i int) bool { return l.segments[i].firstCommit > from.Commit }) - 1
	} else {
		i = sort.Search(len(l.segments), func(i int) bool { return l.segments[i].firstSeq > max(from.Seq, 1) }) - 1
	}
	if i < 0 {
		return nil, &ExpiredError{Asked: from.Seq, Earliest: l.segments[0].firstSeq}
	}
	seg := l.segments[i]
	e := seg.find(func(e *indexEntry) bool {
		if from.Commit > 0 {
			return e.commit <= from.Commit
		}
		return e.seq <= from.Seq
	})
	r.commit, r.seq, r.chain, r.offset = e.commit, e.seq, e.chain, e.offset
	if err := r.open(seg); err != nil {
		return nil, err
	}
	if from.Commit > 0 {
		return r, r.skipTo(from.Commit)
	}
	return r, nil
}

// skipTo passes over the frames before commit. Callers hold l.mu.
func (r *Reader) skipTo(commit uint64) error {
	for r.commit < commit {
		if _, err := r.frame(); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	return nil
}

func (r *Reader) open(seg *segment) error {
	f, err := r.l.o.FS.Open(r.l.path(seg.name))
	if errors.Is(err, fs.ErrNotExist) {
		// It may have been trimmed since it was looked up.
		if earliest, trimmed := r.l.isTrimmed(seg); trimmed {
			return &ExpiredError{Asked: r.seq, Earliest: earliest}
		}
	}
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if r.file != nil {
		if err := r.file.Close(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	r.seg, r.file, r.window = seg, f, r.window[:0]
	return nil
}

// Next returns the next frame whose commit is at most limit, and durable. Where
// there is none now it returns io.EOF: call it again later to go on. Any other
// error but an *ExpiredError means that the log cannot be read there.
func (r *Reader) Next(limit uint64) (*Frame, error) {
	limit = min(limit, r.l.end.Load().Commit)
	for r.commit <= limit {
		f, err := r.frame()
		if err != nil {
			return nil, err
		}
		if r.minSeq > 0 && f.LastSeq < r.minSeq {
			continue
		}
		r.minSeq = 0
		return f, nil
	}
	return nil, io.EOF
}

// frame reads the next commit, which is durable.
func (r *Reader) frame() (*Frame, error) {
	for {
		b, err := r.peek(frameHeaderSize)
		if err != nil {
			return nil, err
		}
		var h frameHeader
		if !h.decode(b, r.seg.id) {
			// The window may have been read before these bytes were written.
			if b, err = r.reload(frameHeaderSize); err != nil {
				return nil, err
			}
			if !h.decode(b, r.seg.id) {
				return nil, r.corrupt("no valid frame header")
			}
		}
		if h.flags&flagMark != 0 {
			r.offset += h.size()
			continue
		}
		if h.flags&flagSeal != 0 {
			if err := r.nextSegment(); err != nil {
				return nil, err
			}
			continue
		}
		return r.commitFrame(&h)
	}
}

func (r *Reader) commitFrame(h *frameHeader) (*Frame, error) {
	if err := checkHeader(h, r.chain, r.seq); err != nil {
		return nil, r.corrupt(err.Error())
	}
	b, err := r.peek(int(h.size()))
	if err != nil {
		return nil, err
	}
	if crcOf(b[frameHeaderSize:frameHeaderSize+int(h.stored)]) != h.payloadCRC {
		if b, err = r.reload(int(h.size())); err != nil {
			return nil, err
		}
	}
	payload := append([]byte(nil), b[frameHeaderSize:frameHeaderSize+int(h.stored)]...)
	if got := crcOf(payload); got != h.payloadCRC {
		return nil, r.corrupt(fmt.Sprintf("payload CRC %08x, its bytes give %08x", h.payloadCRC, got))
	}
	recs, err := decodeRecords(h, payload)
	if err != nil {
		return nil, r.corrupt(err.Error())
	}
	f := &Frame{FirstSeq: h.firstSeq, LastSeq: h.firstSeq - 1, Commit: r.commit, Time: r.seg.baseTime + int64(h.ms)*1000, Chain: h.after(),
		Records: recs, Segment: r.seg.name, Offset: r.offset, Size: int(h.size())}
	for i := len(recs) - 1; i >= 0 && h.flags&flagNoSeq == 0; i-- {
		if recs[i].Seq != 0 {
			f.LastSeq = recs[i].Seq
			break
		}
	}
	r.offset += h.size()
	r.commit++
	r.seq = f.LastSeq + 1
	r.chain = f.Chain
	return f, nil
}

// nextSegment goes on behind a seal.
func (r *Reader) nextSegment() error {
	l := r.l
	l.mu.RLock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].firstCommit >= r.commit })
	// A segment whose frames recovery has moved is empty and begins at the same
	// commit as the one that took them over.
	for i < len(l.segments) && (l.segments[i] == r.seg || l.segments[i].sealed && l.segments[i].lastCommit < r.commit) {
		i++
	}
	var seg *segment
	if i < len(l.segments) {
		seg = l.segments[i]
	}
	first := l.segments[0]
	l.mu.RUnlock()
	if seg == nil || seg.firstCommit != r.commit {
		if r.commit < first.firstCommit {
			return &ExpiredError{Asked: r.seq, Earliest: first.firstSeq}
		}
		return r.corrupt("an end mark, and no segment follows")
	}
	if seg.chain != r.chain {
		return r.corrupt(fmt.Sprintf("chain %08x at the end, %s begins with %08x", r.chain, seg.name, seg.chain))
	}
	r.offset = segmentHeaderSize
	return r.open(seg)
}

// peek returns the n bytes at r.offset.
func (r *Reader) peek(n int) ([]byte, error) {
	if at := r.offset - r.winFrom; len(r.window) > 0 && at >= 0 && at+int64(n) <= int64(len(r.window)) {
		return r.window[at : at+int64(n)], nil
	}
	return r.reload(n)
}

// reload reads the window anew from r.offset on.
func (r *Reader) reload(n int) ([]byte, error) {
	size := max(readWindow, n)
	if cap(r.window) < size {
		r.window = make([]byte, size)
	}
	w := r.window[:size]
	got, err := r.file.ReadAt(w, r.offset)
	if noEOF(err) != nil {
		r.window = r.window[:0]
		return nil, fmt.Errorf("reading %s at byte %d: %w", r.l.path(r.seg.name), r.offset, err)
	}
	r.window, r.winFrom = w[:got], r.offset
	if got < n {
		return nil, r.corrupt(fmt.Sprintf("the file ends %d bytes later, a frame takes %d", got, n))
	}
	return r.window[:n], nil
}

func (r *Reader) corrupt(detail string) error {
	return &CorruptionError{File: r.l.path(r.seg.name), Offset: r.offset, FirstSeq: r.seq, Detail: detail}
}

// Close ends the reader.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// ChainAt returns the chain after the frame that holds the change seq: the check
// of positions at seq. The place before the first change in the log has one too.
func (l *Log) ChainAt(seq uint64) (uint32, error) {
	end := l.end.Load()
	l.mu.RLock()
	first := l.segments[0]
	before := l.chainBefore(first)
	l.mu.RUnlock()
	switch {
	case seq == end.Seq:
		return end.Chain, nil
	case seq > end.Seq:
		return 0, fmt.Errorf("seq %d is past the end of the log, %d", seq, end.Seq)
	case seq+1 < first.firstSeq:
		return 0, &ExpiredError{Asked: seq, Earliest: first.firstSeq}
	case seq+1 == first.firstSeq:
		return before, nil
	}
	r, err := l.NewReader(ReaderStart{Seq: seq})
	if err != nil {
		return 0, err
	}
	f, err := r.Next(end.Commit)
	if err := errors.Join(err, r.Close()); err != nil {
		return 0, err
	}
	return f.Chain, nil
}
