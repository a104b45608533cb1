package bench

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-4 {
		t.Errorf("%s: %.5f, want %.5f", what, got, want)
	}
}

// The wanted values are worked out by hand: the discounts of ranks 1 to 4 are
// 1, 0.63093, 0.5 and 0.43068.
func TestMeasures(t *testing.T) {
	set := func(ids ...string) map[string]bool {
		m := map[string]bool{}
		for _, id := range ids {
			m[id] = true
		}
		return m
	}
	ranked := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		name                   string
		relevant               map[string]bool
		k                      int
		ndcg, mrr, recallOfAll float64
	}{
		{"all at the top", set("a", "b"), 10, 1, 1, 1},
		{"first and third of two", set("a", "c"), 10, 1.5 / 1.63093, 1, 1},
		{"second and fourth of three", set("b", "d", "x"), 10, 1.06161 / 2.13093, 0.5, 2.0 / 3},
		{"more relevant than looked at", set("b", "x", "y", "z"), 2, 0.63093 / 1.63093, 0.5, 0.25},
		{"below k", set("d"), 3, 0, 0, 0},
		{"at k", set("d"), 4, 0.43068, 0.25, 1},
		{"nothing", set("x"), 10, 0, 0, 0},
		{"nothing is relevant", set(), 10, 0, 0, 0},
	} {
		near(t, c.name+": nDCG", ndcg(ranked, c.relevant, c.k), c.ndcg)
		near(t, c.name+": MRR", reciprocalRank(ranked, c.relevant, c.k), c.mrr)
		near(t, c.name+": recall", recall(ranked, c.relevant, c.k), c.recallOfAll)
		near(t, c.name+": of no hits", ndcg(nil, c.relevant, c.k)+reciprocalRank(nil, c.relevant, c.k)+recall(nil, c.relevant, c.k), 0)
	}
}

func TestPaired(t *testing.T) {
	a, b := []float64{9, 0.5, 0.7, 0.9, 0.3}, []float64{0, 0.4, 0.4, 0.8, 0.4}
	// Of the last four the differences are 0.1, 0.3, 0.1, -0.1: mean 0.1, squares of
	// the deviations 0, 0.04, 0, 0.04; variance 0.08 ÷ 3; standard error its root ÷ 2.
	diff, off := paired(a, b, []int{1, 2, 3, 4})
	near(t, "difference", diff, 0.1)
	near(t, "error", off, 1.96*math.Sqrt(0.08/3)/2)
}

func TestBestOverall(t *testing.T) {
	tried := func(at ...float64) (s JudgedSet) {
		for i, v := range at {
			s.Weights = append(s.Weights, WeightTried{relevanceWeights[i], v})
		}
		return s
	}
	// The last weight, best in its one set, was not tried in the other.
	if w := bestOverall([]JudgedSet{tried(0.5, 0.6, 0.58), tried(0.1, 0.1, 0.13), tried(0.1, 0.1, 0.1, 9)}); w == nil || *w != relevanceWeights[2] {
		t.Errorf("weight %v", w)
	}
	if w := bestOverall([]JudgedSet{tried(0.5)}); w != nil {
		t.Errorf("of one weight %v is the best", *w)
	}
	if w := bestOverall(nil); w != nil {
		t.Errorf("of no set %v is the best", *w)
	}
}
