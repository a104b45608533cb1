package wal

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A segmentFile is a segment that is being written, by one writer at a time.
//
// Its whole length is allocated before the segment has a name: a sync of bytes
// that the file has already need not write its size (DESIGN.md, "Preallocation",
// has the figures), and a file that has lost its end is noticed by its length.
type segmentFile struct {
	vfs.File
	name string
	// filled is up to where its blocks have been written; behind it commits are
	// slower.
	filled int64
}

var zeros [1 << 20]byte

// pageSize is the unit of the page cache; where it is larger, only the gain of
// padding is lost.
const pageSize = 4 << 10

// fillStep is how many zeros are written before they are synced: 64 MiB in one
// sync would hold up the commits that are synced meanwhile.
const fillStep = 8 << 20

// zeroFill writes n zero bytes at offset and syncs them, the file's size too.
func zeroFill(f vfs.File, offset, n int64) error {
	for step := int64(0); n > 0; {
		k := min(n, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:k], offset); err != nil {
			return err
		}
		offset, n = offset+k, n-k
		if step += k; step >= fillStep && n > 0 {
			if err := f.SyncData(); err != nil {
				return err
			}
			step = 0
		}
	}
	return f.Sync()
}

// finish closes the file, once. A size above 0 cuts off what was allocated
// behind it, where the file system can.
func (f *segmentFile) finish(size int64) error {
	file := f.File
	if f.File = nil; file == nil {
		return nil
	}
	if size > 0 {
		truncate(file, size)
	}
	return file.Close()
}

// A preparedFile is the next segment's file, under a name that no start takes
// for a segment.
type preparedFile struct {
	id   uint64
	file *segmentFile
}

const preparedPrefix, preparedSuffix = "next-", ".tmp"

func isPrepared(name string) bool {
	return strings.HasPrefix(name, preparedPrefix) && strings.HasSuffix(name, preparedSuffix)
}

func (p *preparedFile) discard(fs vfs.FS) {
	p.file.finish(0)
	fs.Remove(p.file.name)
}

func (l *Log) path(name string) string { return l.o.FS.PathJoin(l.o.Dir, name) }

// prepareFile makes a segment's file.
func (l *Log) prepareFile(fill int64) (preparedFile, error) {
	id, err := newSegmentID(l.o.Rand)
	if err != nil {
		return preparedFile{}, err
	}
	name := l.path(fmt.Sprintf("%s%016x%s", preparedPrefix, id, preparedSuffix))
	created, err := l.o.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return preparedFile{}, err
	}
	if err := created.Close(); err != nil {
		return preparedFile{}, err
	}
	f, err := l.o.FS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return preparedFile{}, err
	}
	fill = min(fill, l.o.SegmentSize)
	if err := preallocate(f, l.o.SegmentSize, fill); err != nil {
		return preparedFile{}, errors.Join(err, f.Close(), l.o.FS.Remove(name))
	}
	return preparedFile{id, &segmentFile{File: f, name: name, filled: fill}}, nil
}

// prepareNext makes the next segment's file in the background.
func (l *Log) prepareNext() { l.tasks.Go(l.prepareAhead) }

// prepareAgain is how long a segment that could not be made is not tried again.
const prepareAgain = 100 * time.Millisecond

func (l *Log) prepareAhead() {
	l.preparing.Lock()
	defer l.preparing.Unlock()
	if len(l.prepared) > 0 || l.starved.Load() != nil && time.Since(l.tried) < prepareAgain {
		return
	}
	l.tried = time.Now()
	p, err := l.prepareFile(l.o.SegmentSize)
	if err != nil {
		if l.starved.Swap(&err) == nil {
			l.o.Logger.Warn("the next segment of the log could not be made ahead", "err", err)
		}
		return
	}
	l.starved.Store(nil)
	select {
	case l.prepared <- p:
	default:
		p.discard(l.o.FS)
	}
}

// Room returns why the log should not be given more: the segment that is written is
// nearly full, and the next one could not be made. It is tried again first. What is
// given to the log all the same poisons it where there is no room indeed.
func (l *Log) Room() error {
	if l.starved.Load() == nil {
		return nil
	}
	l.mu.RLock()
	end := l.segments[len(l.segments)-1].end
	l.mu.RUnlock()
	// A frame is under way, and this one would follow it.
	if end+2*MaxFrameBytes <= l.o.SegmentSize || len(l.prepared) > 0 {
		return nil
	}
	l.prepareAhead()
	if err := l.starved.Load(); err != nil {
		return *err
	}
	return nil
}

// begin makes a segment's file: header first, synced, then its name, so that a
// named segment always has a whole header.
func (l *Log) begin(seg *segment) (*segmentFile, error) {
	var p preparedFile
	select {
	case p = <-l.prepared:
	default:
		var err error
		if p, err = l.prepareFile(l.o.FillNow); err != nil {
			return nil, err
		}
	}
	seg.id = p.id
	seg.name, seg.allocated = segmentName(seg.firstSeq, seg.id), l.o.SegmentSize
	if _, err := p.file.WriteAt(seg.encode(), 0); err != nil {
		return nil, errors.Join(err, p.file.finish(0))
	}
	if err := p.file.Sync(); err != nil {
		return nil, errors.Join(err, p.file.finish(0))
	}
	if err := l.o.FS.Rename(p.file.name, l.path(seg.name)); err != nil {
		return nil, errors.Join(err, p.file.finish(0))
	}
	p.file.name = l.path(seg.name)
	if err := syncDir(l.o.FS, l.o.Dir); err != nil {
		return nil, errors.Join(err, p.file.finish(0))
	}
	return p.file, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cachedBytes is how much of the log's end is left in the page cache. Readers
// that are near the end read from memory; the rest of the machine's memory is
// for the store and the rows.
const cachedBytes = 1 << 30

// uncacheOld lets go of the cached pages of the segment that has just fallen
// behind the last cachedBytes, in the background. Callers hold writeMu.
func (l *Log) uncacheOld() {
	name, size := "", int64(0)
	for i := len(l.segments) - 1; i >= 0 && name == ""; i-- {
		if size += l.segments[i].end; size > cachedBytes {
			name = l.segments[i].name
		}
	}
	if name == "" {
		return
	}
	l.tasks.Go(func() {
		if f, err := l.o.FS.Open(l.path(name)); err == nil {
			uncache(f)
			_ = f.Close()
		}
	})
}
