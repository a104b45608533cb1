package rows_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
)

func stampOf(n uint64) change.Stamp { return change.Stamp{Seq: n, Commit: n} }

func small(fs vfs.FS) rows.Options {
	return rows.Options{FS: fs, Dir: dir, BlockSize: 256, BlocksPerFile: 4}
}

func mustOpen(t testing.TB, o rows.Options) *rows.Store {
	t.Helper()
	s, err := rows.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	must(t, err)
	return data
}

func writeAll(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(slices.Clone(data))
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// story is a store with three checkpoints: two spaces, a drop, a third space.
type story struct {
	log []op
	fs  *vfs.MemFS
	s   *rows.Store
}

func tell(t testing.TB, fs *vfs.MemFS, o rows.Options) *story {
	rng := rand.New(rand.NewPCG(7, 7))
	run := func(lib, dim uint32, num uint64, n int) rows.Run {
		r := rows.Run{Key: rows.Key{Library: lib, Dim: dim}, Num: num}
		for range n {
			r.Raw = append(r.Raw, rowBytes(rng, dim)...)
		}
		return r
	}
	st := &story{fs: fs, s: mustOpen(t, o), log: []op{
		{runs: []rows.Run{run(1, 8, 1, 20), run(2, 3, 1000, 30)}},
		{runs: []rows.Run{run(1, 8, 21, 3), run(3, 8, 5, 1), run(3, 8, 7, 2)}},
		{drop: true, lib: 2},
		{runs: []rows.Run{run(4, 8, 1, 9)}},
	}}
	for i, o := range st.log {
		must(t, o.applyStore(st.s))
		if i != 2 {
			must(t, st.s.Checkpoint(stampOf(uint64(i+1))))
		}
	}
	return st
}

func TestStory(t *testing.T) {
	fs := vfs.NewCrashableMem()
	st := tell(t, fs, small(fs))
	must(t, check(st.s, worldAt(st.log, 4)))
	stats := st.s.Stats()
	if stats.Rows != 35 || stats.Spaces != 3 || stats.Waiting != 0 || stats.Dirty != 0 {
		t.Errorf("stats %+v", stats)
	}
	if n := st.s.DiskBytes(1); n != 3*256 { // numbers 1 to 23 at 8 a block
		t.Errorf("library 1 takes %d bytes", n)
	}
	if st.s.DiskBytes(2) != 0 || st.s.Rows(3) != 3 {
		t.Errorf("library 2 takes %d bytes, library 3 has %d rows", st.s.DiskBytes(2), st.s.Rows(3))
	}
	must(t, st.s.Close())
	must(t, st.s.Close())
	if err := st.s.Append(st.log[0].runs...); !errors.Is(err, rows.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

func TestAppendAgain(t *testing.T) {
	fs := vfs.NewCrashableMem()
	st := tell(t, fs, small(fs))
	// Replay from before the first checkpoint: what is there is passed over.
	for _, i := range []int{0, 1, 3} {
		for _, r := range st.log[i].runs {
			if r.Key.Library != 2 {
				must(t, st.s.Append(r, r))
			}
		}
	}
	must(t, check(st.s, worldAt(st.log, 4)))
	if d := st.s.Stats().Dirty; d != 0 {
		t.Errorf("%d blocks changed", d)
	}
	bad := slices.Clone(st.log[0].runs[0].Raw)
	bad[40] ^= 1
	err := st.s.Append(rows.Run{Key: rows.Key{Library: 1, Dim: 8}, Num: 1, Raw: bad})
	var c *rows.ConflictError
	if !errors.As(err, &c) || c.Num != 2 {
		t.Fatalf("other bytes: %v", err)
	}
	must(t, check(st.s, worldAt(st.log, 4)))
	must(t, st.s.Err())
}

func TestArguments(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, small(fs))
	for _, r := range []rows.Run{
		{Key: rows.Key{Library: 1}, Raw: make([]byte, 4)},
		{Key: rows.Key{Library: 1, Dim: 65}, Raw: make([]byte, 260)}, // larger than a block
		{Key: rows.Key{Library: 1, Dim: rows.MaxDim + 1}, Raw: make([]byte, 4*(rows.MaxDim+1))},
		{Key: rows.Key{Library: 1, Dim: 2}, Raw: make([]byte, 12)},
		{Key: rows.Key{Library: 1, Dim: 2}},
		{Key: rows.Key{Library: 1, Dim: 2}, Num: 1<<64 - 1, Raw: make([]byte, 16)},
	} {
		if err := s.Append(r); err == nil {
			t.Errorf("%v, number %d, %d bytes: no error", r.Key, r.Num, len(r.Raw))
		}
	}
	must(t, s.Append(rows.Run{Key: rows.Key{Library: 1, Dim: 2}, Num: 1<<64 - 1, Raw: make([]byte, 8)}))
	must(t, s.Checkpoint(stampOf(5)))
	if err := s.Checkpoint(stampOf(4)); err == nil {
		t.Error("a checkpoint went back")
	}
	s = mustOpen(t, small(fs.CrashClone(vfs.CrashCloneCfg{})))
	pin := s.Pin()
	defer pin.Unpin()
	v, _ := pin.Space(rows.Key{Library: 1, Dim: 2})
	if !v.Has(1<<64-1) || v.Has(1<<64-2) {
		t.Error("the last number there is")
	}
	if _, err := v.Row(3, nil); !errors.Is(err, rows.ErrNoRow) {
		t.Errorf("no row: %v", err)
	}
	if _, err := rows.Open(rows.Options{FS: fs, Dir: dir, BlockSize: 100}); err == nil {
		t.Error("block size 100")
	}
}

// TestReuse drops and adds libraries for long: the arena does not grow.
func TestReuse(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, small(fs))
	for i := range uint64(200) {
		lib := uint32(i + 1)
		for k := range uint64(10) {
			must(t, s.Append(rows.Run{Key: rows.Key{Library: lib, Dim: 64}, Num: k, Raw: make([]byte, 256)}))
		}
		if i > 0 {
			must(t, s.DropLibrary(lib-1))
		}
		must(t, s.Checkpoint(stampOf(i+1)))
		if st := s.Stats(); st.Blocks != 10 || st.Files > 8 {
			t.Fatalf("round %d: %+v", i, st)
		}
	}
	names, err := fs.List(dir)
	must(t, err)
	if len(names) > 10 {
		t.Errorf("%d files: %v", len(names), names)
	}
}

// TestPinHoldsBlocks tells when a dropped block may be used again: after a
// durable checkpoint and after the last pin that could see it.
func TestPinHoldsBlocks(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, small(fs))
	old := rows.Key{Library: 1, Dim: 64}
	must(t, s.Append(rows.Run{Key: old, Raw: slices.Repeat([]byte{1, 2, 3, 4}, 64)}))
	must(t, s.Checkpoint(stampOf(1)))
	pin := s.Pin()
	must(t, s.DropLibrary(1))
	late := s.Pin()
	if _, ok := late.Space(old); ok {
		t.Error("a pin taken after the drop finds the space")
	}
	fill := func(lib uint32, n uint64) {
		for k := range n {
			must(t, s.Append(rows.Run{Key: rows.Key{Library: lib, Dim: 64}, Num: k, Raw: make([]byte, 256)}))
		}
	}
	fill(2, 3)
	if st := s.Stats(); st.Waiting != 1 || st.FreeBlocks != 0 || st.Files != 1 {
		t.Fatalf("before the checkpoint: %+v", st)
	}
	must(t, s.Checkpoint(stampOf(2)))
	fill(3, 1)
	if st := s.Stats(); st.Waiting != 1 || st.Files != 2 {
		t.Fatalf("under the pin: %+v", st)
	}
	v, ok := pin.Space(old)
	if r, err := v.Row(0, nil); !ok || err != nil || r[0] != floatsOf([]byte{1, 2, 3, 4})[0] {
		t.Fatalf("under the pin: %v, %v, %v", ok, r, err)
	}
	pin.Unpin()
	must(t, s.Checkpoint(stampOf(3)))
	if st := s.Stats(); st.Waiting != 0 || st.FreeBlocks != 4 {
		t.Fatalf("after the pin: %+v", st)
	}
	late.Unpin()
}

func TestCutIsExact(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, small(fs))
	key := rows.Key{Library: 1, Dim: 4}
	rng := rand.New(rand.NewPCG(1, 1))
	a := op{runs: []rows.Run{{Key: key, Num: 0, Raw: rowBytes(rng, 4)}}}
	b := op{runs: []rows.Run{{Key: key, Num: 1, Raw: rowBytes(rng, 4)}}}
	must(t, a.applyStore(s))
	c, err := s.Cut(stampOf(1))
	must(t, err)
	if _, err := s.Cut(stampOf(1)); !errors.Is(err, rows.ErrBusy) {
		t.Errorf("a second cut: %v", err)
	}
	must(t, b.applyStore(s))
	must(t, c.Commit())
	if c.Commit() == nil {
		t.Error("committed twice")
	}
	s = mustOpen(t, small(fs.CrashClone(vfs.CrashCloneCfg{})))
	must(t, check(s, worldAt([]op{a, b}, 1)))
	must(t, b.applyStore(s))
	must(t, check(s, worldAt([]op{a, b}, 2)))
}

// wrongOr opens the store after damage to its manifest: it must be refused with a
// typed error, or be exactly one of the given prefixes of the log.
func wrongOr(t *testing.T, st *story, fs vfs.FS, readOnly bool, allowed ...uint64) (*rows.Store, string) {
	o := small(fs)
	o.ReadOnly = readOnly
	s, err := rows.Open(o)
	if err != nil {
		var d *rows.DamageError
		var n *rows.NewerFormatError
		if !errors.As(err, &d) && !errors.As(err, &n) {
			return nil, fmt.Sprintf("%T: %v", err, err)
		}
		if d != nil && d.File == "" {
			return nil, "no file named"
		}
		return nil, ""
	}
	if n := s.Durable().Seq; !slices.Contains(allowed, n) {
		return nil, fmt.Sprintf("%d is durable, want one of %v", n, allowed)
	} else if err := check(s, worldAt(st.log, n)); err != nil {
		return nil, err.Error()
	}
	return s, ""
}

// TestManifestFlips flips every bit of CURRENT and of the manifest of a store
// that was closed: it is detected, or harmless (a bit of the last mark).
func TestManifestFlips(t *testing.T) {
	fs := vfs.NewCrashableMem()
	st := tell(t, fs, small(fs))
	must(t, st.s.Close())
	opened := 0
	for _, name := range []string{"CURRENT", "MANIFEST-000001"} {
		data := readAll(t, fs, dir+"/"+name)
		for i := range data {
			for bit := range 8 {
				bad := slices.Clone(data)
				bad[i] ^= 1 << bit
				writeAll(t, fs, dir+"/"+name, bad)
				s, why := wrongOr(t, st, fs, true, 4)
				if why != "" {
					t.Fatalf("%s, byte %d of %d, bit %d: %s", name, i, len(data), bit, why)
				}
				if s != nil {
					opened++
					if i < len(data)-32 {
						t.Fatalf("%s, byte %d of %d, bit %d was not noticed", name, i, len(data), bit)
					}
				}
			}
		}
		writeAll(t, fs, dir+"/"+name, data)
	}
	if opened == 0 {
		t.Error("a damaged last mark refuses the store")
	}
}

// TestManifestTears cuts the manifest at every length, with zeros or noise for
// what was lost: the last checkpoint that is whole counts, and the store works on.
func TestManifestTears(t *testing.T) {
	fs := vfs.NewCrashableMem()
	st := tell(t, fs, small(fs))
	path := dir + "/MANIFEST-000001"
	data := readAll(t, fs, path)
	rng := rand.New(rand.NewPCG(3, 3))
	seen := map[uint64]int{}
	for n := range data {
		for mode := range 3 {
			torn := slices.Clone(data[:n])
			for range mode * (len(data) - n) / 2 {
				torn = append(torn, byte(rng.Uint32())*byte(mode-1))
			}
			clone := fs.CrashClone(vfs.CrashCloneCfg{})
			writeAll(t, clone, path, torn)
			s, why := wrongOr(t, st, clone, false, 0, 1, 2, 4)
			if why != "" {
				// Rows of a checkpoint that was acknowledged and then lost with its
				// mark may be gone: here library 2 was dropped and used again.
				t.Fatalf("cut at %d, mode %d: %s", n, mode, why)
			}
			if s == nil {
				if n > 140 {
					t.Fatalf("cut at %d, mode %d: refused", n, mode)
				}
				continue
			}
			d := s.Durable().Seq
			seen[d]++
			for _, o := range st.log[d:] {
				must(t, o.applyStore(s))
			}
			must(t, s.Checkpoint(stampOf(4)))
			again := mustOpen(t, small(clone.CrashClone(vfs.CrashCloneCfg{})))
			if again.Torn() != nil || again.Durable() != stampOf(4) {
				t.Fatalf("cut at %d, mode %d: opened again: %v durable, torn %+v", n, mode, again.Durable(), again.Torn())
			}
			must(t, check(again, worldAt(st.log, 4)))
		}
	}
	for _, n := range []uint64{0, 1, 2, 4} {
		if seen[n] == 0 {
			t.Errorf("no cut led to checkpoint %d: %v", n, seen)
		}
	}
}

// TestDropIsMarked damages the frame of a checkpoint that dropped a library: it
// must not lead back to the one before, whose blocks are others' now.
func TestDropIsMarked(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, small(fs))
	run := rows.Run{Key: rows.Key{Library: 1, Dim: 64}, Raw: make([]byte, 256)}
	must(t, s.Append(run))
	must(t, s.Checkpoint(stampOf(1)))
	before := len(readAll(t, fs, dir+"/MANIFEST-000001"))
	must(t, s.DropLibrary(1))
	must(t, s.Checkpoint(stampOf(2)))
	fs = fs.CrashClone(vfs.CrashCloneCfg{}) // only what was synced
	data := readAll(t, fs, dir+"/MANIFEST-000001")
	data[before+33] ^= 1
	writeAll(t, fs, dir+"/MANIFEST-000001", data)
	_, err := rows.Open(small(fs))
	var d *rows.DamageError
	if !errors.As(err, &d) || d.Offset != int64(before) {
		t.Errorf("a damaged drop: %v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	fs := vfs.NewCrashableMem()
	tell(t, fs, small(fs))
	path := dir + "/MANIFEST-000001"
	data := readAll(t, fs, path)
	binary.LittleEndian.PutUint32(data[8:], 2)
	binary.LittleEndian.PutUint32(data[60:], rows.CRC(data[:60]))
	writeAll(t, fs, path, data)
	_, err := rows.Open(small(fs))
	var n *rows.NewerFormatError
	if !errors.As(err, &n) || n.Found != 2 {
		t.Errorf("format 2: %v", err)
	}
}

// TestRowFlips flips bytes of the row files: Verify names file, block and library
// where the byte belongs to a row, and is silent elsewhere.
func TestRowFlips(t *testing.T) {
	fs := vfs.NewCrashableMem()
	st := tell(t, fs, small(fs))
	must(t, st.s.Close())
	live := 0
	for _, key := range []uint32{1, 3, 4} {
		live += int(map[uint32]int{1: 23, 3: 3, 4: 9}[key]) * 32
	}
	found := 0
	names, err := fs.List(dir)
	must(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, ".rows") {
			continue
		}
		data := readAll(t, fs, dir+"/"+name)
		for i := range data {
			bad := slices.Clone(data)
			bad[i] ^= 0x10
			writeAll(t, fs, dir+"/"+name, bad)
			o := small(fs)
			o.ReadOnly = true
			s := mustOpen(t, o)
			rep, err := s.Verify(context.Background(), true)
			must(t, err)
			if rep.Damaged > 0 {
				found++
				var d *rows.DamageError
				if !errors.As(rep.Problems[0], &d) || d.Key == nil || !strings.HasSuffix(d.File, name) || d.Offset != int64(i/256*256) {
					t.Fatalf("%s, byte %d: %v", name, i, rep.Problems[0])
				}
			}
			must(t, s.Close())
		}
		writeAll(t, fs, dir+"/"+name, data[:len(data)/2])
		o := small(fs)
		o.ReadOnly = true
		s := mustOpen(t, o)
		rep, err := s.Verify(context.Background(), false)
		must(t, err)
		_, errRW := rows.Open(small(fs))
		var d *rows.DamageError
		if rep.Damaged > 0 != errors.As(errRW, &d) {
			t.Fatalf("%s cut in half: verify says %v, open says %v", name, rep.Problems, errRW)
		}
		must(t, s.Close())
		writeAll(t, fs, dir+"/"+name, data)
	}
	if found != live {
		t.Errorf("%d damaged bytes were found, %d belong to rows", found, live)
	}
	must(t, fs.Remove(dir+"/000001.rows"))
	o := small(fs)
	o.ReadOnly = true
	rep, err := mustOpen(t, o).Verify(context.Background(), true)
	if err != nil || rep.Damaged == 0 {
		t.Errorf("a missing file: %+v, %v", rep, err)
	}
}

// TestFaults fails each write, sync and rename once. The store says so from then
// on, goes on reading, and what it had acknowledged is there after a restart.
func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	for at := 0; ; at++ {
		mem := vfs.NewCrashableMem()
		n, fired := 0, ""
		inj := errorfs.InjectorFunc(func(o errorfs.Op) error {
			if o.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				if n++; n-1 == at {
					fired = fmt.Sprintf("%v %s", o.Kind, o.Path)
					return boom
				}
			}
			return nil
		})
		o := small(errorfs.Wrap(mem, inj))
		o.ManifestRewrite = 400
		s, err := rows.Open(o)
		if err != nil {
			if !errors.Is(err, boom) {
				t.Fatalf("fault %d, %s: open: %v", at, fired, err)
			}
			mustOpen(t, small(mem.CrashClone(vfs.CrashCloneCfg{})))
			continue
		}
		rng := rand.New(rand.NewPCG(9, 9))
		var log []op
		acked, tried, done := uint64(0), uint64(0), uint64(0)
		for i := range uint64(12) {
			o := op{runs: []rows.Run{{Key: rows.Key{Library: uint32(i/4 + 1), Dim: 60}, Num: i, Raw: rowBytes(rng, 60)}}}
			if i%4 == 3 {
				o = op{drop: true, lib: uint32(i / 4)}
			}
			log = append(log, o)
			if err = o.applyStore(s); err != nil {
				break
			}
			done, tried = i+1, i+1
			if err = s.Checkpoint(stampOf(i + 1)); err != nil {
				break
			}
			acked = i + 1
		}
		if fired == "" {
			t.Logf("%d faults", at)
			return
		}
		if err != nil {
			if !errors.Is(err, boom) || !errors.Is(err, rows.ErrPoisoned) || s.Err() == nil {
				t.Fatalf("fault %d, %s: %v", at, fired, err)
			}
			if err := s.Checkpoint(stampOf(100)); !errors.Is(err, rows.ErrPoisoned) {
				t.Fatalf("fault %d, %s: the next checkpoint: %v", at, fired, err)
			}
			if err := s.Append(log[0].runs...); !errors.Is(err, rows.ErrPoisoned) {
				t.Fatalf("fault %d, %s: the next append: %v", at, fired, err)
			}
			if err := check(s, worldAt(log, done)); err != nil {
				t.Fatalf("fault %d, %s: reading after it: %v", at, fired, err)
			}
		}
		s, err = rows.Open(small(mem.CrashClone(vfs.CrashCloneCfg{})))
		if err != nil {
			t.Fatalf("fault %d, %s: %v", at, fired, err)
		}
		d := s.Durable().Seq
		if d != acked && d != tried {
			t.Fatalf("fault %d, %s: %d is durable, acknowledged was %d", at, fired, d, acked)
		}
		if err := check(s, worldAt(log, d)); err != nil {
			t.Fatalf("fault %d, %s: after a restart: %v", at, fired, err)
		}
	}
}

// TestReadOnly opens a directory that nobody may write to.
func TestReadOnly(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "rows")
	for _, mapped := range []bool{false, true} {
		o := rows.Options{FS: vfs.Default, Dir: path, BlockSize: 4096, BlocksPerFile: 4, Map: mapped}
		if _, err := rows.Open(rows.Options{FS: vfs.Default, Dir: path + "-none", ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("nothing there: %v", err)
		}
		log := []op{{runs: []rows.Run{{Key: rows.Key{Library: 1, Dim: 3}, Num: 1, Raw: rowBytes(rand.New(rand.NewPCG(1, 2)), 3)}}}}
		s := mustOpen(t, o)
		must(t, log[0].applyStore(s))
		must(t, s.Checkpoint(stampOf(1)))
		must(t, s.Close())
		must(t, os.Chmod(path, 0o555))
		writes := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				t.Errorf("a write: %v %s", op.Kind, op.Path)
			}
			return nil
		})
		o.FS, o.ReadOnly = errorfs.Wrap(vfs.Default, writes), true
		s = mustOpen(t, o)
		must(t, check(s, worldAt(log, 1)))
		if s.Append(log[0].runs...) != rows.ErrReadOnly || s.DropLibrary(1) != rows.ErrReadOnly || s.Checkpoint(stampOf(2)) != rows.ErrReadOnly {
			t.Error("a read-only store can be changed")
		}
		must(t, s.Close())
		must(t, os.Chmod(path, 0o755))
	}
}

// TestMapped runs one history with mapped memory and with pread.
func TestMapped(t *testing.T) {
	var log []op
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range uint64(60) {
		key := rows.Key{Library: uint32(i%5 + 1), Dim: 33}
		log = append(log, op{runs: []rows.Run{{Key: key, Num: 10 * i, Raw: append(rowBytes(rng, 33), rowBytes(rng, 33)...)}}})
	}
	log = append(log, op{drop: true, lib: 2})
	path := filepath.Join(t.TempDir(), "rows")
	for i, mapped := range []bool{true, false, true} {
		s := mustOpen(t, rows.Options{FS: vfs.Default, Dir: path, BlockSize: 4096, BlocksPerFile: 4, Map: mapped})
		for _, o := range log[i*20:] {
			must(t, o.applyStore(s))
			if o.drop {
				break
			}
		}
		must(t, check(s, worldAt(log, uint64(len(log)))))
		must(t, s.Checkpoint(stampOf(uint64(i+1))))
		pin := s.Pin()
		v, _ := pin.Space(rows.Key{Library: 1, Dim: 33})
		must(t, s.Close())
		if r, err := v.Row(0, nil); err != nil || !slices.Equal(r, floatsOf(log[0].runs[0].Raw[:132])) {
			t.Errorf("a pin from before Close: %v", err)
		}
		pin.Unpin()
	}
}
