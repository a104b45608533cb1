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
		if near, err = r.nearToo(q, near, best); err != nil {
			return err
		}
		for i := range near {
			near[i].Score = scoreOf(r.metric, near[i].Score)
		}
		if len(near) > 0 {
			addScaled(scores, near, near[len(near)-1].Score, q.weight)
		}
		addScaled(scores, best, 0, 1-q.weight) // a chunk without the words has 0
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

// nearToo appends the distances of those of best that are not among the nearest, and
// puts all in order: what was found by its words is judged by its vector too.
func (r *SearchResult) nearToo(q *query, near, best []index.Hit) ([]index.Hit, error) {
	var slots []uint32
	for _, h := range best {
		if _, ok := r.fused[h.Slot]; !ok {
			slots = append(slots, h.Slot)
		}
	}
	space, ok := r.vectors(len(q.vector))
	if !ok || len(slots) == 0 {
		return near, nil
	}
	measure := index.NewMeasure(r.metric, q.vector)
	row, distance := make([]float32, len(q.vector)), make([]float64, 1)
	for _, slot := range slots {
		num := r.capture.Num(slot)
		if !space.Has(num) {
			continue
		}
		if err := space.ReadInto(num, row); err != nil {
			return nil, err
		}
		if measure.Distances(row, distance); q.req.MaxDistance == nil || distance[0] <= *q.req.MaxDistance {
			near = append(near, index.Hit{Slot: slot, Score: distance[0]})
			r.fused[slot] = distance[0]
		}
	}
	slices.SortFunc(near, func(a, b index.Hit) int { return cmp.Compare(a.Score, b.Score) })
	return near, nil
}

func addRanks(scores map[uint32]float64, hits []index.Hit, k float64) {
	for i, h := range hits {
		scores[h.Slot] += 1 / (k + float64(i+1))
	}
}

// addScaled adds the scores of a list, best first, scaled so that the best is 1 and
// low is 0. In a list of equals all are the best.
func addScaled(scores map[uint32]float64, hits []index.Hit, low, weight float64) {
	for _, h := range hits {
		scaled := 1.0
		if high := hits[0].Score; high > low {
			scaled = (h.Score - low) / (high - low)
		}
		scores[h.Slot] += weight * scaled
	}
}
