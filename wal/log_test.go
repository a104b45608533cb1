package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func options(fs vfs.FS) wal.Options {
	return wal.Options{FS: fs, Dir: "log", SegmentSize: 4 << 10, FillNow: 3 << 10, MarkDelay: -1, Logger: quiet}
}

func open(t testing.TB, o wal.Options) (*wal.Log, wal.RecoveryInfo) {
	t.Helper()
	l, info, err := wal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, info
}

// A writer appends frames whose content follows from their seq.
type writer struct {
	l   *wal.Log
	seq uint64
	r   *rand.Rand
}

func newWriter(l *wal.Log, seed uint64) *writer {
	return &writer{l: l, seq: l.Durable().Seq, r: rand.New(rand.NewPCG(seed, 9))}
}

// content is what the record of a seq holds: every reader can check it.
func content(seq uint64) (body, raw []byte) {
	r := rand.New(rand.NewPCG(seed(seq), 1))
	body = bytes.Repeat([]byte(fmt.Sprintf("record %d ", seq)), 1+r.IntN(30))
	raw = make([]byte, 4*r.IntN(40))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	return body, raw
}

func seed(seq uint64) uint64 { return seq * 0x9e3779b97f4a7c15 }

func (w *writer) frame() []change.Record {
	var recs []change.Record
	for range 1 + w.r.IntN(4) {
		w.seq++
		body, raw := content(w.seq)
		recs = append(recs, change.Record{Kind: change.DocumentAdded, Flags: change.GroupFirst | change.GroupLast, Library: uint32(w.seq % 7), Body: body, Raw: raw, Seq: w.seq})
	}
	if w.r.IntN(3) == 0 {
		recs = append(recs, change.Record{Kind: change.ControlSource, Body: []byte("control")})
	}
	if w.r.IntN(10) == 0 {
		return []change.Record{{Kind: change.ControlKey, Body: []byte("only control")}}
	}
	return recs
}

func changes(recs []change.Record) (n uint64) {
	for i := range recs {
		if !recs[i].Kind.IsControl() {
			n++
		}
	}
	return n
}

func (w *writer) append(t testing.TB) wal.End {
	t.Helper()
	before := w.seq
	recs := w.frame()
	w.seq = before + changes(recs)
	end, err := w.l.Append(recs, 0)
	if err != nil {
		t.Fatal(err)
	}
	if end.Seq != w.seq {
		t.Fatalf("after the append the log ends at seq %d, want %d", end.Seq, w.seq)
	}
	return end
}

// check reads the whole log and checks every record, and returns the end.
func check(t testing.TB, l *wal.Log) change.Stamp {
	t.Helper()
	first := l.Segments()[0]
	r, err := l.NewReader(wal.ReaderStart{Commit: first.FirstCommit})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at := change.Stamp{Seq: first.FirstSeq - 1, Commit: first.FirstCommit - 1}
	for {
		f, err := r.Next(1 << 62)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Commit != at.Commit+1 || f.FirstSeq != at.Seq+1 {
			t.Fatalf("commit %d, seq %d follows %s", f.Commit, f.FirstSeq, at)
		}
		at = f.Stamp()
		checkFrame(t, f)
	}
	if end := l.Durable(); end.Stamp != at {
		t.Fatalf("the reader ends at %s, the log at %s", at, end.Stamp)
	}
	return at
}

func checkFrame(t testing.TB, f *wal.Frame) {
	t.Helper()
	seq := f.FirstSeq
	for i := range f.Records {
		r := &f.Records[i]
		if r.Kind.IsControl() {
			continue
		}
		body, raw := content(seq)
		if r.Seq != seq || r.Library != uint32(seq%7) || !bytes.Equal(r.Body, body) || !bytes.Equal(r.Raw, raw) {
			t.Fatalf("record of seq %d is not what was written: seq %d, library %d, %q", seq, r.Seq, r.Library, r.Body)
		}
		seq++
	}
}

func TestAppendReopenRead(t *testing.T) {
	for _, compress := range []bool{true, false} {
		fs := vfs.NewMem()
		o := options(fs)
		o.NoCompression = !compress
		l, info := open(t, o)
		if !info.Clean || l.Earliest() != 1 {
			t.Fatalf("a new log: %+v, earliest %d", info, l.Earliest())
		}
		w := newWriter(l, 1)
		for round := range 6 {
			for range 40 {
				w.append(t)
			}
			want := check(t, w.l)
			if err := w.l.Close(); err != nil {
				t.Fatal(err)
			}
			o.MustReach = want
			l, info := open(t, o)
			if !info.Clean || info.Moved != 0 || info.End.Stamp != want {
				t.Fatalf("round %d: after a clean stop %+v, want the end at %s", round, info, want)
			}
			w.l = l
		}
		if n := w.l.Stats().Segments; n < 5 {
			t.Errorf("only %d segments: the log did not roll", n)
		}
		ins, err := wal.Inspect(fs, "log", nil)
		if err != nil || len(ins.Problems) > 0 || ins.End.Stamp != w.l.Durable().Stamp {
			t.Errorf("inspect: %+v, %v", ins, err)
		}
		if err := w.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadersStartAnywhere(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	w := newWriter(l, 2)
	chains := map[uint64]uint32{0: l.Durable().Chain}
	for range 120 {
		from := w.seq
		end := w.append(t)
		for s := from + 1; s <= end.Seq; s++ {
			chains[s] = end.Chain
		}
	}
	end := l.Durable()
	for s := uint64(1); s <= end.Seq; s++ {
		r, err := l.NewReader(wal.ReaderStart{Seq: s})
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.Next(end.Commit)
		if err != nil || f.FirstSeq > s || f.LastSeq < s || f.Chain != chains[s] {
			t.Fatalf("from seq %d: %+v, %v; want chain %08x", s, f, err, chains[s])
		}
		checkFrame(t, f)
		r.Close()
	}
	for c := uint64(1); c <= end.Commit; c++ {
		r, err := l.NewReader(wal.ReaderStart{Commit: c})
		if err != nil {
			t.Fatal(err)
		}
		if f, err := r.Next(end.Commit); err != nil || f.Commit != c {
			t.Fatalf("from commit %d: %+v, %v", c, f, err)
		}
		if c > 1 {
			// A limit holds the reader back.
			if _, err := r.Next(c); err != io.EOF {
				t.Fatalf("commit %d is given out above the limit %d: %v", c+1, c, err)
			}
		}
		r.Close()
	}
	for s := range end.Seq + 1 {
		if got, err := l.ChainAt(s); err != nil || got != chains[s] {
			t.Fatalf("ChainAt(%d) = %08x, %v; want %08x", s, got, err, chains[s])
		}
	}
	// A reader at the head waits there, and goes on with what comes.
	r, err := l.NewReader(wal.ReaderStart{Seq: end.Seq + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 60 {
		if f, err := r.Next(1 << 62); err != io.EOF {
			t.Fatalf("at the head: %+v, %v", f, err)
		}
		before := w.seq
		if w.append(t); w.seq == before {
			continue // control records only: passed over until the first change
		}
		break
	}
	if f, err := r.Next(1 << 62); err != nil || f.FirstSeq != end.Seq+1 {
		t.Fatalf("after an append: %+v, %v", f, err)
	}
}

func TestReadersTailWhileWriting(t *testing.T) {
	o := options(vfs.NewMem())
	o.MarkDelay = 1 // marks as often as can be
	l, _ := open(t, o)
	defer l.Close()
	const frames = 400
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r, err := l.NewReader(wal.ReaderStart{Commit: 1})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			var at change.Stamp
			for at.Commit < frames {
				f, err := r.Next(1 << 62)
				if err == io.EOF {
					continue
				}
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				if f.Commit != at.Commit+1 || f.FirstSeq != at.Seq+1 {
					t.Errorf("reader %d: commit %d, seq %d follows %s", i, f.Commit, f.FirstSeq, at)
					return
				}
				at = f.Stamp()
			}
		})
	}
	w := newWriter(l, 3)
	for range frames {
		w.append(t)
	}
	wg.Wait()
}

// points is how many crash points TestCrash takes; ARRWDB_CRASH_POINTS sets it
// for the long form.
func points(t *testing.T, fast int) int {
	if s := os.Getenv("ARRWDB_CRASH_POINTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return fast / 4
	}
	return fast
}

// TestCrash stops the file system at a random write, keeps 0, 50 and 100 % of
// what was not synced, and recovers; the recovery may be stopped as well.
func TestCrash(t *testing.T) {
	first := rand.Uint64()
	t.Logf("first seed %d", first)
	for i := range points(t, 400) {
		s := first + uint64(i)
		if !t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) { crashOnce(t, s) }) {
			return
		}
	}
}

func crashOnce(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	mem := vfs.NewCrashableMem()
	var count, acked, trimmed atomic.Int64
	at := 1 + r.Int64N(400)
	var clones []*vfs.MemFS
	var floor, trim int64
	chains := map[uint64]uint32{}
	var taken bool
	take := func() {
		if taken {
			return
		}
		taken = true
		floor, trim = acked.Load(), trimmed.Load()
		for _, keep := range []int{0, 50, 100} {
			// The background of the log may be what takes them: a source of its own.
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(seed, uint64(keep)))}))
		}
	}
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && count.Add(1) == at {
			take()
		}
		return nil
	})
	// The background work of the log meets the injector too, so it is done by
	// one goroutine at a time.
	var mu sync.Mutex
	locked := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		return inj(op)
	})
	o := options(errorfs.Wrap(mem, locked))
	l, _ := open(t, o)
	w := newWriter(l, seed)
	for range 150 {
		end := w.append(t)
		acked.Store(int64(end.Commit))
		chains[end.Commit] = end.Chain
		if r.IntN(15) == 0 {
			before := max(1, end.Commit-r.Uint64N(min(end.Commit, 40)))
			trimmed.Store(max(trimmed.Load(), int64(before)))
			if _, _, err := l.Trim(before); err != nil {
				t.Fatal(err)
			}
		}
		if r.IntN(12) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l, _ = open(t, o)
			w.l = l
		}
	}
	mu.Lock()
	take()
	mu.Unlock()
	l.Close()
	for i, clone := range clones {
		recoverClone(t, fmt.Sprintf("clone %d of a crash at write %d", i, at), clone, uint64(floor), uint64(trim), chains, r)
	}
}

// recoverClone recovers what a crash has left: everything from trim, to which the log
// may have been trimmed, to floor, which was acknowledged.
func recoverClone(t *testing.T, what string, mem *vfs.MemFS, floor, trim uint64, chains map[uint64]uint32, r *rand.Rand) {
	t.Helper()
	for round := 0; r.IntN(2) == 0 && round < 3; round++ {
		// Cut the recovery off at some write.
		var n int64
		at := 1 + r.Int64N(25)
		var clone *vfs.MemFS
		var mu sync.Mutex
		keep, own := r.IntN(101), rand.New(rand.NewPCG(r.Uint64(), 1))
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if n++; n == at {
					clone = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: own})
				}
			}
			return nil
		})
		l, _, err := wal.Open(options(errorfs.Wrap(mem, inj)))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l.Close()
		mu.Lock()
		if clone != nil {
			mem = clone
			what += fmt.Sprintf(", recovery cut off at write %d", at)
		}
		mu.Unlock()
	}
	o := options(mem)
	o.MustReach = change.Stamp{Commit: floor}
	ins, err := wal.Inspect(mem, "log", nil)
	if err != nil || len(ins.Problems) > 0 {
		t.Fatalf("%s: inspect before recovery: %v, %v", what, ins.Problems, err)
	}
	l, _, err := wal.Open(o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	end := check(t, l)
	if end.Commit < floor {
		t.Fatalf("%s: commit %d was acknowledged, the log ends at %s", what, floor, end)
	}
	first := l.Segments()[0]
	if first.FirstCommit > max(trim, 1) {
		t.Fatalf("%s: the log was to be trimmed before commit %d, it begins at %d", what, trim, first.FirstCommit)
	}
	if got, err := l.ChainAt(first.FirstSeq - 1); err != nil {
		t.Fatalf("%s: %v", what, err)
	} else if want, ok := chains[first.FirstCommit-1]; ok && got != want {
		t.Fatalf("%s: the chain before seq %d is %08x, it was %08x", what, first.FirstSeq, got, want)
	}
	if want, ok := chains[end.Commit]; ok && l.Durable().Chain != want {
		t.Fatalf("%s: the chain at %s is %08x, it was %08x: positions that clients hold are broken", what, end, l.Durable().Chain, want)
	}
	w := newWriter(l, 77)
	for range 5 {
		w.append(t)
	}
	want := check(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.MustReach = want
	l, info := open(t, o)
	if !info.Clean {
		t.Errorf("%s: after recovery and a clean stop: %+v", what, info)
	}
	check(t, l)
	l.Close()
}

// fileBytes returns the segments of a log that was closed.
func fileBytes(t testing.TB, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		f, err := fs.Open(fs.PathJoin("log", n))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		out[n] = b
	}
	return out
}

func memWith(t testing.TB, files map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("log", 0o755); err != nil {
		t.Fatal(err)
	}
	for n, b := range files {
		f, err := fs.Create("log/"+n, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append([]byte(nil), b...)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return fs
}

// TestEveryByteFlipped flips one bit in every byte of a log of 64 KiB that was
// closed cleanly, or killed after its last mark. Opening or inspecting it names
// the file and the place, or reads exactly what was written.
func TestEveryByteFlipped(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	o.SegmentSize = 24 << 10
	l, _ := open(t, o)
	w := newWriter(l, 5)
	for l.Stats().Bytes < 62<<10 {
		w.append(t)
	}
	want := l.Durable().Stamp
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files := fileBytes(t, fs)
	step := 1
	if testing.Short() {
		step = 13
	}
	flips, harmless := 0, 0
	for name, b := range files {
		for i := 0; i < len(b); i += step {
			flipped := append([]byte(nil), b...)
			flipped[i] ^= 1 << (i % 8)
			flips++
			if !detected(t, files, name, flipped, i, want) {
				harmless++
			}
		}
	}
	t.Logf("%d flips, %d in bytes that hold nothing", flips, harmless)
}

// detected opens a log with one file changed. It reports false where the change
// was repaired or did not matter: then everything must be there.
func detected(t *testing.T, files map[string][]byte, name string, b []byte, at int, want change.Stamp) bool {
	t.Helper()
	changed := map[string][]byte{}
	for n, v := range files {
		changed[n] = v
	}
	changed[name] = b
	mem := memWith(t, changed)
	ins, err := wal.Inspect(mem, "log", nil)
	if err != nil && !isNewer(err) {
		t.Fatalf("%s, byte %d: inspect: %v", name, at, err)
	}
	o := options(mem)
	o.SegmentSize = 24 << 10
	l, _, err := wal.Open(o)
	var c *wal.CorruptionError
	switch {
	case errors.As(err, &c):
		if !strings.HasPrefix(c.File, "log/") {
			t.Fatalf("%s, byte %d: the error names %q: %v", name, at, c.File, err)
		}
		if len(ins.Problems) == 0 {
			t.Fatalf("%s, byte %d: open says %v, inspect finds nothing", name, at, err)
		}
		return true
	case isNewer(err):
		return true
	case err != nil:
		t.Fatalf("%s, byte %d: %v", name, at, err)
	}
	defer l.Close()
	// A segment before the last is read when somebody reads it: damage in the
	// middle of it is found then, and by inspect now.
	r, err := l.NewReader(wal.ReaderStart{Commit: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var stamp change.Stamp
	for {
		f, err := r.Next(1 << 62)
		if err == io.EOF {
			break
		}
		if errors.As(err, &c) || isNewer(err) {
			if ins != nil && len(ins.Problems) == 0 && !isNewer(err) {
				t.Fatalf("%s, byte %d: reading says %v, inspect finds nothing", name, at, err)
			}
			return true
		}
		if err != nil {
			t.Fatalf("%s, byte %d: %v", name, at, err)
		}
		checkFrame(t, f)
		stamp = f.Stamp()
	}
	if stamp != want {
		t.Fatalf("%s, byte %d: a flipped bit goes unnoticed, and the log ends at %s instead of %s", name, at, stamp, want)
	}
	return false
}

func isNewer(err error) bool {
	var n *wal.NewerFormatError
	return errors.As(err, &n)
}

// TestEveryTruncation cuts the last segment at every length.
func TestEveryTruncation(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, options(fs))
	w := newWriter(l, 6)
	for range 30 {
		w.append(t)
	}
	want := l.Durable().Stamp
	l.Close()
	files := fileBytes(t, fs)
	last := ""
	for n := range files {
		if strings.HasSuffix(n, ".seg") && n > last {
			last = n
		}
	}
	for cut := range files[last] {
		if !detected(t, files, last, files[last][:cut], cut, want) {
			t.Fatalf("the last segment cut to %d bytes goes unnoticed", cut)
		}
	}
}

// TestSegmentsMissingDoubledSwapped plays with whole files.
func TestSegmentsMissingDoubledSwapped(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, options(fs))
	w := newWriter(l, 7)
	for range 150 {
		w.append(t)
	}
	l.Close()
	files := fileBytes(t, fs)
	var segs []string
	for n := range files {
		if strings.HasSuffix(n, ".seg") {
			segs = append(segs, n)
		}
	}
	must := l.Durable().Stamp
	bad := func(what string, change func(files map[string][]byte)) {
		t.Helper()
		m := map[string][]byte{}
		for n, b := range files {
			m[n] = b
		}
		change(m)
		o := options(memWith(t, m))
		o.MustReach = must
		l, _, err := wal.Open(o)
		var c *wal.CorruptionError
		if !errors.As(err, &c) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				l.Close()
			}
		}
	}
	for i, n := range segs {
		bad("without "+n, func(m map[string][]byte) { delete(m, n) })
		other := segs[(i+1)%len(segs)]
		bad("with "+other+" in place of "+n, func(m map[string][]byte) { m[n] = files[other] })
		bad("with a second "+n, func(m map[string][]byte) { m[fmt.Sprintf("%s-%016x.seg", n[:20], 1)] = files[n] })
	}
	bad("without the lineage", func(m map[string][]byte) { delete(m, "LINEAGE") })
	bad("without anything", func(m map[string][]byte) { clear(m) })
}

// TestTornTail writes junk that no crash of a frame boundary could leave behind
// the end: it is kept aside, and nothing that was acknowledged is touched.
func TestTornTail(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	fs := vfs.NewMem()
	o := options(fs)
	o.SegmentSize = 64 << 10
	o.FillNow = o.SegmentSize // else it rolls as soon as a better segment is ready
	l, _ := open(t, o)
	w := newWriter(l, 8)
	for range 20 {
		w.append(t)
	}
	want := l.Durable().Stamp
	l.Close()
	files := fileBytes(t, fs)
	for n, b := range files {
		if !strings.HasSuffix(n, ".seg") {
			continue
		}
		end := len(bytes.TrimRight(b, "\x00"))
		end += 64
		for range 200 {
			torn := append([]byte(nil), b...)
			for range 1 + r.IntN(400) {
				torn[end+r.IntN(2000)] = byte(r.Uint32())
			}
			mem := memWith(t, map[string][]byte{"LINEAGE": files["LINEAGE"], n: torn})
			o := o
			o.FS, o.MustReach = mem, want
			l, info, err := wal.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if info.Clean || info.TornFile == "" {
				t.Fatalf("junk behind the end is not reported: %+v", info)
			}
			if check(t, l) != want {
				t.Fatal("frames are gone")
			}
			w := newWriter(l, 1)
			w.append(t)
			l.Close()
			if l, info := open(t, o); !info.Clean {
				t.Fatalf("torn again: %+v", info)
			} else {
				l.Close()
			}
		}
	}
}

func TestFailedWriteOrSyncPoisons(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileSyncData, errorfs.OpFileWriteAt} {
		mem := vfs.NewCrashableMem()
		var armed atomic.Bool
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == kind && strings.Contains(op.Path, "log/next-") && armed.Load() {
				return errors.New("injected EIO")
			}
			return nil
		})
		l, _ := open(t, options(errorfs.Wrap(mem, inj)))
		w := newWriter(l, 10)
		for range 20 {
			w.append(t)
		}
		acked := l.Durable().Stamp
		armed.Store(true)
		body, raw := content(w.seq + 1)
		rec := change.Record{Kind: change.DocumentAdded, Library: uint32((w.seq + 1) % 7), Body: body, Raw: raw, Seq: w.seq + 1}
		if _, err := l.Append([]change.Record{rec}, 0); !errors.Is(err, wal.ErrPoisoned) {
			t.Fatalf("a failed %v: %v", kind, err)
		}
		armed.Store(false) // only now: the next segment may be made beside this one
		for range 3 {
			if _, err := l.Append([]change.Record{rec}, 0); !errors.Is(err, wal.ErrPoisoned) {
				t.Fatalf("after a failed %v: %v", kind, err)
			}
		}
		if l.Err() == nil || l.Durable().Stamp != acked || check(t, l) != acked {
			t.Errorf("after a failed %v: %v, %v", kind, l.Err(), l.Durable())
		}
		l.Close()
		for _, keep := range []int{0, 100} {
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(1, 1))})
			o := options(clone)
			o.MustReach = acked
			l, _ := open(t, o)
			check(t, l)
			l.Close()
		}
	}
}

func TestNewerFormatIsNamed(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, options(fs))
	newWriter(l, 1).append(t)
	l.Close()
	files := fileBytes(t, fs)
	for n, b := range files {
		if strings.HasSuffix(n, ".seg") {
			files[n] = wal.WithSegmentVersion(b, wal.FormatVersion+1)
		}
	}
	_, _, err := wal.Open(options(memWith(t, files)))
	if !isNewer(err) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want a NewerFormatError that names version 2", err)
	}
}

func TestLimits(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	if _, err := l.Append(nil, 0); !errors.Is(err, wal.ErrTooLarge) {
		t.Errorf("an empty frame: %v", err)
	}
	if _, err := l.Append(make([]change.Record, wal.MaxRecords+1), 0); !errors.Is(err, wal.ErrTooLarge) {
		t.Errorf("too many records: %v", err)
	}
	if _, err := l.Append([]change.Record{{Kind: change.DocumentAdded, Seq: 1, Body: make([]byte, wal.MaxFrameBytes)}}, 0); !errors.Is(err, wal.ErrTooLarge) {
		t.Errorf("too large a record: %v", err)
	}
	if l.Err() != nil {
		t.Errorf("a refused group poisons the log: %v", l.Err())
	}
	// A frame larger than a segment makes its segment larger.
	if _, err := l.Append([]change.Record{{Kind: change.DocumentAdded, Seq: 1, Body: make([]byte, 100<<10)}}, 0); err != nil {
		t.Error(err)
	}
	if _, err := l.Append([]change.Record{{Kind: change.DocumentAdded, Seq: 2, Body: []byte("x")}}, 0); err != nil {
		t.Error(err)
	}
}

// A frame's time is 32 bits of milliseconds after its segment's base: a log that
// is written to once a month goes on with a new segment.
func TestTimesFarApart(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	at := l.Durable().Time
	seq := uint64(0)
	for range 5 {
		for _, later := range []time.Duration{time.Second, 80 * 24 * time.Hour} {
			at += later.Microseconds()
			seq++
			body, raw := content(seq)
			end, err := l.Append([]change.Record{{Kind: change.DocumentAdded, Library: uint32(seq % 7), Body: body, Raw: raw, Seq: seq}}, at)
			if err != nil {
				t.Fatal(err)
			}
			if lag := at - end.Time; lag < 0 || lag >= 1000 {
				t.Errorf("a commit at %d µs has the time %d", at, end.Time)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ = open(t, o)
	defer l.Close()
	check(t, l)
	if lag := at - l.Durable().Time; lag < 0 || lag >= 1000 {
		t.Errorf("after a restart the log ends at %d, not at %d", l.Durable().Time, at)
	}
}
