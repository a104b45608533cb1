package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// The LINEAGE file says which log this is and which epochs its history has:
//
//	"arrwline", u32 version, 16 bytes log id, u64 floor, u32 epochs; for each:
//	u64 epoch, u64 first seq; then u32 CRC-32C over all before
//
// The floor is a commit that the log still has to hold: a log whose first
// segment begins behind it has lost segments. Trimming moves it first.
const (
	lineageName    = "LINEAGE"
	lineageMagic   = "arrwline"
	lineageVersion = 1
	maxEpochs      = 1 << 16
)

func encodeLineage(id [16]byte, floor uint64, l change.Lineage) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(lineageMagic), lineageVersion)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, floor)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l)))
	for _, e := range l {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Epoch))
		b = binary.LittleEndian.AppendUint64(b, e.FirstSeq)
	}
	return binary.LittleEndian.AppendUint32(b, crcOf(b))
}

func decodeLineage(b []byte) (id [16]byte, floor uint64, l change.Lineage, err error) {
	if len(b) < 44 || string(b[:8]) != lineageMagic {
		return id, 0, nil, errors.New("it does not begin with the mark of a lineage")
	}
	if got, want := binary.LittleEndian.Uint32(b[len(b)-4:]), crcOf(b[:len(b)-4]); got != want {
		return id, 0, nil, fmt.Errorf("its CRC is %08x, its bytes give %08x", got, want)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > lineageVersion {
		return id, 0, nil, &NewerFormatError{What: "the lineage of the log", Found: int(v), Read: lineageVersion}
	}
	copy(id[:], b[12:28])
	floor = binary.LittleEndian.Uint64(b[28:])
	n := binary.LittleEndian.Uint32(b[36:])
	if n == 0 || n > maxEpochs || len(b) != 44+16*int(n) {
		return id, 0, nil, fmt.Errorf("%d epochs in %d bytes", n, len(b))
	}
	for i := range int(n) {
		e := b[40+16*i:]
		l = append(l, change.EpochStart{Epoch: change.Epoch(binary.LittleEndian.Uint64(e)), FirstSeq: binary.LittleEndian.Uint64(e[8:])})
		if i > 0 && l[i].FirstSeq < l[i-1].FirstSeq {
			return id, 0, nil, fmt.Errorf("epoch %s begins at seq %d, before the one it follows", l[i].Epoch, l[i].FirstSeq)
		}
	}
	return id, floor, l, nil
}

// readLineage returns fs.ErrNotExist where there is none.
func readLineage(fsys vfs.FS, dir string) (id [16]byte, floor uint64, l change.Lineage, err error) {
	name := fsys.PathJoin(dir, lineageName)
	b, err := readAll(fsys, name)
	if err != nil {
		return id, 0, nil, err
	}
	id, floor, l, err = decodeLineage(b)
	var newer *NewerFormatError
	if err != nil && !errors.As(err, &newer) {
		err = &CorruptionError{File: name, Detail: err.Error()}
	}
	return id, floor, l, err
}

func writeLineage(fsys vfs.FS, dir string, id [16]byte, floor uint64, l change.Lineage) error {
	name := fsys.PathJoin(dir, lineageName)
	f, err := fsys.Create(name+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(encodeLineage(id, floor, l))
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
