package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// recover brings segs, which are not empty, to a state that can be written.
func (l *Log) recover(segs []*segment) (RecoveryInfo, error) {
	info := RecoveryInfo{Clean: true}
	lastSeqEnd := End{Time: segs[0].baseTime, Chain: l.chainBefore(segs[0])}
	lastSeqEnd.Seq, lastSeqEnd.Commit = segs[0].firstSeq-1, segs[0].firstCommit-1
	for i, seg := range segs {
		if err := l.checkHeader(segs, i); err != nil {
			return info, err
		}
		if i == len(segs)-1 {
			break
		}
		next := segs[i+1]
		if err := l.loadSealed(seg, next, &info); err != nil {
			return info, err
		}
		if seg.lastCommit+1 != next.firstCommit || seg.lastSeq+1 != next.firstSeq || seg.endChain != next.chain {
			return info, &CorruptionError{File: l.path(next.name), FirstSeq: seg.lastSeq + 1, LastSeq: next.firstSeq - 1,
				Detail: fmt.Sprintf("it begins at seq %d, commit %d, chain %08x; %s ends at seq %d, commit %d, chain %08x: segments are missing, doubled or of another log",
					next.firstSeq, next.firstCommit, next.chain, seg.name, seg.lastSeq, seg.lastCommit, seg.endChain)}
		}
		if seg.hasSeq {
			lastSeqEnd.Chain = seg.seqChain
		}
		lastSeqEnd.Seq, lastSeqEnd.Commit, lastSeqEnd.Time = seg.lastSeq, seg.lastCommit, next.baseTime
	}
	l.segments = segs[:len(segs)-1]
	return l.recoverLast(segs[len(segs)-1], lastSeqEnd, info)
}

func (l *Log) checkHeader(segs []*segment, i int) error {
	seg := segs[i]
	if i == 0 && seg.firstCommit > l.floor {
		return &CorruptionError{File: l.path(seg.name), FirstSeq: 1, LastSeq: seg.firstSeq - 1,
			Detail: fmt.Sprintf("it is the first segment and begins at commit %d, the log was never trimmed behind commit %d: segments before it are missing", seg.firstCommit, l.floor)}
	}
	if seg.logID != l.id {
		return &CorruptionError{File: l.path(seg.name), FirstSeq: seg.firstSeq, Detail: fmt.Sprintf("it belongs to log %x, this is log %x", seg.logID, l.id)}
	}
	if want := l.epochs.At(seg.firstSeq); seg.epoch != want && seg.epoch != l.epochs.Current() {
		return &CorruptionError{File: l.path(seg.name), FirstSeq: seg.firstSeq, Detail: fmt.Sprintf("it is of epoch %s, the lineage says %s at seq %d", seg.epoch, want, seg.firstSeq)}
	}
	return nil
}

// loadSealed reads the seal of a segment that is not the last. A segment
// without one is the sign of a start that was cut off after it had moved frames
// to the next segment, which says so: then the seal is put where it belongs.
func (l *Log) loadSealed(seg, next *segment, info *RecoveryInfo) error {
	path := l.path(seg.name)
	if found, err := findSeal(l.o.FS, path, seg); err != nil || found {
		return err
	}
	data, err := readAll(l.o.FS, path)
	if err != nil {
		return err
	}
	sc := newScan(seg, data)
	seg.lastSeq, seg.lastCommit, seg.endChain = seg.firstSeq-1, seg.firstCommit-1, seg.chain
	for next.flags&flagRecovered == 0 || sc.commit < next.firstCommit {
		f, err := sc.next()
		if err != nil {
			return &CorruptionError{File: path, Offset: sc.offset, FirstSeq: sc.seq, LastSeq: next.firstSeq - 1,
				Detail: fmt.Sprintf("%v; the segment has no end mark, and %s follows it", err, next.name)}
		}
		if f.flags&flagSeal != 0 {
			if err := seg.loadSeal(&f.frameHeader, f.payload, f.offset); err != nil {
				return &CorruptionError{File: path, Offset: f.offset, FirstSeq: seg.firstSeq, Detail: err.Error()}
			}
			return nil
		}
		seg.apply(f)
	}
	if sc.commit != next.firstCommit || sc.chain != next.chain {
		return nil // the caller compares, and names both
	}
	peek := *sc
	if f, err := peek.next(); err == nil && f.flags&flagSeal != 0 {
		if err := seg.loadSeal(&f.frameHeader, f.payload, f.offset); err != nil {
			return &CorruptionError{File: path, Offset: f.offset, FirstSeq: seg.firstSeq, Detail: err.Error()}
		}
		return nil
	}
	info.Clean = false
	return l.sealAt(seg, sc, int64(len(data)))
}

// findSeal looks for the seal at the end of the file, where it is in a file
// that was cut at its end.
func findSeal(fsys vfs.FS, path string, seg *segment) (bool, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() < segmentHeaderSize+frameHeaderSize+8 {
		return false, err
	}
	b := make([]byte, 8)
	if _, err := f.ReadAt(b, st.Size()-8); noEOF(err) != nil {
		return false, err
	}
	at := int64(le64(b))
	if at < segmentHeaderSize || at > st.Size()-frameHeaderSize || at%frameAlign != 0 || st.Size()-at > MaxFrameBytes {
		return false, nil
	}
	b = make([]byte, st.Size()-at)
	if _, err := f.ReadAt(b, at); noEOF(err) != nil {
		return false, err
	}
	var h frameHeader
	if !h.decode(b, seg.id) || h.flags&flagSeal == 0 || frameHeaderSize+int64(h.stored) != int64(len(b)) || crcOf(b[frameHeaderSize:]) != h.payloadCRC {
		return false, nil
	}
	if err := seg.loadSeal(&h, b[frameHeaderSize:], at); err != nil {
		return false, &CorruptionError{File: path, Offset: at, FirstSeq: seg.firstSeq, Detail: err.Error()}
	}
	return true, nil
}

// sealAt ends a segment at the scan's place: SEAL, zeros behind it, sync.
func (l *Log) sealAt(seg *segment, sc *scan, size int64) error {
	payload := seg.sealPayload(sc.offset)
	h := sealHeader(seg, payload, sc.lastMS, seg.endChain)
	h.durable = uint64(sc.offset)
	b := make([]byte, frameHeaderSize, h.size())
	h.encode(b, seg.id)
	b = append(b, payload...)
	f, err := l.o.FS.OpenReadWrite(l.path(seg.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	file := &segmentFile{File: f, name: l.path(seg.name)}
	end := sc.offset + h.size()
	_, err = f.WriteAt(b, sc.offset)
	if err == nil && size > end {
		err = zeroFill(f, end, size-end)
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	seg.sealed, seg.end = true, end
	return file.finish(end)
}

// recoverLast recovers the last segment; end is where the one before it ends.
func (l *Log) recoverLast(seg *segment, end End, info RecoveryInfo) (RecoveryInfo, error) {
	path := l.path(seg.name)
	data, err := readAll(l.o.FS, path)
	if err != nil {
		return info, err
	}
	seg.lastSeq, seg.lastCommit, seg.endChain = seg.firstSeq-1, seg.firstCommit-1, seg.chain
	sc := newScan(seg, data)
	var frames []*scanned
	var stop error
	for stop == nil {
		var f *scanned
		if f, stop = sc.next(); stop != nil {
			break
		}
		if f.flags&flagSeal != 0 {
			if err := seg.loadSeal(&f.frameHeader, f.payload, f.offset); err != nil {
				return info, &CorruptionError{File: path, Offset: f.offset, FirstSeq: seg.firstSeq, Detail: err.Error()}
			}
			break
		}
		if f.isCommit() {
			frames = append(frames, f)
		}
	}
	if err := l.judge(seg, sc, stop); err != nil {
		return info, err
	}
	if !seg.sealed && int64(len(data)) < seg.allocated {
		return info, &CorruptionError{File: path, Offset: int64(len(data)), FirstSeq: sc.seq,
			Detail: fmt.Sprintf("the file has %d bytes, %d were allocated when it was made: its end is missing", len(data), seg.allocated)}
	}
	if got := (change.Stamp{Seq: sc.seq - 1, Commit: sc.commit - 1}); got.Less(l.o.MustReach) {
		return info, l.missing(path, sc.offset, sc.seq, fmt.Sprintf("the log ends at %s", got))
	}
	torn := !seg.sealed && !allZero(data[min(sc.offset, int64(len(data))):])
	if torn {
		info.Clean = false
		if err := l.keepTorn(seg, data[sc.offset:], &info); err != nil {
			return info, err
		}
	}
	return l.continueAfter(seg, sc, frames, end, info, data, torn)
}

// judge tells a clean end and a torn tail, which are no error, from corruption.
func (l *Log) judge(seg *segment, sc *scan, stop error) error {
	var newer *NewerFormatError
	if errors.As(stop, &newer) {
		return fmt.Errorf("%s at byte %d: %w", l.path(seg.name), sc.offset, stop)
	}
	if stop == nil || stop == io.EOF || seg.sealed {
		return nil
	}
	if at, seq := laterFrame(sc.data, seg.id, sc.offset, sc.offset); at >= 0 {
		return &CorruptionError{File: l.path(seg.name), Offset: sc.offset, FirstSeq: sc.seq, LastSeq: max(seq, 1) - 1,
			Detail: fmt.Sprintf("%v; the frame at byte %d says that everything before it was durable", stop, at)}
	}
	return nil
}

// keepTorn copies what is behind the end of the log aside.
func (l *Log) keepTorn(seg *segment, tail []byte, info *RecoveryInfo) error {
	n := len(tail)
	for n > 0 && tail[n-1] == 0 {
		n--
	}
	name := ""
	for i := 0; ; i++ {
		name = fmt.Sprintf("torn-%016x-%d.bin", seg.id, i)
		if _, err := l.o.FS.Stat(l.path(name)); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	f, err := l.o.FS.Create(l.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(nil), tail[:n]...))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	info.TornFile, info.TornBytes = name, int64(n)
	l.o.Logger.Warn("the log ended in a torn frame that was never acknowledged; its bytes were kept aside", "segment", seg.name, "kept", name, "bytes", n)
	return syncDir(l.o.FS, l.o.Dir)
}

// continueAfter makes the log writable behind the last frame. Frames that
// nothing commits to may be in the page cache only: they are written again into
// a new segment and synced before anything else.
func (l *Log) continueAfter(seg *segment, sc *scan, frames []*scanned, end End, info RecoveryInfo, data []byte, torn bool) (RecoveryInfo, error) {
	kept := len(frames)
	for !seg.sealed && kept > 0 && frames[kept-1].offset+frames[kept-1].size() > sc.durable {
		kept--
	}
	for _, f := range frames[:kept] {
		if !seg.sealed {
			seg.apply(f)
		}
	}
	for _, f := range frames {
		end.Commit, end.Time = f.commit, max(end.Time, seg.baseTime+int64(f.ms)*1000)
		if f.flags&flagNoSeq == 0 {
			end.Seq, end.Chain = f.lastSeq, f.after()
		}
	}
	l.end.Store(&end)
	info.End, info.Moved = end, len(frames)-kept
	defer func() { info.Segments = len(l.segments) }()
	from := int64(segmentHeaderSize) // the end of the last commit
	if kept > 0 {
		from = frames[kept-1].offset + frames[kept-1].size()
	}
	if seg.sealed {
		if err := l.syncSeal(seg, data, from); err != nil {
			return info, err
		}
		l.segments = append(l.segments, seg)
		return info, l.beginAfter(end, seg.endChain)
	}
	if info.Moved > 0 {
		info.Clean = false
		return info, l.move(seg, frames[:kept], frames[kept:], end, data)
	}
	f, err := l.o.FS.OpenReadWrite(l.path(seg.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return info, err
	}
	size := int64(len(data))
	// How much of it is written with zeros is not known, but for what a segment
	// always has.
	l.file = &segmentFile{File: f, name: l.path(seg.name), filled: max(sc.offset, min(l.o.FillNow, size))}
	if torn {
		if err := zeroFill(f, sc.offset, size-sc.offset); err != nil {
			return info, err
		}
		l.file.filled = size
	}
	if sc.offset > from {
		// A sync of the MARK may have failed, and then no later one writes its page
		// unless it is written again.
		if _, err := f.WriteAt(data[from:sc.offset], from); err != nil {
			return info, err
		}
	}
	l.segments = append(l.segments, seg)
	seg.end = sc.offset
	l.offset, l.durable, l.lastMS, l.chain = sc.offset, sc.durable, sc.lastMS, sc.chain
	l.marked = kept == 0 || sc.offset > from
	return info, nil
}

// syncSeal writes again what stands between from, the end of the last commit,
// and the end of a sealed segment, and syncs it: the seal may stand in the page
// cache only, and once a segment follows it must be there.
func (l *Log) syncSeal(seg *segment, data []byte, from int64) error {
	f, err := l.o.FS.OpenReadWrite(l.path(seg.name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	file := &segmentFile{File: f, name: l.path(seg.name)}
	_, err = f.WriteAt(data[from:seg.end], from)
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, file.finish(0))
	}
	return file.finish(seg.end)
}

// beginAfter begins a segment behind a sealed one.
func (l *Log) beginAfter(end End, chain uint32) error {
	seg := &segment{segmentHeader: segmentHeader{version: FormatVersion, logID: l.id, firstSeq: end.Seq + 1, epoch: l.epochs.Current(),
		baseTime: max(end.Time, l.o.Now().UnixMicro()), firstCommit: end.Commit + 1, chain: chain}}
	file, err := l.begin(seg)
	if err != nil {
		return err
	}
	l.use(seg, file)
	return nil
}

// move writes frames into a new segment, with a MARK, syncs it under its final
// name, and only then seals the old segment where they began.
func (l *Log) move(old *segment, kept, frames []*scanned, end End, data []byte) error {
	chain := old.endChain
	seg := &segment{segmentHeader: segmentHeader{version: FormatVersion, flags: flagRecovered, logID: l.id, firstSeq: old.lastSeq + 1, epoch: l.epochs.Current(),
		baseTime: old.baseTime, firstCommit: old.lastCommit + 1, chain: chain}}
	p, err := l.prepareFile(l.o.FillNow)
	if err != nil {
		return err
	}
	seg.id, seg.name, seg.allocated = p.id, segmentName(seg.firstSeq, p.id), l.o.SegmentSize
	b := seg.encode()
	for _, f := range frames {
		h := f.frameHeader
		h.durable = segmentHeaderSize
		at := len(b)
		b = append(append(b, make([]byte, frameHeaderSize)...), f.payload...)
		for len(b)%frameAlign != 0 {
			b = append(b, 0)
		}
		h.encode(b[at:], seg.id)
	}
	last := frames[len(frames)-1]
	mark := frameHeader{firstSeq: end.Seq + 1, durable: uint64(len(b)), flags: flagMark, version: frameVersion, chain: last.after(), ms: last.ms}
	b = append(b, make([]byte, frameHeaderSize)...)
	mark.encode(b[len(b)-frameHeaderSize:], seg.id)
	if _, err := p.file.WriteAt(b, 0); err != nil {
		return errors.Join(err, p.file.finish(0))
	}
	if err := p.file.Sync(); err != nil {
		return errors.Join(err, p.file.finish(0))
	}
	if err := l.o.FS.Rename(p.file.name, l.path(seg.name)); err != nil {
		return errors.Join(err, p.file.finish(0))
	}
	p.file.name = l.path(seg.name)
	if err := syncDir(l.o.FS, l.o.Dir); err != nil {
		return errors.Join(err, p.file.finish(0))
	}
	at := newScan(old, data)
	for range kept {
		for f, err := at.next(); err == nil && !f.isCommit(); f, err = at.next() {
		}
	}
	if err := l.sealAt(old, at, int64(len(data))); err != nil {
		return errors.Join(err, p.file.finish(0))
	}
	l.segments = append(l.segments, old)
	l.use(seg, p.file)
	sc := newScan(seg, b)
	l.mu.Lock() // use has begun the background work
	for f, err := sc.next(); err == nil; f, err = sc.next() {
		seg.apply(f)
	}
	seg.end = sc.offset
	l.mu.Unlock()
	l.offset, l.durable, l.lastMS, l.chain, l.marked = sc.offset, sc.durable, sc.lastMS, sc.chain, true
	return nil
}
