package wal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
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

// counting returns a pipeline whose requests each write one record, at most limit
// of them a frame.
func counting(l *wal.Log, limit int, applied func(seq uint64)) *wal.Pipeline[*uint64] {
	seq := l.Durable().Seq
	return wal.NewPipeline(l, wal.Env[*uint64]{
		Prepare: func(reqs []*wal.Request[*uint64]) (int, []change.Record, int64) {
			n := min(len(reqs), limit)
			recs := make([]change.Record, n)
			for i := range recs {
				seq++
				*reqs[i].Value = seq
				body, raw := content(seq)
				recs[i] = change.Record{Kind: change.DocumentAdded, Library: uint32(seq % 7), Body: body, Raw: raw, Seq: seq}
			}
			return n, recs, 0
		},
		Apply: func(reqs []*wal.Request[*uint64], recs []change.Record, end wal.End) {
			for _, r := range reqs {
				applied(*r.Value)
			}
			if end.Seq != *reqs[len(reqs)-1].Value {
				panic(fmt.Sprintf("the frame ends at seq %d, its last request has %d", end.Seq, *reqs[len(reqs)-1].Value))
			}
		},
		Failed: func(reqs []*wal.Request[*uint64], err error) {
			for _, r := range reqs {
				*r.Value = 0
			}
		},
	})
}

// A frame takes fewer requests than wait: the others stay first in line.
func TestPipelineAppliesInOrder(t *testing.T) {
	for _, limit := range []int{1, 3, 100} {
		t.Run(fmt.Sprintf("limit=%d", limit), func(t *testing.T) { testPipelineOrder(t, limit) })
	}
}

func testPipelineOrder(t *testing.T, limit int) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	var last atomic.Uint64
	p := counting(l, limit, func(seq uint64) {
		if !last.CompareAndSwap(seq-1, seq) {
			t.Errorf("seq %d is applied after %d", seq, last.Load())
		}
	})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			var flying []*wal.Request[*uint64]
			for i := range 100 {
				r := &wal.Request[*uint64]{Value: new(uint64)}
				if g%2 == 0 {
					p.Do(r)
					if last.Load() < *r.Value {
						t.Errorf("Do returned for seq %d, applied up to %d", *r.Value, last.Load())
					}
					continue
				}
				p.Submit(r)
				flying = append(flying, r)
				if i%7 == 6 {
					before := uint64(0)
					for _, r := range flying {
						if err := r.Wait(context.Background()); err != nil {
							t.Error(err)
						}
						if *r.Value <= before {
							t.Errorf("requests of one goroutine got seq %d after %d", *r.Value, before)
						}
						before = *r.Value
					}
					flying = flying[:0]
				}
			}
		})
	}
	wg.Wait()
	p.Close()
	if last.Load() != 1600 || l.Durable().Seq != 1600 {
		t.Errorf("applied %d, durable %d; want 1600", last.Load(), l.Durable().Seq)
	}
	check(t, l)
	late := &wal.Request[*uint64]{Value: new(uint64)}
	p.Submit(late)
	if err := late.Wait(context.Background()); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	p.Do(late)
}

func TestPipelineFailure(t *testing.T) {
	mem := vfs.NewMem()
	var armed atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "log/next-") {
			return errors.New("injected EIO")
		}
		return nil
	})
	l, _ := open(t, options(errorfs.Wrap(mem, inj)))
	defer l.Close()
	p := counting(l, 100, func(uint64) {})
	write := func() uint64 {
		r := &wal.Request[*uint64]{Value: new(uint64)}
		p.Do(r)
		return *r.Value
	}
	if write() != 1 {
		t.Fatal("the first write")
	}
	armed.Store(true)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := write(); got != 0 {
				t.Errorf("acknowledged seq %d after a failed sync", got)
			}
		})
	}
	wg.Wait()
	armed.Store(false)
	if got := write(); got != 0 {
		t.Errorf("acknowledged seq %d after a failed sync, when syncs work again", got)
	}
	p.Close()
}

// BenchmarkPipeline measures durable 1 KiB records, the same way as a raw probe
// beside it: pwrite and fdatasync of as many bytes in an allocated file.
// Alternating, it reports the median of records per second and of the ratio to
// writers ÷ raw sync time.
func BenchmarkPipeline(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("size=1k/writers=%d/sync=on", writers), func(b *testing.B) {
			dir := b.TempDir()
			if d := os.Getenv("ARRWDB_BENCH_DIR"); d != "" {
				dir, _ = os.MkdirTemp(d, "walbench")
				defer os.RemoveAll(dir)
			}
			l, _, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "log"), Logger: quiet, NoCompression: true})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var rates, ratios []float64
			for b.Loop() {
				raw := rawSync(b, dir)
				rate := pipelineRate(l, writers)
				rates = append(rates, rate)
				ratios = append(ratios, rate*raw.Seconds()/float64(writers))
			}
			sort.Float64s(rates)
			sort.Float64s(ratios)
			b.ReportMetric(rates[len(rates)/2], "records/s")
			s := l.Stats()
			b.ReportMetric(s.SyncMeanMS*1000, "µs/sync")
			b.ReportMetric(s.RecordsPerOne, "records/commit")
			b.ReportMetric(100*ratios[len(ratios)/2], "%ofraw")
		})
	}
}

func rawSync(b *testing.B, dir string) time.Duration {
	f, err := vfs.Default.OpenReadWrite(filepath.Join(dir, "raw"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(filepath.Join(dir, "raw"))
	defer f.Close()
	if err := wal.ZeroFill(f, 64<<20); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1104)
	buf[0] = 1
	start := time.Now()
	n := 0
	for time.Since(start) < 300*time.Millisecond {
		if _, err := f.WriteAt(buf, int64(n*len(buf))); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return time.Since(start) / time.Duration(n)
}

func pipelineRate(l *wal.Log, writers int) float64 {
	body := make([]byte, 1024)
	seq := l.Durable().Seq
	p := wal.NewPipeline(l, wal.Env[struct{}]{
		Prepare: func(reqs []*wal.Request[struct{}]) (int, []change.Record, int64) {
			recs := make([]change.Record, len(reqs))
			for i := range recs {
				seq++
				recs[i] = change.Record{Kind: change.DocumentAdded, Body: body, Seq: seq}
			}
			return len(reqs), recs, time.Now().UnixMicro()
		},
		Apply:  func([]*wal.Request[struct{}], []change.Record, wal.End) {},
		Failed: func(_ []*wal.Request[struct{}], err error) { panic(err) },
	})
	start := time.Now()
	var n atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for time.Since(start) < 600*time.Millisecond {
				r := &wal.Request[struct{}]{}
				p.Do(r)
				n.Add(1)
			}
		})
	}
	wg.Wait()
	p.Close()
	return float64(n.Load()) / time.Since(start).Seconds()
}
