package bench

import "math"

// A judged query is a text and the documents that answer it.
type judged struct {
	text     string
	relevant map[string]bool
}

// ndcg is the normalised discounted cumulative gain of the first k of a ranking,
// with a gain of 1 for each relevant document and the discount log2(rank + 1)
// (Järvelin and Kekäläinen, TOIS 2002): 1 where the first min(k, relevant) hits are
// all relevant.
func ndcg(ranking []string, relevant map[string]bool, k int) float64 {
	gain, best := 0.0, 0.0
	for i, id := range ranking[:min(k, len(ranking))] {
		if relevant[id] {
			gain += 1 / math.Log2(float64(i+2))
		}
	}
	for i := range min(k, len(relevant)) {
		best += 1 / math.Log2(float64(i+2))
	}
	if best == 0 {
		return 0
	}
	return gain / best
}

// reciprocalRank is 1 ÷ the rank of the first relevant document among the first k
// of a ranking, and 0 where there is none.
func reciprocalRank(ranking []string, relevant map[string]bool, k int) float64 {
	for i, id := range ranking[:min(k, len(ranking))] {
		if relevant[id] {
			return 1 / float64(i+1)
		}
	}
	return 0
}

// recall is how many of the relevant documents are among the first k of a ranking.
// It is plain: where more than k are relevant, it cannot be 1.
func recall(ranking []string, relevant map[string]bool, k int) float64 {
	if len(relevant) == 0 {
		return 0
	}
	found := 0
	for _, id := range ranking[:min(k, len(ranking))] {
		if relevant[id] {
			found++
		}
	}
	return float64(found) / float64(len(relevant))
}

// A measure judges a ranking.
type measure struct {
	name string
	of   func(ranking []string, relevant map[string]bool, k int) float64
	k    int
}

var (
	ndcg10    = measure{"nDCG@10", ndcg, 10}
	mrr10     = measure{"MRR@10", reciprocalRank, 10}
	recall10  = measure{"recall@10", recall, 10}
	recall100 = measure{"recall@100", recall, 100}
)

// mean returns the mean of those of v whose index is in of.
func mean(v []float64, of []int) float64 {
	sum := 0.0
	for _, i := range of {
		sum += v[i]
	}
	return sum / float64(len(of))
}
