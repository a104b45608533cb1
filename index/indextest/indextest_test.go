package indextest_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/flat"
	"github.com/arrwdb/arrwdb/index/indextest"
)

// lossy misses some hits where it may, as a graph does.
type lossy struct {
	index.Vectors
	part float64
}

func (l lossy) Search(ctx context.Context, q []float32, query index.Query, sc *index.Scope, rows index.Rows) ([]index.Hit, error) {
	hits, err := l.Vectors.Search(ctx, q, query, sc, rows)
	if query.Exact || err != nil {
		return hits, err
	}
	kept := hits[:0]
	for _, h := range hits {
		if rand.Float64() >= l.part {
			kept = append(kept, h)
		}
	}
	return kept, nil
}

func TestRecall(t *testing.T) {
	indextest.Run(t, func(m index.Metric, dim int, _ uint64) index.Vectors {
		x, err := flat.New(m, dim, flat.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return lossy{x, 0.05}
	}, indextest.Options{MinRecall: 0.9})
}
