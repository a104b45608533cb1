package kernel

import "fmt"

// A Bound is a linear bound on the distance of rows coded as int8, of which a row has
// three numbers and a dot product with the query's code. Row i is within it unless
//
//	G*g[i] + S*s[i]*dots[i] + R*r[i] > Limit
//
// so that NaN is within. The left side is rounded at most once for each conversion,
// product and sum; which of them are fused depends on the kernel.
type Bound struct{ G, S, R, Limit float32 }

// Within sets bit i%64 of mask[i/64] if row i is within the bound, for all of dots, and
// the bits after the last to zero. It panics if g, s or r has fewer elements than dots,
// or mask fewer words than they fill.
func Within(b *Bound, dots []int32, g, s, r []float32, mask []uint64) {
	best.Within(b, dots, g, s, r, mask)
}

// Within is the function of that name with this kernel.
func (k Kernel) Within(b *Bound, dots []int32, g, s, r []float32, mask []uint64) {
	n := len(dots)
	if len(g) < n || len(s) < n || len(r) < n || len(mask) < (n+63)/64 {
		panic(fmt.Sprintf("kernel: %d dot products, but %d, %d and %d numbers of rows and room for %d bits",
			n, len(g), len(s), len(r), 64*len(mask)))
	}
	whole := n / 64
	if whole > 0 {
		k.within(b, dots[:whole*64], g, s, r, mask)
	}
	if i := whole * 64; i < n {
		mask[whole] = withinGo(b, dots[i:], g[i:], s[i:], r[i:])
	}
}

// withinGo returns the bits of up to 64 rows.
func withinGo(b *Bound, dots []int32, g, s, r []float32) (word uint64) {
	g, s, r = g[:len(dots)], s[:len(dots)], r[:len(dots)]
	for i, d := range dots {
		v := float32(b.G*g[i]) + float32(b.S*float32(s[i]*float32(d))) + float32(b.R*r[i])
		if !(v > b.Limit) {
			word |= 1 << i
		}
	}
	return word
}

func withinWordsGo(b *Bound, dots []int32, g, s, r []float32, mask []uint64) {
	for i := 0; i < len(dots); i += 64 {
		mask[i/64] = withinGo(b, dots[i:i+64], g[i:], s[i:], r[i:])
	}
}
