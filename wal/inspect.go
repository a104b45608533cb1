package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// An Inspection is what Inspect found in a log directory.
type Inspection struct {
	ID        [16]byte
	Lineage   change.Lineage
	Segments  []SegmentInfo
	Frames    uint64 // commits, marks and seals
	Records   uint64
	Bytes     int64
	End       End
	TornBytes int64 // behind the end: never acknowledged
	Clean     bool
	Problems  []*CorruptionError
}

// A SegmentInfo describes a segment.
type SegmentInfo struct {
	Name        string       `json:"name"`
	ID          string       `json:"id"`
	Epoch       change.Epoch `json:"epoch"`
	FirstSeq    uint64       `json:"first_seq"`
	LastSeq     uint64       `json:"last_seq"`
	FirstCommit uint64       `json:"first_commit"`
	LastCommit  uint64       `json:"last_commit"`
	Sealed      bool         `json:"sealed"`
	Recovered   bool         `json:"recovered"` // begins with frames that recovery moved here
	Bytes       int64        `json:"bytes"`     // up to the last frame
	FileBytes   int64        `json:"file_bytes"`
}

// A FrameInfo describes a frame. Records is nil for a MARK and a SEAL.
type FrameInfo struct {
	Segment  string
	Offset   int64
	Kind     string // commit, mark or seal
	FirstSeq uint64
	LastSeq  uint64
	Commit   uint64
	Time     int64
	Durable  int64
	Chain    uint32 // after it
	Stored   int
	Raw      int
	Records  []change.Record
}

// Inspect reads a whole log and checks every byte of it. It writes nothing and
// needs no right to. each, when not nil, is called for each frame, and ends the
// inspection with its error. Damage is in Problems; the error says that the
// directory could not be read.
func Inspect(fsys vfs.FS, dir string, each func(*FrameInfo) error) (*Inspection, error) {
	ins := &Inspection{Clean: true}
	problem := func(err error) error {
		var c *CorruptionError
		if errors.As(err, &c) {
			ins.Problems = append(ins.Problems, c)
			return nil
		}
		return err
	}
	if fsys == nil {
		fsys = vfs.Default
	}
	lin, lerr := readLineage(fsys, dir)
	ins.ID, ins.Lineage = lin.id, lin.epochs
	segs, _, err := listSegments(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return ins, nil
	}
	if err := problem(err); err != nil {
		return nil, err
	}
	if errors.Is(lerr, fs.ErrNotExist) {
		if len(segs) > 0 {
			lerr = &CorruptionError{File: fsys.PathJoin(dir, lineageName), FirstSeq: 1, Detail: "it is missing"}
		} else {
			lerr = nil
		}
	}
	if err := problem(lerr); err != nil {
		return nil, err
	}
	l := &Log{o: Options{FS: fsys, Dir: dir}, lineage: lin}
	if lerr == nil {
		_, segs = l.belowFloor(segs)
	}
	for i := range segs {
		if lerr == nil {
			if err := problem(l.checkHeader(segs, i)); err != nil {
				return nil, err
			}
		}
		if err := ins.segment(l, segs, i, each); err != nil {
			if err = problem(err); err != nil {
				return nil, err
			}
		}
	}
	return ins, nil
}

func (ins *Inspection) segment(l *Log, segs []*segment, i int, each func(*FrameInfo) error) error {
	seg := segs[i]
	path := l.path(seg.name)
	data, err := readAll(l.o.FS, path)
	if err != nil {
		return err
	}
	info := SegmentInfo{Name: seg.name, ID: fmt.Sprintf("%016x", seg.id), Epoch: seg.epoch, FirstSeq: seg.firstSeq, FirstCommit: seg.firstCommit,
		Recovered: seg.flags&flagRecovered != 0, FileBytes: int64(len(data))}
	if i == 0 {
		ins.End = End{Stamp: change.Stamp{Seq: seg.firstSeq - 1, Commit: seg.firstCommit - 1}, Chain: l.chainBefore(seg), Time: seg.baseTime}
	} else if prev := segs[i-1]; seg.firstCommit != prev.lastCommit+1 || seg.firstSeq != prev.lastSeq+1 || seg.chain != prev.endChain {
		ins.Problems = append(ins.Problems, &CorruptionError{File: path, FirstSeq: prev.lastSeq + 1, LastSeq: max(seg.firstSeq, 1) - 1,
			Detail: fmt.Sprintf("it begins at seq %d, commit %d, chain %08x; %s ends at seq %d, commit %d, chain %08x",
				seg.firstSeq, seg.firstCommit, seg.chain, prev.name, prev.lastSeq, prev.lastCommit, prev.endChain)})
	}
	sc := newScan(seg, data)
	stop, uncommitted, err := ins.frames(seg, sc, each)
	if err != nil {
		return err
	}
	seg.lastSeq, seg.lastCommit, seg.endChain = sc.seq-1, sc.commit-1, sc.chain
	info.LastSeq, info.LastCommit, info.Bytes, info.Sealed = seg.lastSeq, seg.lastCommit, sc.offset, seg.sealed
	ins.Segments = append(ins.Segments, info)
	ins.Bytes += sc.offset
	if seg.sealed {
		return nil
	}
	if i < len(segs)-1 {
		if next := segs[i+1]; next.flags&flagRecovered != 0 && next.firstCommit <= seg.lastCommit+1 {
			// A recovery that was cut off: the next one seals this segment where
			// the next begins.
			ins.Clean = false
			seg.lastCommit, seg.lastSeq, seg.endChain = next.firstCommit-1, next.firstSeq-1, next.chain
			return nil
		}
		return &CorruptionError{File: path, Offset: sc.offset, FirstSeq: sc.seq, LastSeq: segs[i+1].firstSeq - 1, Detail: fmt.Sprintf("%v; the segment has no end mark, and %s follows it", stop, segs[i+1].name)}
	}
	tail := data[min(sc.offset, int64(len(data))):]
	if !allZero(tail) {
		n := len(tail)
		for tail[n-1] == 0 {
			n--
		}
		ins.TornBytes = int64(n)
		ins.Clean = false
	}
	if uncommitted {
		ins.Clean = false
	}
	if err := l.judge(seg, sc, stop); err != nil {
		return err
	}
	if int64(len(data)) < seg.allocated {
		return &CorruptionError{File: path, Offset: int64(len(data)), FirstSeq: sc.seq, Detail: fmt.Sprintf("the file has %d bytes, %d were allocated when it was made: its end is missing", len(data), seg.allocated)}
	}
	return nil
}

// frames walks the frames of a segment. stop is why the walk ended, nil at a
// seal; uncommitted says that the last commit has nothing that commits to it.
func (ins *Inspection) frames(seg *segment, sc *scan, each func(*FrameInfo) error) (stop error, uncommitted bool, err error) {
	var lastEnd int64
	for {
		f, err := sc.next()
		if err != nil {
			return err, lastEnd > sc.durable, nil
		}
		ins.Frames++
		fi := &FrameInfo{Segment: seg.name, Offset: f.offset, Kind: "commit", FirstSeq: f.firstSeq, LastSeq: f.lastSeq, Commit: f.commit,
			Time: seg.baseTime + int64(f.ms)*1000, Durable: int64(f.durable), Chain: f.after(), Stored: int(f.stored), Raw: int(f.raw), Records: f.records}
		if f.isCommit() {
			ins.Records += uint64(len(f.records))
			ins.End.Commit, ins.End.Time = f.commit, fi.Time
			if f.flags&flagNoSeq == 0 {
				ins.End.Seq, ins.End.Chain = f.lastSeq, fi.Chain
			}
			lastEnd = sc.offset
		} else {
			fi.Kind, fi.LastSeq = "mark", f.firstSeq-1
			if f.flags&flagSeal != 0 {
				fi.Kind = "seal"
			}
		}
		if each != nil {
			if err := each(fi); err != nil {
				return nil, false, err
			}
		}
		if f.flags&flagSeal != 0 {
			if err := seg.loadSeal(&f.frameHeader, f.payload, f.offset); err != nil {
				return nil, false, &CorruptionError{File: seg.name, Offset: f.offset, FirstSeq: seg.firstSeq, Detail: err.Error()}
			}
			return nil, false, nil
		}
	}
}
