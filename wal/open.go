package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// RecoveryInfo says what Open found.
type RecoveryInfo struct {
	// Clean says that the log ended where it should: nothing was torn, and all
	// frames had been committed to.
	Clean bool
	// TornFile is where the bytes of a torn tail were kept, "" without one.
	TornFile  string
	TornBytes int64
	// Moved is how many frames were behind the last commitment, and were written
	// again into a new segment and synced.
	Moved    int
	Segments int
	End      End
}

// Open opens the log in o.Dir and recovers it; an empty directory becomes a new
// log. It fails with a *CorruptionError where acknowledged frames are missing or
// damaged, and then has changed nothing.
func Open(o Options) (*Log, RecoveryInfo, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, RecoveryInfo{}, err
	}
	l := &Log{o: o, stop: make(chan struct{}), prepared: make(chan preparedFile, 1)}
	info, err := l.open()
	if err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.finish(0))
		}
		return nil, info, err
	}
	if o.MarkDelay > 0 {
		l.tasks.Go(l.marks)
	}
	l.prepareNext()
	return l, info, nil
}

func (l *Log) open() (RecoveryInfo, error) {
	info := RecoveryInfo{Clean: true}
	if err := l.o.FS.MkdirAll(l.o.Dir, 0o755); err != nil {
		return info, err
	}
	// What is listed may have been made by a process that ended before it had
	// synced the directory.
	for _, dir := range []string{l.o.FS.PathDir(l.o.Dir), l.o.Dir} {
		if err := syncDir(l.o.FS, dir); err != nil {
			return info, err
		}
	}
	segs, leftovers, err := listSegments(l.o.FS, l.o.Dir)
	if err != nil {
		return info, err
	}
	for _, name := range leftovers {
		if err := l.o.FS.Remove(l.path(name)); err != nil {
			return info, err
		}
	}
	l.lineage, err = readLineage(l.o.FS, l.o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(segs) == 0:
		if l.o.MustReach.Commit > 0 {
			return info, l.missing(l.o.Dir, 0, 1, "the directory holds no log")
		}
		return info, l.create()
	case errors.Is(err, fs.ErrNotExist):
		return info, &CorruptionError{File: l.path(lineageName), FirstSeq: 1, Detail: fmt.Sprintf("it is missing, and there are %d segments", len(segs))}
	case err != nil:
		return info, err
	}
	if len(segs) == 0 {
		if l.o.MustReach.Commit > 0 {
			return info, l.missing(l.o.Dir, 0, 1, "the directory holds no segments")
		}
		return info, l.createSegment()
	}
	below, segs := l.belowFloor(segs)
	info, err = l.recover(segs)
	if err != nil {
		return info, err
	}
	return info, l.remove(below)
}

func (l *Log) missing(file string, offset int64, seq uint64, what string) *CorruptionError {
	return &CorruptionError{File: file, Offset: offset, FirstSeq: seq, LastSeq: l.o.MustReach.Seq,
		Detail: fmt.Sprintf("%s; the store or an index holds everything up to %s: acknowledged changes are gone from the log", what, l.o.MustReach)}
}

func (l *Log) create() error {
	var err error
	if l.id, err = newLogID(l.o.Rand); err != nil {
		return err
	}
	epoch, err := newEpoch(l.o.Rand)
	if err != nil {
		return err
	}
	l.epochs, l.floor, l.floorChain = change.Lineage{{Epoch: epoch, FirstSeq: 1}}, 1, crcOf(l.id[:])
	if err := l.lineage.write(l.o.FS, l.o.Dir); err != nil {
		return err
	}
	return l.createSegment()
}

func (l *Log) createSegment() error {
	chain := crcOf(l.id[:])
	seg := &segment{segmentHeader: segmentHeader{version: FormatVersion, logID: l.id, firstSeq: 1, epoch: l.epochs.Current(),
		baseTime: l.o.Now().UnixMicro(), firstCommit: 1, chain: chain}}
	file, err := l.begin(seg)
	if err != nil {
		return err
	}
	l.end.Store(&End{Chain: chain, Time: seg.baseTime})
	l.use(seg, file)
	return nil
}

// listSegments reads the headers of all segments and puts them in order.
// leftovers are files that were being made when the process ended.
func listSegments(fsys vfs.FS, dir string) (segs []*segment, leftovers []string, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, nil, err
	}
	sort.Strings(names)
	for _, name := range names {
		if isPrepared(name) || strings.HasSuffix(name, ".tmp") {
			leftovers = append(leftovers, name)
			continue
		}
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		seg := &segment{name: name}
		if err := seg.readHeader(fsys, fsys.PathJoin(dir, name)); err != nil {
			return nil, nil, err
		}
		segs = append(segs, seg)
	}
	sort.SliceStable(segs, func(i, j int) bool {
		a, b := segs[i], segs[j]
		if a.firstCommit != b.firstCommit {
			return a.firstCommit < b.firstCommit
		}
		return a.flags&flagRecovered < b.flags&flagRecovered
	})
	return segs, leftovers, nil
}

func (s *segment) readHeader(fsys vfs.FS, path string) error {
	firstSeq, id, ok := parseSegmentName(s.name)
	if !ok {
		return &CorruptionError{File: path, Detail: "its name is not <first seq>-<segment id>.seg"}
	}
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	b := make([]byte, segmentHeaderSize)
	n, err := f.ReadAt(b, 0)
	if err := errors.Join(noEOF(err), f.Close()); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := s.decode(b[:n]); err != nil {
		var newer *NewerFormatError
		if errors.As(err, &newer) {
			return fmt.Errorf("%s: %w", path, err)
		}
		return &CorruptionError{File: path, FirstSeq: firstSeq, Detail: err.Error()}
	}
	if s.firstSeq != firstSeq || s.id != id {
		return &CorruptionError{File: path, FirstSeq: firstSeq, Detail: fmt.Sprintf("its name says first seq %d and id %016x, its header %d and %016x", firstSeq, id, s.firstSeq, s.id)}
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
