package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/keyword"
	"github.com/arrwdb/arrwdb/index/search"
)

const (
	// indexedWords is the length of a text that is indexed.
	indexedWords = 100
	// mergedAtOnce is how many segments of a size a library merges into one of the
	// next (see index/search).
	mergedAtOnce = 8
)

// indexing makes segments of texts as a library does, with one processor.
func (searchWorkload) indexing(ctx context.Context, e *Env, r *Report) error {
	name := fmt.Sprintf("indexing/texts=zipf/docs=%d/words=%d/procs=1", e.textCount, indexedWords)
	if !e.Match(name) {
		return nil
	}
	a, err := analysis.New(textLanguage)
	if err != nil {
		return err
	}
	texts := makeTexts(e.Seed, e.textCount, indexedWords)
	metrics := []Metric{
		{Name: "rate", Unit: "docs/s", Goal: atLeast(20_000)},
		{Name: "body", Unit: "MB/s"},
		{Name: "adding", Unit: "µs/doc"},
		{Name: "building", Unit: "µs/doc"},
		{Name: "merging", Unit: "µs/doc"},
	}
	// The collector's share is on the same processor: the figure is for a core.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c, err := e.alternate(ctx, name, 0, max(e.Reps/2, 1), metrics,
		func() error {
			_, err := indexTexts(ctx, a, texts[:len(texts)/5])
			return err
		},
		func(Sync) (rep, error) {
			x, err := indexTexts(ctx, a, texts)
			if err != nil {
				return nil, err
			}
			docs, bytes := float64(len(texts)), 0
			for _, t := range texts {
				bytes += len(t)
			}
			took := x.add + x.build + x.merge
			return rep{
				"rate": docs / took.Seconds(), "body": float64(bytes) / 1e6 / took.Seconds(),
				"adding": us(x.add) / docs, "building": us(x.build) / docs, "merging": us(x.merge) / docs,
			}, nil
		})
	r.addMeasured(c)
	return err
}

// An indexed is what texts have become, and how long that took.
type indexed struct {
	segments          []*keyword.Segment
	add, build, merge time.Duration
}

// indexTexts fills tails, builds each that is full and the rest, and merges what
// has as many neighbours of its size as a library wants.
func indexTexts(ctx context.Context, a *analysis.Analyzer, texts []string) (indexed, error) {
	var x indexed
	for len(texts) > 0 {
		if err := ctx.Err(); err != nil {
			return x, err
		}
		n := min(len(texts), search.DefaultTailSlots)
		at := time.Now()
		tail := keyword.NewTail(a)
		for _, t := range texts[:n] {
			tail.Add("", t)
		}
		added := time.Now()
		x.add += added.Sub(at)
		segment, err := keyword.Open(tail.Build()) // a library opens it too, and so checks it
		if err != nil {
			return x, err
		}
		built := time.Now()
		x.build += built.Sub(added)
		x.segments, texts = append(x.segments, segment), texts[n:]
		if err := x.mergeDue(); err != nil {
			return x, err
		}
		x.merge += time.Since(built)
	}
	return x, nil
}

// mergeDue merges the last segments as long as there are enough of a size.
func (x *indexed) mergeDue() error {
	for n := len(x.segments); n >= mergedAtOnce; n = len(x.segments) {
		last := x.segments[n-mergedAtOnce:]
		for _, s := range last {
			if s.Len() != last[0].Len() {
				return nil
			}
		}
		b, err := keyword.Merge(last, nil)
		if err != nil {
			return err
		}
		merged, err := keyword.Open(b)
		if err != nil {
			return err
		}
		x.segments = append(x.segments[:n-mergedAtOnce], merged)
	}
	return nil
}
