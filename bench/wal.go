package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// walWorkload is the log alone: writers that each wait until their record is
// durable.
type walWorkload struct{}

func (walWorkload) Name() string { return "wal" }
func (walWorkload) Doc() string {
	return "the log alone: synced records a second of 1, 8 and 64 writers, beside the raw sync time; reading it"
}

const (
	walRecord = 1024
	// walProbe is the size of the frame of one such record.
	walProbe = 1104
)

func (w walWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	goals := map[int]float64{1: 80, 8: 65, 64: 60}
	for _, writers := range []int{1, 8, 64} {
		name := fmt.Sprintf("size=1k/writers=%d/sync=on", writers)
		if !e.Match(name) {
			continue
		}
		c, err := w.run(ctx, e, name, writers, goals[writers])
		if len(c.RawSamples) > 0 {
			r.Cases = append(r.Cases, c)
		}
		if err != nil {
			return r, err
		}
	}
	if name := "size=1k/read=all/frames=256"; e.Match(name) {
		c, err := w.read(ctx, e, name)
		r.addMeasured(c)
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// readFrame is how many records a frame of a log has that is read.
const readFrame = 256

// read reads a log of a few segments from its beginning, again and again, from the
// page cache: what a replay and a reader that has fallen behind begin with.
func (walWorkload) read(ctx context.Context, e *Env, name string) (Case, error) {
	dir, err := e.subdir()
	if err != nil {
		return Case{}, err
	}
	defer os.RemoveAll(dir)
	l, _, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "log"), Logger: e.Logger, NoCompression: true})
	if err != nil {
		return Case{}, err
	}
	defer l.Close()
	body := newWords(e.Seed).text(nil, walRecord)
	recs := make([]change.Record, readFrame)
	for seq := uint64(1); int64(seq)*walRecord < e.UploadBytes && ctx.Err() == nil; seq += readFrame {
		for i := range recs {
			recs[i] = change.Record{Kind: change.DocumentAdded, Body: body, Seq: seq + uint64(i)}
		}
		if _, err := l.Append(recs, time.Now().UnixMicro()); err != nil {
			return Case{}, err
		}
	}
	metrics := []Metric{
		{Name: "rate", Unit: "records/s"},
		{Name: "bytes", Unit: "GB/s", Goal: atLeast(1)},
	}
	once := func(Sync) (rep, error) {
		r, err := l.NewReader(wal.ReaderStart{Commit: 1})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		records, size := 0, 0
		start := time.Now()
		for {
			f, err := r.Next(1 << 62)
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			records += len(f.Records)
			size += f.Size
		}
		took := time.Since(start).Seconds()
		if uint64(records) != l.Durable().Seq {
			return nil, fmt.Errorf("%d records were read of %d", records, l.Durable().Seq)
		}
		return rep{"rate": float64(records) / took, "bytes": float64(size) / 1e9 / took}, ctx.Err()
	}
	return e.alternate(ctx, name, 0, e.Reps, metrics,
		func() error {
			_, err := once(Sync{})
			return err
		}, once)
}

func (walWorkload) run(ctx context.Context, e *Env, name string, writers int, goal float64) (Case, error) {
	dir, err := e.subdir()
	if err != nil {
		return Case{}, err
	}
	defer os.RemoveAll(dir)
	l, _, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "log"), Logger: e.Logger, NoCompression: true})
	if err != nil {
		return Case{}, err
	}
	defer l.Close()
	body := newWords(e.Seed).text(nil, walRecord)
	metrics := []Metric{
		{Name: "rate", Unit: "records/s"},
		{Name: "of raw", Unit: "%", Goal: atLeast(goal)},
		{Name: "p50", Unit: "µs"},
		{Name: "p99", Unit: "µs"},
		{Name: "per commit", Unit: "records"},
	}
	return e.alternate(ctx, name, walProbe, e.Reps, metrics,
		func() error {
			_, _, err := drive(ctx, l, writers, body, e.Warmup)
			return err
		},
		func(raw Sync) (rep, error) {
			before := l.Stats()
			rate, hist, err := drive(ctx, l, writers, body, e.Duration)
			if err != nil {
				return nil, err
			}
			after := l.Stats()
			commits := max(after.Commits-before.Commits, 1)
			return rep{
				"rate": rate,
				// writers ÷ raw sync time is what a log without any cost of its own
				// would reach with one sync for all of them.
				"of raw":     100 * rate * raw.Mean / 1e6 / float64(writers),
				"p50":        hist.micros(50),
				"p99":        hist.micros(99),
				"per commit": float64(after.Records-before.Records) / float64(commits),
			}, nil
		})
}

// drive lets writers write for that long, and returns records per second.
func drive(ctx context.Context, l *wal.Log, writers int, body []byte, d time.Duration) (float64, latency, error) {
	seq := l.Durable().Seq
	type request = wal.Request[*error]
	p := wal.NewPipeline(l, wal.Env[*error]{
		Prepare: func(reqs []*request) (int, []change.Record, int64) {
			recs := make([]change.Record, len(reqs))
			for i := range recs {
				seq++
				recs[i] = change.Record{Kind: change.DocumentAdded, Body: body, Seq: seq}
			}
			return len(reqs), recs, time.Now().UnixMicro()
		},
		Apply: func([]*request, []change.Record, wal.End) {},
		Failed: func(reqs []*request, err error) {
			for _, r := range reqs {
				*r.Value = err
			}
		},
	})
	hists, errs := make([]latency, writers), make([]error, writers)
	for i := range hists {
		hists[i] = newLatency()
	}
	var wg sync.WaitGroup
	start := time.Now()
	for i := range writers {
		wg.Go(func() {
			for at := time.Now(); errs[i] == nil && at.Sub(start) < d && ctx.Err() == nil; {
				p.Do(&request{Value: &errs[i]})
				now := time.Now()
				hists[i].record(now.Sub(at))
				at = now
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	p.Close()
	all := merged(hists)
	return float64(all.count()) / took.Seconds(), all, errors.Join(append(errs, ctx.Err())...)
}
