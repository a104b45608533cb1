package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/wal"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// VerifyOptions says how thorough Verify is.
type VerifyOptions struct {
	// Full also reads every table of the store and every row block against its
	// checksum, and checks that the store agrees with itself.
	Full bool
}

// A Problem is something that Verify found wrong.
type Problem struct {
	Part   string `json:"part"` // log, store or vectors
	File   string `json:"file"`
	Offset int64  `json:"offset"` // in File, -1 where it has none
	Detail string `json:"detail"`
}

func (p Problem) String() string {
	if p.Offset >= 0 {
		return fmt.Sprintf("%s: %s at byte %d: %s", p.Part, p.File, p.Offset, p.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", p.Part, p.File, p.Detail)
}

// A VerifyReport is what Verify found.
type VerifyReport struct {
	Clean     bool      `json:"clean"` // the directory was closed cleanly
	Segments  int       `json:"segments"`
	Frames    uint64    `json:"frames"`
	Records   uint64    `json:"records"`
	LogBytes  int64     `json:"log_bytes"`
	LastSeq   uint64    `json:"last_seq"`
	TornBytes int64     `json:"torn_bytes"` // after the end of the log: never acknowledged
	StoreSeq  uint64    `json:"store_seq"`  // the store is durable up to here
	RowsSeq   uint64    `json:"rows_seq"`   // the row files are durable up to here
	Libraries int       `json:"libraries"`
	Documents uint64    `json:"documents"`
	Chunks    uint64    `json:"chunks"`
	RowBlocks uint64    `json:"row_blocks"`
	Problems  []Problem `json:"problems"`
}

func (r *VerifyReport) add(part, file string, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Part: part, File: file, Offset: -1, Detail: fmt.Sprintf(format, args...)})
}

// Verify checks a database directory that no server holds. It writes nothing,
// and works on a directory that was not closed and on one that may not be
// written. The error says that it could not look; what it found is in the report.
func Verify(fsys vfs.FS, dir string, o VerifyOptions) (*VerifyReport, error) {
	if fsys == nil {
		fsys = vfs.Default
	}
	if err := checkFormat(fsys, dir, false); err != nil {
		return nil, err
	}
	unlock, err := lockForReading(fsys, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rep := &VerifyReport{Problems: []Problem{}}
	logEnd, err := verifyLog(rep, fsys, dir)
	if err != nil {
		return rep, err
	}
	if err := verifyStore(rep, fsys, dir, logEnd, o); err != nil {
		return rep, err
	}
	return rep, verifyRows(rep, fsys, dir, logEnd, o)
}

// lockForReading keeps a server from starting meanwhile, where the directory
// lets it.
func lockForReading(fsys vfs.FS, dir string) (func(), error) {
	name := fsys.PathJoin(dir, lockName)
	if _, err := fsys.Stat(name); err != nil {
		return func() {}, nil // never opened for writing, or a copy
	}
	lock, err := fsys.Lock(name)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return func() {}, nil
	}
	if err != nil {
		return nil, &InUseError{Dir: dir, PID: lockHolder(fsys, dir)}
	}
	return func() { lock.Close() }, nil
}

func verifyLog(rep *VerifyReport, fsys vfs.FS, dir string) (wal.End, error) {
	ins, err := wal.Inspect(fsys, fsys.PathJoin(dir, logDir), nil)
	if err != nil {
		return wal.End{}, err
	}
	rep.Segments, rep.Frames, rep.Records, rep.LogBytes = len(ins.Segments), ins.Frames, ins.Records, ins.Bytes
	rep.LastSeq, rep.TornBytes, rep.Clean = ins.End.Seq, ins.TornBytes, ins.Clean
	for _, p := range ins.Problems {
		rep.Problems = append(rep.Problems, Problem{Part: "log", File: p.File, Offset: p.Offset, Detail: p.Error()})
	}
	return ins.End, nil
}

func verifyStore(rep *VerifyReport, fsys vfs.FS, dir string, end wal.End, o VerifyOptions) error {
	name := fsys.PathJoin(dir, storeDir)
	if _, err := fsys.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if end.Commit > 0 {
			rep.add("store", name, "it is missing; the log goes back to its beginning and a start rebuilds it")
		}
		return nil
	}
	po := storeOptions(Options{FS: fsys}.withDefaults())
	po.ReadOnly = true
	store, err := pebble.Open(name, po)
	if err != nil {
		if errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, fs.ErrNotExist) {
			return nil // a start that was cut off before the store was made
		}
		rep.add("store", name, "it cannot be opened: %v", err)
		return nil
	}
	defer store.Close()
	v := &storeView{db: store, libs: map[uint32]*libRow{}, names: map[uint32]string{}}
	if err := v.load(func(string, []byte) {}, func(uint32, string, *libRow) {}); err != nil {
		rep.add("store", name, "%v", err)
		return nil
	}
	rep.StoreSeq = v.at.Seq
	if end.Commit < v.at.Commit {
		rep.add("store", name, "it contains everything up to %s, the log ends at %s: acknowledged changes are missing from the log", v.at.Stamp, end.Stamp)
	} else if end.Commit == v.at.Commit && end.Chain != v.at.Chain {
		rep.add("store", name, "at %s the store has chain %08x and the log %08x: they belong to different histories", v.at.Stamp, v.at.Chain, end.Chain)
	}
	rep.Libraries = len(v.libs)
	for num, lib := range v.libs {
		rep.Documents += lib.Documents
		rep.Chunks += lib.Chunks
		if o.Full {
			verifyLibrary(rep, store, name, v.names[num], lib)
		}
	}
	return nil
}

// verifyLibrary checks that a library's rows agree with each other: every chunk
// of every document has its row, no row stands alone, the counts are right.
func verifyLibrary(rep *VerifyReport, store *pebble.DB, file, name string, lib *libRow) {
	var documents, chunks, rowsSeen uint64
	lower, upper := libraryRange(prefixDocument, lib.Num)
	err := scan(store, lower, upper, func(key, val []byte) error {
		row, err := decodeDocRow(val)
		if err != nil {
			rep.add("store", file, "library %q, document %q: %v", name, key[5:], err)
			return nil
		}
		documents++
		chunks += uint64(len(row.Chunks))
		for i := range row.Chunks {
			val, closer, err := store.Get(appendChunkKey(nil, lib.Num, row.Chunks[i].Num))
			if err != nil {
				rep.add("store", file, "library %q, document %q: chunk row %d: %v", name, key[5:], row.Chunks[i].Num, err)
				continue
			}
			if id, _, err := decodeChunkRow(val); err != nil || id != string(key[5:]) {
				rep.add("store", file, "library %q, chunk row %d belongs to document %q, not %q (%v)", name, row.Chunks[i].Num, id, key[5:], err)
			}
			if err := closer.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		lower, upper = libraryRange(prefixChunk, lib.Num)
		err = scan(store, lower, upper, func(_, _ []byte) error { rowsSeen++; return nil })
	}
	if err != nil {
		rep.add("store", file, "library %q: %v", name, err)
		return
	}
	for _, c := range []struct {
		what      string
		got, want uint64
	}{{"documents", documents, lib.Documents}, {"chunks in documents", chunks, lib.Chunks}, {"chunk rows", rowsSeen, lib.Chunks}} {
		if c.got != c.want {
			rep.add("store", file, "library %q has %d %s, its counters say %d", name, c.got, c.what, c.want)
		}
	}
}

func verifyRows(rep *VerifyReport, fsys vfs.FS, dir string, end wal.End, o VerifyOptions) error {
	name := fsys.PathJoin(dir, rowsDir)
	if _, err := fsys.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	store, err := rows.Open(rows.Options{FS: fsys, Dir: name, ReadOnly: true})
	if err != nil {
		rep.add("vectors", name, "%v", err)
		return nil
	}
	defer store.Close()
	at := store.Durable()
	rep.RowsSeq = at.Seq
	if end.Commit < at.Commit {
		rep.add("vectors", name, "they contain everything up to %s, the log ends at %s: acknowledged changes are missing from the log", at, end.Stamp)
	}
	if !o.Full {
		return nil
	}
	found, err := store.Verify(context.Background(), true)
	if err != nil {
		return err
	}
	rep.RowBlocks = uint64(found.Blocks)
	for _, p := range found.Problems {
		problem := Problem{Part: "vectors", File: name, Offset: -1, Detail: p.Error()}
		var damage *rows.DamageError
		if errors.As(p, &damage) {
			problem.File, problem.Offset = damage.File, damage.Offset
		}
		rep.Problems = append(rep.Problems, problem)
	}
	return nil
}
