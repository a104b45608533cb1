package keyword

import (
	"cmp"
	"slices"

	"github.com/arrwdb/arrwdb/index"
)

// top keeps the k best hits. Once there are k they are a heap, the worst first.
type top struct {
	k     int
	scope *index.Scope
	hits  []index.Hit
	least float64 // a lower score is none of the best; an equal one may be
}

// worse reports whether a comes after b.
func (t *top) worse(a, b *index.Hit) bool {
	if a.Score != b.Score {
		return a.Score < b.Score
	}
	return t.scope.Before(b.Slot, a.Slot)
}

func (t *top) offer(slot uint32, score float64) {
	h := index.Hit{Slot: slot, Score: score}
	if len(t.hits) < t.k {
		t.hits = append(t.hits, h)
		if len(t.hits) == t.k {
			for i := t.k/2 - 1; i >= 0; i-- {
				t.down(i)
			}
			t.least = t.hits[0].Score
		}
		return
	}
	if t.worse(&h, &t.hits[0]) {
		return
	}
	t.hits[0] = h
	t.down(0)
	t.least = t.hits[0].Score
}

func (t *top) down(i int) {
	h := t.hits[i]
	for {
		child := 2*i + 1
		if child >= len(t.hits) {
			break
		}
		if child+1 < len(t.hits) && t.worse(&t.hits[child+1], &t.hits[child]) {
			child++
		}
		if !t.worse(&t.hits[child], &h) {
			break
		}
		t.hits[i] = t.hits[child]
		i = child
	}
	t.hits[i] = h
}

// sorted returns the hits, best first.
func (t *top) sorted() []index.Hit {
	slices.SortFunc(t.hits, func(a, b index.Hit) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		switch {
		case a.Slot == b.Slot:
			return 0
		case t.scope.Before(a.Slot, b.Slot):
			return -1
		}
		return 1
	})
	return t.hits
}
