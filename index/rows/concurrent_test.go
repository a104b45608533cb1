package rows_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/index/rows"
)

// knownRow is a row that follows from its key and number.
func knownRow(key rows.Key, num uint64) []byte {
	rng := rand.New(rand.NewPCG(uint64(key.Library), num))
	return rowBytes(rng, key.Dim)
}

// TestConcurrent runs the applier, a checkpointer, readers and a verifier side by
// side. A reader must always find what was there when it took its pin, with the
// bytes that belong there, whatever is dropped and used again meanwhile.
func TestConcurrent(t *testing.T) {
	for _, c := range []struct {
		name string
		opts rows.Options
	}{
		{"pread", rows.Options{FS: vfs.NewMem(), Dir: dir, BlockSize: 256, BlocksPerFile: 8}},
		{"mapped", rows.Options{FS: vfs.Default, Dir: filepath.Join(t.TempDir(), "rows"), BlockSize: 4096, BlocksPerFile: 8, Map: true}},
	} {
		c.opts.ManifestRewrite = 4096
		t.Run(c.name, func(t *testing.T) { concurrent(t, c.opts) })
	}
}

func concurrent(t *testing.T, opts rows.Options) {
	const libraries, perLibrary = 60, 40
	s := mustOpen(t, opts)
	key := func(lib uint32) rows.Key { return rows.Key{Library: lib, Dim: 16 + lib%3} }
	var newest atomic.Uint64 // library << 32 | rows of it
	var wg sync.WaitGroup
	stop := make(chan struct{})
	cuts := make(chan *rows.Cut, 1)
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	reader := func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			now := newest.Load()
			if now == 0 {
				continue
			}
			pin := s.Pin()
			v, ok := pin.Space(key(uint32(now >> 32)))
			if ok { // else it was dropped before the pin
				fail(readKnown(v, now&0xffffffff))
			}
			pin.Unpin()
		}
	}
	wg.Add(4)
	go reader()
	go reader()
	go func() {
		defer wg.Done()
		for c := range cuts {
			fail(c.Commit())
		}
	}()
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			rep, err := s.Verify(context.Background(), true)
			if fail(err); rep.Damaged > 0 {
				t.Error(rep.Problems[0])
				return
			}
			s.Stats()
		}
	}()
	seq := uint64(0)
	for lib := uint32(1); lib <= libraries && !t.Failed(); lib++ {
		for num := range uint64(perLibrary) {
			fail(s.Append(rows.Run{Key: key(lib), Num: num, Raw: knownRow(key(lib), num)}))
			newest.Store(uint64(lib)<<32 | (num + 1))
			seq++
			if num%8 == 0 {
				if c, err := s.Cut(stampOf(seq)); err == nil {
					cuts <- c
				} else if err != rows.ErrBusy {
					t.Error(err)
				}
			}
		}
		if lib > 1 {
			fail(s.DropLibrary(lib - 1))
		}
	}
	close(stop)
	close(cuts)
	wg.Wait()
	fail(s.Checkpoint(stampOf(seq)))
	if st := s.Stats(); st.Rows != perLibrary || st.Pins != 0 {
		t.Errorf("at the end: %+v", st)
	}
	fail(s.Close())
	s = mustOpen(t, opts)
	pin := s.Pin()
	v, _ := pin.Space(key(libraries))
	fail(readKnown(v, perLibrary))
	pin.Unpin()
	fail(s.Close())
}

func readKnown(v rows.Space, n uint64) error {
	var b rows.Block
	seen := uint64(0)
	ok, err := v.Next(0, &b)
	for ; ok; ok, err = v.Next(b.Number+1, &b) {
		for i := range b.Len {
			if !b.Has(i) {
				return fmt.Errorf("%v: row %d is missing", v.Key(), b.First+uint64(i))
			}
			want := floatsOf(knownRow(v.Key(), b.First+uint64(i)))
			for j, x := range b.Row(i) {
				if x != want[j] {
					return fmt.Errorf("%v: row %d has other bytes", v.Key(), b.First+uint64(i))
				}
			}
			seen++
		}
	}
	if err == nil && seen < n {
		err = fmt.Errorf("%v: %d rows, want at least %d", v.Key(), seen, n)
	}
	if err != nil {
		return err
	}
	_, err = v.Row(n-1, nil)
	return err
}

// BenchmarkCheckpoint is the checkpoint of 10,000 libraries: all new with 100
// vectors each, and then with one more vector each.
func BenchmarkCheckpoint(b *testing.B) {
	const libraries, vectors, dim = 10_000, 100, 128
	for _, change := range []string{"new", "one-more"} {
		b.Run("libraries=10k/"+change, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := mustOpen(b, rows.Options{FS: vfs.Default, Dir: filepath.Join(b.TempDir(), "rows")})
				fill := func(from uint64, n int) {
					raw := make([]byte, n*4*dim)
					for i := range raw {
						raw[i] = byte(i)
					}
					for lib := range uint32(libraries) {
						binary.LittleEndian.PutUint32(raw, lib)
						if err := s.Append(rows.Run{Key: rows.Key{Library: lib + 1, Dim: dim}, Num: from, Raw: raw}); err != nil {
							b.Fatal(err)
						}
					}
				}
				fill(1, vectors)
				if change == "one-more" {
					must(b, s.Checkpoint(stampOf(1)))
					fill(1+vectors, 1)
				}
				b.StartTimer()
				must(b, s.Checkpoint(stampOf(2)))
				b.StopTimer()
				st := s.Stats()
				b.ReportMetric(float64(st.Files), "files")
				must(b, s.Close())
				b.StartTimer()
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("dim=384/batch=%d", batch), func(b *testing.B) {
			s := mustOpen(b, rows.Options{FS: vfs.Default, Dir: filepath.Join(b.TempDir(), "rows")})
			defer s.Close()
			raw := make([]byte, 4*384)
			runs := make([]rows.Run, batch)
			num := uint64(0)
			b.SetBytes(int64(batch * len(raw)))
			for b.Loop() {
				for i := range runs {
					runs[i] = rows.Run{Key: rows.Key{Library: 1, Dim: 384}, Num: num, Raw: raw}
					num++
				}
				if err := s.Append(runs...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRow(b *testing.B) {
	for _, mapped := range []bool{false, true} {
		b.Run(fmt.Sprintf("dim=128/map=%v", mapped), func(b *testing.B) {
			const n = 100_000
			s := mustOpen(b, rows.Options{FS: vfs.Default, Dir: filepath.Join(b.TempDir(), "rows"), Map: mapped})
			defer s.Close()
			key := rows.Key{Library: 1, Dim: 128}
			must(b, s.Append(rows.Run{Key: key, Raw: make([]byte, n*512)}))
			pin := s.Pin()
			defer pin.Unpin()
			v, _ := pin.Space(key)
			buf := make([]float32, 128)
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Row(rng.Uint64N(n), buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("pin", func(b *testing.B) {
		s := mustOpen(b, rows.Options{FS: vfs.NewMem(), Dir: dir})
		for b.Loop() {
			s.Pin().Unpin()
		}
	})
}
