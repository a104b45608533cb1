package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/arrwdb/arrwdb/index"
)

// fuse makes one ranking of the nearest and the best.
func (r *SearchResult) fuse(ctx context.Context, q *query) error {
	depth := max(q.req.K, fusionDepth)
	near, err := r.nearest(ctx, q, depth)
	if err != nil {
		return err
	}
	best, err := r.capture.Best(ctx, depth)
	if err != nil {
		return err
	}
	r.fused = make(map[uint32]float64, len(near))
	for _, h := range near {
		r.fused[h.Slot] = h.Score
	}
	scores := make(map[uint32]float64, len(near)+len(best))
	if q.req.Fusion == RankFusion {
		k := q.req.RRFK
		if k == 0 {
			k = defaultRRFK
		}
		addRanks(scores, near, k)
		addRanks(scores, best, k)
	} else {
		for i := range near {
			near[i].Score = scoreOf(r.metric, near[i].Score)
		}
		addScaled(scores, near, q.weight)
		addScaled(scores, best, 1-q.weight)
	}
	hits := make([]index.Hit, 0, len(scores))
	for slot, score := range scores {
		hits = append(hits, index.Hit{Slot: slot, Score: score})
	}
	slices.SortFunc(hits, func(a, b index.Hit) int {
		if c := cmp.Compare(b.Score, a.Score); c != 0 {
			return c
		}
		if r.capture.Before(a.Slot, b.Slot) {
			return -1
		}
		return 1
	})
	r.hits = hits[:min(len(hits), q.req.K)]
	return nil
}

func addRanks(scores map[uint32]float64, hits []index.Hit, k float64) {
	for i, h := range hits {
		scores[h.Slot] += 1 / (k + float64(i+1))
	}
}

// addScaled adds the scores of a list, best first, scaled so that the best is 1 and
// the last 0. In a list of equals all are the best.
func addScaled(scores map[uint32]float64, hits []index.Hit, weight float64) {
	if len(hits) == 0 {
		return
	}
	high, low := hits[0].Score, hits[len(hits)-1].Score
	for _, h := range hits {
		scaled := 1.0
		if high > low {
			scaled = (h.Score - low) / (high - low)
		}
		scores[h.Slot] += weight * scaled
	}
}
