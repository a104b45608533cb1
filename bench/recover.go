package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/arrwdb/arrwdb/engine"
)

// recoverWorkload is how soon a database is back.
type recoverWorkload struct{}

func (recoverWorkload) Name() string { return "recover" }
func (recoverWorkload) Doc() string {
	return "restarts: after kill -9 in the middle of an upload, and what replay does a second"
}

func (w recoverWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	for _, c := range []struct {
		name string
		run  func(context.Context, *Env, string) (Case, error)
	}{
		{fmt.Sprintf("kill/docs=%d/dim=128/words=100", e.killedDocs()), w.kill},
		{"replay/text=small", w.replay},
		{"replay/dim=128/words=100", w.replay},
	} {
		if !e.Match(c.name) {
			continue
		}
		done, err := c.run(ctx, e, c.name)
		r.addMeasured(done)
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// killedDocs is how many documents are sent before the kill.
func (e *Env) killedDocs() int { return e.Docs * 20 / 3 }

// recovered is what a server says of its start.
type recovered struct {
	Recovery engine.Recovery `json:"recovery"`
	HeadSeq  uint64          `json:"head_seq"`
}

// kill starts a server, kills it in the middle of an upload, and starts it again.
func (recoverWorkload) kill(ctx context.Context, e *Env, name string) (Case, error) {
	d := newDocs(e.Seed, streamDoc)
	metrics := []Metric{
		{Name: "ready after", Unit: "s", Goal: atMost(2)},
		{Name: "upload until then", Unit: "docs/s"},
		{Name: "replayed", Unit: "records"},
		{Name: "replaying", Unit: "s"},
		{Name: "loading", Unit: "s"},
		{Name: "replay rate", Unit: "records/s"},
	}
	return e.alternate(ctx, name, streamProbe, max(e.Reps/2, 1), metrics, nil, func(Sync) (rep, error) {
		t, err := e.serve(ctx)
		if err != nil {
			return nil, err
		}
		defer t.close()
		lib, err := t.library(streamDoc.dimension)
		if err != nil {
			return nil, err
		}
		sent, start := 0, time.Now()
		var took time.Duration
		_, err = t.upload(ctx, lib, "summary", d, false, func(int64) bool {
			if sent++; sent == e.killedDocs() {
				took = time.Since(start)
				go t.Stop() // which kills it
			}
			return true
		})
		if took == 0 || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		t.Stop()
		start = time.Now()
		again, err := e.Start(ctx, filepath.Join(t.dir, "data"))
		if err != nil {
			return nil, err
		}
		ready := time.Since(start)
		t.Server = again
		b, err := call(again.Addr, "GET", "/v1/status", nil)
		if err != nil {
			return nil, err
		}
		var s recovered
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, err
		}
		if s.HeadSeq < 2 {
			return nil, errors.New("nothing is left of the upload")
		}
		return withReplay(rep{"ready after": ready.Seconds(), "upload until then": float64(sent) / took.Seconds()}, s.Recovery), nil
	})
}

func withReplay(figures rep, r engine.Recovery) rep {
	figures["replayed"] = float64(r.Records)
	figures["replaying"], figures["loading"] = r.ReplayMS/1000, (r.TookMS-r.ReplayMS)/1000
	figures["replay rate"] = float64(r.Records) / max(r.ReplayMS/1000, 1e-3)
	return figures
}

// replay opens a copy of a database that has made no checkpoint since it was new.
func (recoverWorkload) replay(ctx context.Context, e *Env, name string) (Case, error) {
	dir, err := e.subdir()
	if err != nil {
		return Case{}, err
	}
	defer os.RemoveAll(dir)
	spec, goal := streamDoc, (*Goal)(nil)
	if name == "replay/text=small" {
		spec, goal = docSpec{dimension: 4, textBytes: 32}, atLeast(200_000)
	}
	from := filepath.Join(dir, "data")
	// The memtable holds everything, so that nothing of it is on the disk.
	o := engine.Options{Create: true, Logger: e.Logger, CheckpointInterval: -1, MemTableBytes: 1 << 30}
	db, err := engine.Open(from, o)
	if err != nil {
		return Case{}, err
	}
	defer db.Close()
	if err := load(ctx, db, newDocs(e.Seed, spec), e.killedDocs()); err != nil {
		return Case{}, err
	}
	metrics := []Metric{
		{Name: "replay rate", Unit: "records/s", Goal: goal},
		{Name: "replaying", Unit: "s"},
		{Name: "replayed", Unit: "records"},
	}
	n := 0
	return e.alternate(ctx, name, 0, max(e.Reps/2, 1), metrics, nil, func(Sync) (rep, error) {
		n++
		to := filepath.Join(dir, fmt.Sprint("copy-", n))
		defer os.RemoveAll(to)
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return nil, err
		}
		copied, err := engine.Open(to, o)
		if err != nil {
			return nil, err
		}
		r := copied.Status().Recovery
		return withReplay(rep{}, r), copied.Close()
	})
}
