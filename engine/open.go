package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/index/search"
	"github.com/arrwdb/arrwdb/wal"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The parts of a data directory.
const (
	lockName   = "LOCK"
	pidName    = "LOCK.pid"
	formatName = "FORMAT"
	logDir     = "log"
	storeDir   = "store"
	rowsDir    = "vectors"
	searchDir  = "search"
)

// directoryFormat is the version of the layout of the directory.
//
//	1: the first
const directoryFormat = 1

type dirLock struct {
	lock io.Closer
	fs   vfs.FS
	pid  string
}

func lockDir(fsys vfs.FS, dir string) (*dirLock, error) {
	lock, err := fsys.Lock(fsys.PathJoin(dir, lockName))
	pid := fsys.PathJoin(dir, pidName)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		return nil, &InUseError{Dir: dir, PID: lockHolder(fsys, dir)}
	}
	if err := writeFile(fsys, pid, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &dirLock{lock: lock, fs: fsys, pid: pid}, nil
}

// lockHolder returns the process that holds dir, 0 where it is not known.
func lockHolder(fsys vfs.FS, dir string) int {
	b, err := readFile(fsys, fsys.PathJoin(dir, pidName))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

func (l *dirLock) release() error {
	return errors.Join(ignoreNotExist(l.fs.Remove(l.pid)), l.lock.Close())
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

func writeFile(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkFormat reads the directory's format, or writes it into a new directory.
func checkFormat(fsys vfs.FS, dir string, create bool) error {
	name := fsys.PathJoin(dir, formatName)
	b, err := readFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return fmt.Errorf("%s: %w", dir, ErrNoDatabase)
		}
		if _, err := fsys.Stat(fsys.PathJoin(dir, logDir)); err == nil {
			return &DamageError{Where: name, Err: errors.New("the directory has a log but no FORMAT file")}
		}
		tmp := name + ".tmp"
		if err := writeFile(fsys, tmp, fmt.Appendf(nil, "arrwdb %d\n", directoryFormat)); err != nil {
			return err
		}
		if err := fsys.Rename(tmp, name); err != nil {
			return err
		}
		return syncDir(fsys, dir)
	}
	if err != nil {
		return err
	}
	var v int
	if _, err := fmt.Sscanf(string(b), "arrwdb %d\n", &v); err != nil {
		return &DamageError{Where: name, Err: fmt.Errorf("it holds %q, not the format of a database", b)}
	}
	if v > directoryFormat {
		return &FormatError{Dir: dir, Found: v, Read: directoryFormat}
	}
	return nil
}

// Open opens the database in dir and recovers it: every view comes back at its
// own durable stamp, and the log is replayed from the lowest of them.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	if o.Create {
		if err := mkdirAll(o.FS, dir); err != nil {
			return nil, err
		}
	} else if _, err := o.FS.Stat(o.FS.PathJoin(dir, formatName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoDatabase)
	}
	lock, err := lockDir(o.FS, dir)
	if err != nil {
		return nil, err
	}
	db := &DB{opts: o, dir: dir, lock: lock, stop: make(chan struct{})}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	db.mapped = o.FS == vfs.Default
	db.disk, db.opts.FS = guardDisk(o, dir)
	if err := db.open(); err != nil {
		return nil, errors.Join(err, db.abandon())
	}
	return db, nil
}

// mkdirAll makes dir and syncs the directories that have a new entry. Which ones
// is not known where a start was cut off here: until there is a FORMAT all above
// are synced.
func mkdirAll(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(fsys.PathJoin(dir, formatName)); err == nil {
		return nil
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for at, parent := dir, ""; ; at = parent {
		if parent = fsys.PathDir(at); parent == "" {
			parent = "."
		}
		err := syncDir(fsys, parent)
		if at == dir && err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if parent == at || parent == "." {
			return nil
		}
	}
}

func (db *DB) open() error {
	start := time.Now()
	o := db.opts
	db.opened.wall, db.opened.mono = o.Now(), start
	if err := checkFormat(o.FS, db.dir, o.Create); err != nil {
		return err
	}
	if err := db.openStore(); err != nil {
		return err
	}
	if err := db.openRows(); err != nil {
		return err
	}
	if err := db.openSearch(); err != nil {
		return err
	}
	must := db.view.at.Stamp
	for _, at := range []change.Stamp{db.rowsView.at, db.searchView.at} {
		if must.Less(at) {
			must = at
		}
	}
	log, info, err := wal.Open(wal.Options{FS: o.FS, Dir: o.FS.PathJoin(db.dir, logDir), SegmentSize: o.SegmentSize,
		MarkDelay: o.MarkDelay, MustReach: must, Now: o.Now, Rand: o.Rand, Logger: o.Logger})
	if err != nil {
		return err
	}
	db.log = log
	_, db.lineage = log.Identity()
	db.recovery = Recovery{Clean: info.Clean, TornFile: info.TornFile}
	if err := syncDir(o.FS, db.dir); err != nil {
		return err
	}
	if err := db.replay(); err != nil {
		return err
	}
	db.recovery.Took = time.Since(start)
	db.recovery.TookMS = float64(db.recovery.Took.Microseconds()) / 1000
	db.startSequencer()
	db.finishSearch()
	db.startCheckpoints()
	db.watchDisk()
	return nil
}

func storeOptions(o Options) *pebble.Options {
	po := &pebble.Options{
		FS: storeFS{o.FS}, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest,
		MemTableSize: o.MemTableBytes, CacheSize: o.CacheBytes, BytesPerSync: 512 << 10,
		MaxOpenFiles: 1000, Logger: storeLogger{o.Logger},
		L0CompactionThreshold: 8, L0StopWritesThreshold: 32, MemTableStopWritesThreshold: 4,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].BlockSize = 16 << 10
	}
	return po
}

func (db *DB) openStore() error {
	dir := db.opts.FS.PathJoin(db.dir, storeDir)
	store, err := pebble.Open(dir, storeOptions(db.opts))
	if err != nil {
		if pebble.IsCorruptionError(err) {
			return &DamageError{Where: dir, Err: err}
		}
		return fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	db.store = store
	db.view = &storeView{db: store, libs: map[uint32]*libRow{}, names: map[uint32]string{}, dirty: map[uint32]bool{}, docs: map[string]*docRow{},
		onKey: db.keys.set, onLibrary: db.setLibrary}
	if err := db.view.load(db.keys.set, db.setLibrary); err != nil {
		return &DamageError{Where: dir, Err: err}
	}
	return nil
}

// load reads what the view keeps in memory.
func (v *storeView) load(onKey func(string, []byte), onLibrary func(uint32, string, *libRow)) error {
	val, closer, err := v.db.Get(keyApplied)
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	if err == nil {
		v.at, err = decodeApplied(val)
		if err := errors.Join(err, closer.Close()); err != nil {
			return err
		}
	}
	err = scan(v.db, []byte{prefixLibraryName}, []byte{prefixLibraryName + 1}, func(key, val []byte) error {
		if len(key) != 5 {
			return fmt.Errorf("%w: library name key of %d bytes", errRow, len(key))
		}
		num := uint32(key[1])<<24 | uint32(key[2])<<16 | uint32(key[3])<<8 | uint32(key[4])
		v.names[num] = string(val)
		onLibrary(num, string(val), nil)
		return nil
	})
	if err != nil {
		return err
	}
	err = scan(v.db, []byte{prefixLibrary}, []byte{prefixLibrary + 1}, func(key, val []byte) error {
		row, err := decodeLibRow(val)
		if err != nil {
			return err
		}
		v.libs[row.Num] = row
		onLibrary(row.Num, string(key[1:]), row)
		return nil
	})
	if err != nil {
		return err
	}
	return scan(v.db, []byte{prefixKey}, []byte{prefixKey + 1}, func(key, val []byte) error {
		onKey(string(key[1:]), append([]byte(nil), val...))
		return nil
	})
}

func scan(r pebble.Reader, lower, upper []byte, fn func(key, val []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

func (db *DB) openRows() error {
	store, err := rows.Open(rows.Options{FS: db.opts.FS, Dir: db.opts.FS.PathJoin(db.dir, rowsDir), BlockSize: db.opts.RowBlockBytes,
		BlocksPerFile: db.opts.RowBlocksPerFile, Map: db.mapped})
	if err != nil {
		return err
	}
	db.rows = store
	db.rowsView = &rowsView{store: store, at: store.Durable()}
	return nil
}

func (db *DB) startSequencer() {
	s := &sequencer{db: db, nextSeq: db.visible.Load().Seq + 1, nextLib: 1,
		// The log keeps milliseconds, records hold microseconds: time never falls.
		time: db.view.at.Time + 999,
		libs: map[string]*libRow{}, inflight: map[docRef]pendingDoc{}, recent: make([]uint64, recentSlots),
		once: map[string]pendingOnce{}, sources: map[sourceRef]pendingSource{}}
	for num, name := range db.view.names {
		s.nextLib = max(s.nextLib, num+1)
		if row := db.view.libs[num]; row != nil {
			own := *row
			s.libs[name] = &own
		}
	}
	db.seq = s
	db.pipeline = wal.NewPipeline(db.log, wal.Env[*Pending]{Prepare: s.prepare, Apply: db.apply,
		Failed: func(reqs []*wal.Request[*Pending], err error) { db.refuse(reqs, err) }})
}

// setLibrary keeps what callers need to know of a library; a nil row says that
// it is gone, and only its name stays.
func (db *DB) setLibrary(num uint32, id string, row *libRow) {
	db.nums.Store(num, id)
	if row == nil {
		if lib := db.library(id); lib != nil && lib.num == num {
			db.libs.Delete(id)
		}
		return
	}
	lib, err := row.library()
	if err != nil {
		db.fail(err)
		return
	}
	a, err := analysis.New(lib.Analyzer.Language)
	if err != nil {
		db.fail(err)
		return
	}
	db.libs.Store(id, &libraryInfo{num: num, metric: lib.Metric, embedding: lib.Embedding, chunking: lib.Chunking, settings: lib, analyzer: a,
		texts: search.NewTextAnalysis(a)})
}

// LibraryName returns the id of the library that has or had a number.
func (db *DB) LibraryName(num uint32) string {
	if v, ok := db.nums.Load(num); ok {
		return v.(string)
	}
	return ""
}

// Close stops the writers, makes a checkpoint, so that the next start replays
// nothing, and closes everything. It may be called twice.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	close(db.stop)
	db.cancel()
	db.pipeline.Close()
	db.tasks.Wait()
	var err error
	if db.Err() == nil {
		err = db.Checkpoint()
	}
	return errors.Join(err, db.abandon())
}

// readersGrace is how long Close waits for those who still read.
const readersGrace = 10 * time.Second

// abandon closes what is open, without a checkpoint.
func (db *DB) abandon() error {
	db.cancel()
	db.tasks.Wait()
	var errs []error
	if !db.readers.close(readersGrace) {
		// What they read stays open: the process is about to end.
		db.opts.Logger.Error("readers have not ended in time; the store is not closed in good order, which costs nothing but this line", "waited", readersGrace)
		return errors.Join(db.log.Close(), db.lock.release())
	}
	if db.log != nil {
		errs = append(errs, db.log.Close())
	}
	if db.rows != nil {
		errs = append(errs, db.rows.Close())
	}
	if db.store != nil {
		errs = append(errs, db.store.Close())
	}
	errs = append(errs, db.lock.release())
	return errors.Join(errs...)
}
