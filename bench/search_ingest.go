package bench

import (
	"context"
)

// ingest uploads documents to a server that keeps every index, until all are
// acknowledged: then searches find them.
func (w searchWorkload) ingest(ctx context.Context, e *Env, r *Report) error {
	for _, c := range []struct {
		name      string
		dimension int // 0: the built-in model
		goal      float64
		docs      func() (*docs, error)
	}{
		{"ingest/vectors=client/dim=128/words=100", streamDoc.dimension, 10_000,
			func() (*docs, error) { return newDocs(e.Seed, streamDoc), nil }},
		{"ingest/vectors=builtin/texts=" + e.textSource(), 0, 6_000,
			func() (*docs, error) {
				texts, err := e.texts(ctx, e.Docs, indexedWords)
				return textDocs(texts, ""), err
			}},
	} {
		if !e.Match(c.name) {
			continue
		}
		d, err := c.docs()
		if err != nil {
			return err
		}
		done, err := w.ingested(ctx, e, c.name, d, c.dimension, c.goal)
		r.addMeasured(done)
		if err != nil {
			return err
		}
	}
	return nil
}

func (searchWorkload) ingested(ctx context.Context, e *Env, name string, d *docs, dimension int, goal float64) (Case, error) {
	t, err := e.serve(ctx)
	if err != nil {
		return Case{}, err
	}
	defer t.close()
	run := func(n int) (rep, error) {
		lib, err := t.library(dimension)
		if err != nil {
			return nil, err
		}
		up, err := t.upload(ctx, lib, "summary", d, false, func(int64) bool { return atMostN(&n) })
		if err != nil {
			return nil, err
		}
		// Not in the way of the next repetition.
		busy, err := e.quiet(ctx, t.PID)
		if err != nil {
			return nil, err
		}
		return rep{
			"rate": float64(up.docs) / up.answered.Seconds(), "body": float64(up.bytes) / 1e6 / up.answered.Seconds(),
			"merging after": busy.Seconds(), "rate with merging": float64(up.docs) / (up.answered + busy).Seconds(),
		}, nil
	}
	metrics := []Metric{
		{Name: "rate", Unit: "docs/s", Goal: atLeast(goal)},
		{Name: "body", Unit: "MB/s"},
		{Name: "merging after", Unit: "s"},
		{Name: "rate with merging", Unit: "docs/s"},
	}
	return e.alternate(ctx, name, streamProbe, max(e.Reps/2, 1), metrics,
		func() error {
			_, err := run(max(e.Docs/5, 1))
			return err
		},
		func(Sync) (rep, error) { return run(e.Docs) })
}
