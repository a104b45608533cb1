package wal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// Defaults of Options.
const (
	DefaultSegmentSize = 64 << 20
	MinSegmentSize     = 4 << 10
	MaxSegmentSize     = 1 << 30
	DefaultMarkDelay   = 75 * time.Millisecond
	// DefaultFillNow: all of a 64 MiB segment takes some 45 ms, which the background
	// has.
	DefaultFillNow = 2 << 20
)

// Options configures Open. The zero value of a field means its default.
type Options struct {
	FS          vfs.FS // default: the operating system's
	Dir         string
	SegmentSize int64         // bytes; a larger frame makes its segment larger
	FillNow     int64         // bytes of a segment that are written with zeros where somebody waits for it
	MarkDelay   time.Duration // after the last commit; negative: never, only at Close
	// NoCompression writes records as they are.
	NoCompression bool
	// MustReach is what some view of the log contains durably: a log that ends
	// before it has lost acknowledged changes.
	MustReach change.Stamp
	Now       func() time.Time
	Rand      io.Reader // of ids and epochs
	Logger    *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < MinSegmentSize || o.SegmentSize > MaxSegmentSize {
		return o, fmt.Errorf("segment size %d is not between %d and %d", o.SegmentSize, MinSegmentSize, MaxSegmentSize)
	}
	if o.FillNow == 0 {
		o.FillNow = DefaultFillNow
	}
	if o.MarkDelay == 0 {
		o.MarkDelay = DefaultMarkDelay
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// An End is a place behind a frame: what the log holds up to there.
type End struct {
	change.Stamp
	// Chain is the check of positions at Seq: the chain after the last frame
	// that holds a change.
	Chain uint32
	// Time of the last commit, µs since 1970 UTC.
	Time int64
}

// A Log is the segmented log in one directory. Append is for one caller at a
// time; everything else may be called from any goroutine.
//
// Promises:
//  1. When Append returns without error its frame is durable, whole.
//  2. Commits are numbered from 1 without gaps, changes too; neither number is
//     ever given twice, also across crashes, for what a reader has seen.
//  3. Readers see durable frames only.
//  4. After a failed write or sync no Append succeeds (ErrPoisoned).
//  5. Open returns a log that ends at or behind every acknowledged frame, or a
//     CorruptionError.
//
// Lock order: writeMu, then mu.
type Log struct {
	o       Options
	lineage // guarded by mu: the floor and its chain, which trim moves
	trim    trimming

	// writeMu is held by whoever writes the last segment: Append, the mark, Close.
	writeMu  sync.Mutex
	file     *segmentFile
	offset   int64  // where the next frame goes
	durable  int64  // Invariant: every byte of the file below it has been synced
	lastMS   uint32 // Invariant: times of a segment's frames never fall
	chain    uint32
	marked   bool // a MARK stands behind the last commit
	buf      []byte
	scratch  []byte
	poison   atomic.Pointer[error]
	closed   bool
	prepared chan preparedFile // at most one file made ahead
	// preparing is held while a file is made ahead; starved is why the last one could
	// not be made.
	preparing sync.Mutex
	starved   atomic.Pointer[error]
	tried     time.Time

	// mu guards the list of segments, and the last segment's moving fields.
	mu       sync.RWMutex
	segments []*segment
	end      atomic.Pointer[End]

	activity atomic.Int64 // counts commits, so that the mark sees a pause
	stop     chan struct{}
	tasks    sync.WaitGroup
	stats    counters
}

// Identity returns the log's id and the epochs of its history.
func (l *Log) Identity() (id [16]byte, lineage change.Lineage) { return l.id, l.epochs }

// Durable returns the end of what is durable.
func (l *Log) Durable() End { return *l.end.Load() }

// Earliest returns the lowest seq that is in the log, or would be next in an
// empty one.
func (l *Log) Earliest() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.segments[0].firstSeq
}

// Err returns why the log takes no more writes, or nil.
func (l *Log) Err() error {
	if err := l.poison.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *Log) fail(err error) error {
	err = fmt.Errorf("%w: %w", ErrPoisoned, err)
	if l.poison.CompareAndSwap(nil, &err) {
		l.o.Logger.Error("the log failed; writes are refused until a restart", "err", err)
	}
	return l.Err()
}

// last is the segment that is written. Callers hold writeMu or mu.
func (l *Log) last() *segment { return l.segments[len(l.segments)-1] }

// Append writes records, one or several whole groups, as one frame and syncs
// it. It is not for concurrent use. Records of changes carry their seqs: the
// first one's is Durable().Seq+1. commitTime is in µs since 1970 UTC.
//
// Any error but ErrTooLarge and ErrClosed poisons the log, and the outcome of
// this frame is unknown: the next start may find it.
func (l *Log) Append(recs []change.Record, commitTime int64) (End, error) {
	if len(recs) == 0 || len(recs) > MaxRecords || payloadSize(recs) > MaxFrameBytes-frameHeaderSize {
		return End{}, fmt.Errorf("%w: %d records of %d bytes, at most %d of %d", ErrTooLarge, len(recs), payloadSize(recs), MaxRecords, MaxFrameBytes)
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.Err(); err != nil {
		return End{}, err
	}
	if l.closed {
		return End{}, ErrClosed
	}
	var h frameHeader
	l.buf, l.scratch, h = appendFrame(l.buf[:0], recs, !l.o.NoCompression, l.scratch)
	l.buf = slices.Grow(l.buf, pageSize) // for padded
	if l.full(int64(len(l.buf)), commitTime) {
		if err := l.roll(commitTime); err != nil {
			return End{}, l.fail(err)
		}
	}
	end := *l.end.Load()
	for i, next := 0, end.Seq+1; i < len(recs); i++ {
		if recs[i].Kind.IsControl() != (recs[i].Seq == 0) || recs[i].Seq != 0 && recs[i].Seq != next {
			return End{}, l.fail(fmt.Errorf("record %d of a frame is a %s with seq %d, the next seq is %d", i, recs[i].Kind, recs[i].Seq, next))
		}
		if recs[i].Seq != 0 {
			next++
		}
	}
	h.firstSeq, h.chain = end.Seq+1, l.chain
	end.Time = l.stampTime(&h, commitTime)
	if err := l.writeFrame(l.buf, &h); err != nil {
		return End{}, l.fail(err)
	}
	start := time.Now()
	if err := l.file.SyncData(); err != nil {
		return End{}, l.fail(fmt.Errorf("syncing %s: %w", l.last().name, err))
	}
	l.stats.synced(time.Since(start))
	return l.committed(&h, recs, end), nil
}

// maxSegmentSpan is the time from a segment's base to its last frame, of which a
// frame holds the milliseconds in 32 bits: 49 days.
const maxSegmentSpan = 30 * 24 * time.Hour

// full reports whether n more bytes belong into the next segment: there is no
// room for them, or they would lie behind what is written with zeros of a segment
// that somebody had to wait for, and a better one is ready, or the segment's base
// time is too far back.
func (l *Log) full(n, commitTime int64) bool {
	end := l.offset + n
	return l.offset > segmentHeaderSize && (end > l.o.SegmentSize || end > l.file.filled && len(l.prepared) > 0 ||
		commitTime-l.last().baseTime > maxSegmentSpan.Microseconds())
}

// stampTime sets the frame's time, which never falls within a segment, and
// returns it in µs.
func (l *Log) stampTime(h *frameHeader, commitTime int64) int64 {
	base := l.last().baseTime
	ms := max((commitTime-base)/1000, int64(l.lastMS))
	h.ms = uint32(min(ms, 1<<32-1))
	return base + int64(h.ms)*1000
}

// writeFrame completes the frame in b and writes it at the end.
func (l *Log) writeFrame(b []byte, h *frameHeader) error {
	seg := l.last()
	h.durable, h.version = uint64(l.durable), frameVersion
	h.encode(b, seg.id)
	if _, err := l.file.WriteAt(l.padded(b), l.offset); err != nil {
		return fmt.Errorf("writing %s at byte %d: %w", seg.name, l.offset, err)
	}
	l.lastMS = h.ms
	return nil
}

// padded appends zeros up to the next page, within what is allocated: zeros are
// there already, and a page that is written whole need not be read first (files
// are filled past the page cache).
func (l *Log) padded(b []byte) []byte {
	end := l.offset + int64(len(b))
	pad := -end & (pageSize - 1)
	if end+pad > l.last().allocated {
		return b
	}
	return append(b, zeros[:pad]...)
}

// committed moves everything by a frame that has been synced.
func (l *Log) committed(h *frameHeader, recs []change.Record, end End) End {
	end.Commit++
	l.chain = h.after()
	for i := len(recs) - 1; i >= 0; i-- {
		if recs[i].Seq != 0 {
			end.Seq, end.Chain = recs[i].Seq, l.chain
			break
		}
	}
	l.mu.Lock()
	seg := l.last()
	seg.note(h, end.Commit, l.offset)
	seg.lastCommit, seg.endChain, seg.end = end.Commit, l.chain, l.offset+h.size()
	if h.flags&flagNoSeq == 0 {
		seg.lastSeq, seg.seqChain, seg.hasSeq = end.Seq, l.chain, true
	}
	l.mu.Unlock()
	l.offset += h.size()
	l.durable = l.offset
	l.marked = false
	l.activity.Add(1)
	l.stats.committed(len(recs), h)
	l.end.Store(&end)
	return end
}

// mark writes a MARK behind the last commit: it commits to what is durable, so
// that damage to the last frame is told from a torn tail. It is not synced by
// itself. Callers hold writeMu.
func (l *Log) mark() error {
	if l.marked || l.offset == segmentHeaderSize {
		return nil
	}
	h := frameHeader{firstSeq: l.end.Load().Seq + 1, flags: flagMark, chain: l.chain, ms: l.lastMS}
	if err := l.writeFrame(make([]byte, frameHeaderSize), &h); err != nil {
		return err
	}
	l.offset += frameHeaderSize
	l.marked = true
	return nil
}

// marks runs until the log is closed: it writes a MARK where no commit has come
// for MarkDelay.
func (l *Log) marks() {
	t := time.NewTicker(l.o.MarkDelay)
	defer t.Stop()
	seen := l.activity.Load()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
		}
		if now := l.activity.Load(); now != seen {
			seen = now
			continue
		}
		l.writeMu.Lock()
		if !l.closed && l.Err() == nil {
			if err := l.mark(); err != nil {
				l.fail(err)
			}
		}
		l.writeMu.Unlock()
	}
}

// roll seals the last segment and begins the next one, for a frame of that commit
// time. Callers hold writeMu.
func (l *Log) roll(commitTime int64) error {
	if err := l.sealLast(); err != nil {
		return err
	}
	end := l.end.Load()
	seg := &segment{segmentHeader: segmentHeader{version: FormatVersion, logID: l.id, firstSeq: end.Seq + 1, epoch: l.epochs.Current(),
		baseTime: max(end.Time, commitTime), firstCommit: end.Commit + 1, chain: l.chain}}
	file, err := l.begin(seg)
	if err != nil {
		return err
	}
	l.use(seg, file)
	l.uncacheOld()
	return nil
}

// sealLast ends the last segment with a SEAL and syncs it.
func (l *Log) sealLast() error {
	seg := l.last()
	l.mu.RLock()
	payload := seg.sealPayload(l.offset)
	l.mu.RUnlock()
	h := sealHeader(seg, payload, l.lastMS, l.chain)
	if err := l.writeFrame(append(make([]byte, frameHeaderSize, h.size()), payload...), &h); err != nil {
		return err
	}
	if err := l.file.SyncData(); err != nil {
		return fmt.Errorf("syncing %s: %w", seg.name, err)
	}
	l.mu.Lock()
	seg.sealed, seg.end, seg.endChain = true, l.offset+h.size(), l.chain
	l.mu.Unlock()
	return l.file.finish(seg.end)
}

func sealHeader(seg *segment, payload []byte, ms uint32, chain uint32) frameHeader {
	return frameHeader{firstSeq: seg.lastSeq + 1, stored: uint32(len(payload)), flags: flagSeal, version: frameVersion, chain: chain,
		payloadCRC: crcOf(payload), ms: ms}
}

// use makes a new segment the last one.
func (l *Log) use(seg *segment, file *segmentFile) {
	seg.end = segmentHeaderSize
	seg.lastSeq, seg.lastCommit, seg.endChain = seg.firstSeq-1, seg.firstCommit-1, seg.chain
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.mu.Unlock()
	l.file, l.offset, l.durable, l.lastMS, l.marked = file, segmentHeaderSize, segmentHeaderSize, 0, false
	l.chain = seg.chain
	l.prepareNext()
}

// Close writes a MARK, syncs and closes the log. It may be called twice.
func (l *Log) Close() error {
	l.writeMu.Lock()
	if l.closed {
		l.writeMu.Unlock()
		return nil
	}
	l.closed = true
	var err error
	if l.Err() == nil {
		if err = l.mark(); err == nil {
			err = l.file.SyncData()
		}
	}
	l.writeMu.Unlock()
	close(l.stop)
	l.tasks.Wait()
	select {
	case p := <-l.prepared:
		p.discard(l.o.FS)
	default:
	}
	if cerr := l.file.finish(0); err == nil {
		err = cerr
	}
	return err
}

func newSegmentID(r io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
