package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// searchWorkload is what is found by vectors and by words: the parts of a search
// alone, what it costs to keep them while documents come in, and what HTTP adds.
type searchWorkload struct{}

func (searchWorkload) Name() string { return "search" }
func (searchWorkload) Doc() string {
	return "searches: the scan beside memory's bandwidth, keywords, text indexing, ingest with every index, what HTTP adds"
}

func (w searchWorkload) Run(ctx context.Context, e *Env) (*Report, error) {
	r := &Report{}
	for _, part := range []func(context.Context, *Env, *Report) error{w.flat, w.keyword, w.indexing, w.ingest, w.http} {
		if err := part(ctx, e, r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// addMeasured adds a case that has figures, also where it failed after some.
func (r *Report) addMeasured(c Case) {
	for _, m := range c.Metrics {
		if len(m.Samples) > 0 {
			r.Cases = append(r.Cases, c)
			return
		}
	}
}

const (
	quietTick  = 100 * time.Millisecond
	quietTicks = 3
	quietMost  = 2 * time.Minute
)

// quiet waits until a process has hardly used a processor for three tenths of a
// second: whatever it had to build and merge behind the documents is done, as far
// as it will be. It returns how long that took, without those three tenths. Where a
// process's times cannot be read it only waits a while.
func (e *Env) quiet(ctx context.Context, pid int) (busy time.Duration, err error) {
	before, known := processorTime(pid)
	start := time.Now()
	for still := 0; still < quietTicks; {
		select {
		case <-ctx.Done():
			return busy, ctx.Err()
		case <-time.After(quietTick):
		}
		now, ok := processorTime(pid)
		switch {
		case !ok || !known:
			if time.Since(start) > settle {
				return 0, nil
			}
		case now-before > quietTick/4:
			still, busy = 0, time.Since(start)
		default:
			still++
		}
		before = now
		if time.Since(start) > quietMost {
			return busy, fmt.Errorf("process %d is still at work %v after its last document", pid, quietMost)
		}
	}
	return busy, nil
}

// processorTime returns how long a process has used processors, in steps of 10 ms.
func processorTime(pid int) (time.Duration, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name of the program is in parentheses, and may have some itself.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	ticks := time.Duration(0)
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond, true
}
