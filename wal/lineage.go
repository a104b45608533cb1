package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// The LINEAGE file says which log this is, which epochs its history has, and where
// the log begins:
//
//	"arrwline", u32 version, 16 bytes log id, u64 floor, u32 chain before the floor,
//	u32 epochs; for each: u64 epoch, u64 first seq; then u32 CRC-32C over all before
//
// The floor is a commit that the log still has to hold: a log whose first segment
// begins behind it has lost segments. Trimming moves it before it removes anything:
// segments that lie below it are what is left of a trimming that was cut off. The
// chain is that after the last change below the floor, which the first segment does
// not know where control records came after it.
//
// Version 1 has no chain: nothing was trimmed from the logs that have it.
const (
	lineageName    = "LINEAGE"
	lineageMagic   = "arrwline"
	lineageVersion = 2
	maxEpochs      = 1 << 16
)

// A lineage is the content of the file.
type lineage struct {
	id         [16]byte
	floor      uint64 // commit
	floorChain uint32
	epochs     change.Lineage
}

func (l *lineage) encode() []byte {
	b := binary.LittleEndian.AppendUint32([]byte(lineageMagic), lineageVersion)
	b = append(b, l.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, l.floor)
	b = binary.LittleEndian.AppendUint32(b, l.floorChain)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l.epochs)))
	for _, e := range l.epochs {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Epoch))
		b = binary.LittleEndian.AppendUint64(b, e.FirstSeq)
	}
	return binary.LittleEndian.AppendUint32(b, crcOf(b))
}

func (l *lineage) decode(b []byte) error {
	if len(b) < 44 || string(b[:8]) != lineageMagic {
		return errors.New("it does not begin with the mark of a lineage")
	}
	if got, want := binary.LittleEndian.Uint32(b[len(b)-4:]), crcOf(b[:len(b)-4]); got != want {
		return fmt.Errorf("its CRC is %08x, its bytes give %08x", got, want)
	}
	version := binary.LittleEndian.Uint32(b[8:])
	if version > lineageVersion {
		return &NewerFormatError{What: "the lineage of the log", Found: int(version), Read: lineageVersion}
	}
	copy(l.id[:], b[12:28])
	l.floor, l.floorChain = binary.LittleEndian.Uint64(b[28:]), crcOf(l.id[:])
	rest := b[36 : len(b)-4]
	if version > 1 {
		if len(rest) < 8 {
			return fmt.Errorf("a lineage of version %d in %d bytes", version, len(b))
		}
		l.floorChain, rest = binary.LittleEndian.Uint32(rest), rest[4:]
	}
	n := binary.LittleEndian.Uint32(rest)
	if n == 0 || n > maxEpochs || len(rest) != 4+16*int(n) {
		return fmt.Errorf("%d epochs in %d bytes", n, len(b))
	}
	l.epochs = nil
	for i := range int(n) {
		e := rest[4+16*i:]
		l.epochs = append(l.epochs, change.EpochStart{Epoch: change.Epoch(binary.LittleEndian.Uint64(e)), FirstSeq: binary.LittleEndian.Uint64(e[8:])})
		if i > 0 && l.epochs[i].FirstSeq < l.epochs[i-1].FirstSeq {
			return fmt.Errorf("epoch %s begins at seq %d, before the one it follows", l.epochs[i].Epoch, l.epochs[i].FirstSeq)
		}
	}
	return nil
}

// readLineage returns fs.ErrNotExist where there is none.
func readLineage(fsys vfs.FS, dir string) (l lineage, err error) {
	name := fsys.PathJoin(dir, lineageName)
	b, err := readAll(fsys, name)
	if err != nil {
		return l, err
	}
	err = l.decode(b)
	var newer *NewerFormatError
	if err != nil && !errors.As(err, &newer) {
		err = &CorruptionError{File: name, Detail: err.Error()}
	}
	return l, err
}

func (l *lineage) write(fsys vfs.FS, dir string) error {
	name := fsys.PathJoin(dir, lineageName)
	f, err := fsys.Create(name+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(l.encode())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

func newLogID(r io.Reader) (id [16]byte, err error) {
	_, err = io.ReadFull(r, id[:])
	return id, err
}

func newEpoch(r io.Reader) (change.Epoch, error) {
	for {
		e, err := newSegmentID(r)
		if err != nil || e != 0 {
			return change.Epoch(e), err
		}
	}
}
