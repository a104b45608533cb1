package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// trimming serialises what removes segments.
type trimming struct {
	sync.Mutex
	// left are segments below the floor that could not be removed.
	left []*segment
}

// A SegmentSpan is what retention has to know of a segment.
type SegmentSpan struct {
	Name        string
	FirstSeq    uint64
	LastSeq     uint64 // FirstSeq-1 where it holds no change
	FirstCommit uint64
	LastCommit  uint64
	EndTime     int64 // not before its last commit, µs since 1970 UTC; of the last segment: that of its last commit
	Bytes       int64
}

// Segments returns the segments in order.
func (l *Log) Segments() []SegmentSpan {
	l.mu.RLock()
	defer l.mu.RUnlock()
	spans := make([]SegmentSpan, len(l.segments))
	for i, s := range l.segments {
		spans[i] = SegmentSpan{Name: s.name, FirstSeq: s.firstSeq, LastSeq: s.lastSeq, FirstCommit: s.firstCommit, LastCommit: s.lastCommit, EndTime: l.end.Load().Time, Bytes: s.end}
		if i+1 < len(l.segments) {
			spans[i].EndTime = l.segments[i+1].baseTime
		}
	}
	return spans
}

// Trim removes the leading segments that end before a commit; the last segment
// always stays. The plan is made durable first: a start finds what was cut off, and
// completes it. Readers that are in the middle of a removed segment read it to its
// end, and are then told that they are too late.
func (l *Log) Trim(before uint64) (segments int, bytes int64, err error) {
	l.trim.Lock()
	defer l.trim.Unlock()
	if err := l.Err(); err != nil {
		return 0, 0, err
	}
	l.mu.RLock()
	var gone []*segment
	next := l.lineage
	for i, s := range l.segments[:len(l.segments)-1] {
		if s.lastCommit >= before {
			break
		}
		gone = append(gone, s)
		next.floor = l.segments[i+1].firstCommit
		if s.hasSeq {
			next.floorChain = s.seqChain
		}
		bytes += s.end
	}
	l.mu.RUnlock()
	if len(gone) > 0 {
		if err := next.write(l.o.FS, l.o.Dir); err != nil {
			return 0, 0, fmt.Errorf("trimming the log: %w", err)
		}
		l.writeMu.Lock() // the writer looks at its segment under this one alone
		l.mu.Lock()
		l.floor, l.floorChain = next.floor, next.floorChain
		l.segments = append(l.segments[:0:0], l.segments[len(gone):]...)
		l.mu.Unlock()
		l.writeMu.Unlock()
	}
	gone = append(l.trim.left, gone...)
	l.trim.left = nil
	return len(gone), bytes, l.remove(gone)
}

// remove removes the files of segments below the floor.
func (l *Log) remove(segs []*segment) error {
	if len(segs) == 0 {
		return nil
	}
	var errs []error
	for _, s := range segs {
		if err := l.o.FS.Remove(l.path(s.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.trim.left = append(l.trim.left, s)
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncDir(l.o.FS, l.o.Dir))...)
}

// belowFloor splits off the segments that a trimming has left behind.
func (l *Log) belowFloor(segs []*segment) (below, rest []*segment) {
	n := 0
	for n+1 < len(segs) && segs[n+1].firstCommit <= l.floor {
		n++
	}
	return segs[:n:n], segs[n:]
}

// chainBefore returns the chain after the last change before the first segment: the
// check of the position there.
func (l *Log) chainBefore(first *segment) uint32 {
	if first.firstCommit == l.floor {
		return l.floorChain
	}
	return first.chain
}

func (l *Log) isTrimmed(s *segment) (earliest uint64, yes bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	first := l.segments[0]
	return first.firstSeq, s.lastCommit < first.firstCommit
}
