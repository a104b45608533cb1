package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A Workload is a set of cases that belong together.
type Workload interface {
	Name() string
	Doc() string // one line
	// Run runs the cases that e.Match lets through. It returns what it has
	// measured also where it fails in the middle.
	Run(ctx context.Context, e *Env) (*Report, error)
}

// Workloads returns all of them.
func Workloads() []Workload {
	return []Workload{walWorkload{}, ingestWorkload{}, feedWorkload{}, searchWorkload{}, recoverWorkload{}, relevanceWorkload{}}
}

// Find returns the workload of that name.
func Find(name string) (Workload, bool) {
	for _, w := range Workloads() {
		if w.Name() == name {
			return w, true
		}
	}
	return nil, false
}

// An Env is what a workload is run in. Its zero fields mean their defaults.
type Env struct {
	Dir         string        // where data and probe files go; default "."
	Seed        uint64        // of everything that is made up
	Reps        int           // repetitions of a case; default 10
	Warmup      time.Duration // of cases that run for a time; default Duration / 2
	Duration    time.Duration // of one repetition; default 1 s
	Docs        int           // of one upload; a replay has four times as many; default 30,000
	UploadBytes int64         // of the upload whose memory is measured; default 300 MB
	Texts       string        // that search finds by words: NDJSON with members "text", or TextsDebian; default made up
	// Data is where relevance keeps what it has fetched. Default: a directory below
	// Dir, which stays.
	Data     string
	DocLimit int // documents of each of relevance's sets; 0 is all
	Queries  int // that relevance samples of a set; default 1,000
	Only     *regexp.Regexp
	Logger   *slog.Logger
	// Start starts a server on a data directory, which may not exist yet. Default:
	// this program's own serve, with ServeArgs.
	Start     func(ctx context.Context, data string) (*Server, error)
	ServeArgs []string
	Program   string // whose serve is measured; default this one

	// echo starts an Echo. Default: a process of its own.
	echo      func() (addr string, stop func(), err error)
	probeFor  time.Duration // how long the raw probe takes
	codeBytes int           // of the vectors' codes that are scanned
	textCount int           // of the texts that are indexed and searched, at most
	cases     int
}

func (e *Env) setDefaults() {
	if e.Dir == "" {
		e.Dir = "."
	}
	if e.Reps <= 0 {
		e.Reps = 10
	}
	if e.Duration <= 0 {
		e.Duration = time.Second
	}
	if e.Warmup <= 0 {
		e.Warmup = e.Duration / 2
	}
	if e.Docs <= 0 {
		e.Docs = 30_000
	}
	if e.UploadBytes <= 0 {
		e.UploadBytes = 300_000_000
	}
	if e.Data == "" {
		e.Data = filepath.Join(e.Dir, "arrwdb-bench-data")
	}
	if e.Queries <= 0 {
		e.Queries = 1000
	}
	if e.probeFor <= 0 {
		e.probeFor = 300 * time.Millisecond
	}
	if e.echo == nil {
		e.echo = e.startEcho
	}
	if e.codeBytes <= 0 {
		e.codeBytes = 256 << 20
	}
	if e.textCount <= 0 {
		e.textCount = 100_000
	}
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	if e.Start == nil {
		e.Start = e.startChild
	}
}

// Match reports whether a case is to be run.
func (e *Env) Match(name string) bool { return e.Only == nil || e.Only.MatchString(name) }

// Run runs a workload in a directory of its own below e.Dir, which is gone
// afterwards. The report is nil only where nothing was begun.
func Run(ctx context.Context, w Workload, e *Env) (*Report, error) {
	own := *e
	own.setDefaults()
	dir, err := os.MkdirTemp(own.Dir, "arrwdb-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	parent := own.Dir
	if own.Dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	start := time.Now()
	r, err := w.Run(ctx, &own)
	if r == nil {
		r = &Report{}
	}
	r.Workload = w.Name()
	r.Environment = describe(parent, start)
	r.Options = Options{
		Seed: own.Seed, Reps: own.Reps, WarmupMS: ms(own.Warmup), DurationMS: ms(own.Duration),
		Docs: own.Docs, UploadBytes: own.UploadBytes, Texts: own.Texts, ServeArgs: own.ServeArgs,
	}
	if len(r.Sets) > 0 {
		r.Options.Docs, r.Options.DocLimit, r.Options.Queries = 0, own.DocLimit, own.Queries
	}
	if own.Only != nil {
		r.Options.Only = own.Only.String()
	}
	r.TookSeconds = time.Since(start).Seconds()
	if err == nil && len(r.Cases) == 0 {
		err = fmt.Errorf("bench: no case of %s matches %q", w.Name(), r.Options.Only)
	}
	return r, err
}

// subdir returns a new empty directory below e.Dir.
func (e *Env) subdir() (string, error) {
	e.cases++
	dir := filepath.Join(e.Dir, fmt.Sprintf("case-%d", e.cases))
	return dir, os.Mkdir(dir, 0o777)
}

// A rep is what one repetition measured: figures by the names of the case's
// metrics.
type rep map[string]float64

// alternate runs a case: a warm-up, and then e.Reps times the raw probe of size
// bytes and one repetition, whose figures collect gathers into the metrics.
// once is told what the probe beside it said. With size 0 there is no probe: the
// case has nothing to do with the device.
func (e *Env) alternate(ctx context.Context, name string, size, reps int, metrics []Metric,
	warm func() error, once func(raw Sync) (rep, error),
) (Case, error) {
	c := Case{Name: name, Reps: reps, Metrics: metrics}
	var p *Probe
	if size > 0 {
		var err error
		if p, err = NewProbe(e.Dir); err != nil {
			return c, err
		}
		defer p.Close()
	}
	e.Logger.Info("bench", "case", name, "reps", reps)
	if warm != nil {
		if err := warm(); err != nil {
			return c, fmt.Errorf("%s: warm-up: %w", name, err)
		}
	}
	var raws []Sync
	for i := range reps {
		if err := ctx.Err(); err != nil {
			return c, errors.Join(err, c.finish(raws))
		}
		var raw Sync
		if p != nil {
			var err error
			if raw, err = p.Measure(size, e.probeFor); err != nil {
				return c, err
			}
			raws = append(raws, raw)
		}
		figures, err := once(raw)
		if err != nil {
			return c, fmt.Errorf("%s: repetition %d: %w", name, i+1, err)
		}
		for k := range c.Metrics {
			m := &c.Metrics[k]
			if v, ok := figures[m.Name]; ok {
				m.Samples = append(m.Samples, v)
			}
		}
	}
	return c, c.finish(raws)
}
