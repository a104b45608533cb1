package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/index/kernel"
)

// kernels returns all that run here.
func kernels(t testing.TB) (out []kernel.Kernel) {
	for _, name := range kernel.Variants() {
		k, err := kernel.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	return out
}

func randomF32(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

// randomI8 returns codes among which the extremes are frequent.
func randomI8(rng *rand.Rand, n int) []int8 {
	out := make([]int8, n)
	for i := range out {
		switch rng.IntN(8) {
		case 0:
			out[i] = -128
		case 1:
			out[i] = 127
		default:
			out[i] = int8(rng.Uint32())
		}
	}
	return out
}

// randomIDs returns ids in no order, some of them twice, the last row among them.
func randomIDs(rng *rand.Rand, rows, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(rng.IntN(rows))
	}
	if n > 0 {
		out[rng.IntN(n)] = uint32(rows - 1)
	}
	return out
}

// wantF32 is the true value and the error that doc.go allows.
func wantF32(l2 bool, q, r []float32) (want, bound float64) {
	sum, n := 0.0, float64(len(q))
	for i := range q {
		a, b := float64(q[i]), float64(r[i])
		if l2 {
			want += (a - b) * (a - b)
			sum += (a - b) * (a - b)
		} else {
			want += a * b
			sum += math.Abs(a * b)
		}
	}
	if l2 {
		n += 2
	}
	return want, 1.01 * (n + 1) * sum / (1 << 24)
}

func wantI8(l2 bool, q, r []int8) int32 {
	var sum int64
	for i := range q {
		a, b := int64(q[i]), int64(r[i])
		if l2 {
			sum += (a - b) * (a - b)
		} else {
			sum += a * b
		}
	}
	if sum != int64(int32(sum)) {
		panic("the test's sum overflows")
	}
	return int32(sum)
}

// checkF32 compares all four functions over float32 with the true values, and the
// forms of the call with each other.
func checkF32(t *testing.T, k kernel.Kernel, q, rows []float32, ids []uint32) {
	t.Helper()
	dim := len(q)
	for _, l2 := range []bool{false, true} {
		byIDs, byRange := k.DotF32, k.DotRangeF32
		if l2 {
			byIDs, byRange = k.L2F32, k.L2RangeF32
		}
		all := make([]float32, len(rows)/dim)
		byRange(q, rows, all)
		for i, got := range all {
			want, bound := wantF32(l2, q, rows[i*dim:][:dim])
			if !(math.Abs(float64(got)-want) <= bound) {
				t.Fatalf("%v l2=%v dim=%d row %d of %d: %v, want %v ± %v", k, l2, dim, i, len(all), got, want, bound)
			}
		}
		out := make([]float32, len(ids))
		byIDs(q, rows, ids, out)
		for i, id := range ids {
			if math.Float32bits(out[i]) != math.Float32bits(all[id]) {
				t.Fatalf("%v l2=%v dim=%d place %d of %d: %v by id %d, but %v in the range", k, l2, dim, i, len(ids), out[i], id, all[id])
			}
		}
	}
}

func checkI8(t *testing.T, k kernel.Kernel, q, rows []int8, ids []uint32) {
	t.Helper()
	dim := len(q)
	for _, l2 := range []bool{false, true} {
		byIDs, byRange := k.DotI8, k.DotRangeI8
		if l2 {
			byIDs, byRange = k.L2I8, k.L2RangeI8
		}
		all := make([]int32, len(rows)/dim)
		byRange(q, rows, all)
		for i, got := range all {
			if want := wantI8(l2, q, rows[i*dim:][:dim]); got != want {
				t.Fatalf("%v l2=%v dim=%d row %d of %d: %d, want %d", k, l2, dim, i, len(all), got, want)
			}
		}
		out := make([]int32, len(ids))
		byIDs(q, rows, ids, out)
		for i, id := range ids {
			if out[i] != all[id] {
				t.Fatalf("%v l2=%v dim=%d place %d of %d: %d by id %d, but %d in the range", k, l2, dim, i, len(ids), out[i], id, all[id])
			}
		}
	}
}

// dims are those of the differential test.
func dims() (out []int) {
	for d := 1; d <= 300; d++ {
		out = append(out, d)
	}
	return append(out, 384, 500, 511, 513, 768, 1000, 1024, 1536, 4096)
}

func TestAgainstNaive(t *testing.T) {
	for _, k := range kernels(t) {
		t.Run(k.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for _, dim := range dims() {
				for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 11, 23} {
					count := rng.IntN(40)
					// One element off, so that rows have no alignment.
					f := randomF32(rng, dim*(n+1)+1)[1:]
					checkF32(t, k, f[:dim], f[dim:], randomIDs(rng, n, count))
					b := randomI8(rng, dim*(n+1)+1)[1:]
					checkI8(t, k, b[:dim], b[dim:], randomIDs(rng, n, count))
				}
			}
		})
	}
}

// TestExtremes has the largest sums that there are, of both signs.
func TestExtremes(t *testing.T) {
	fill := func(n int, v int8) []int8 { return slices.Repeat([]int8{v}, n) }
	values := []int8{-128, -127, -1, 0, 1, 127}
	for _, k := range kernels(t) {
		for _, dim := range []int{1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 384, 32767, kernel.MaxDimI8} {
			for _, a := range values {
				var rows []int8
				for _, b := range values {
					rows = append(rows, fill(dim, b)...)
				}
				checkI8(t, k, fill(dim, a), rows, []uint32{5, 4, 3, 2, 1, 0, 0})
			}
		}
		// Every pair of bytes, each in another place.
		for _, dim := range []int{16, 33, 64, 100} {
			for a := -128; a < 128; a++ {
				q, rows := make([]int8, dim), make([]int8, 0, 256*dim)
				q[(a+128)%dim] = int8(a)
				for b := -128; b < 128; b++ {
					r := make([]int8, dim)
					r[(a+128)%dim] = int8(b)
					rows = append(rows, r...)
				}
				checkI8(t, k, q, rows, []uint32{255, 0, 128})
			}
		}
	}
}

// TestManyRows has more rows than one call of assembly takes.
func TestManyRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, k := range kernels(t) {
		for _, c := range []struct{ dim, n int }{{1, 100_001}, {3, 70_002}, {100, 3_003}, {384, 777}, {32768, 9}} {
			checkF32(t, k, randomF32(rng, c.dim), randomF32(rng, c.dim*c.n), randomIDs(rng, c.n, c.n))
			if c.dim <= kernel.MaxDimI8 {
				n := 3*c.n + 1
				checkI8(t, k, randomI8(rng, c.dim), randomI8(rng, c.dim*n), randomIDs(rng, n, n))
			}
		}
	}
}

// TestSpecial lets NaN and infinities through wherever they are, and only in the row
// where they are.
func TestSpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, k := range kernels(t) {
		for _, dim := range []int{1, 5, 8, 16, 17, 31, 33, 64, 100} {
			for at := range dim {
				q, rows := slices.Repeat([]float32{1}, dim), slices.Repeat([]float32{2}, 5*dim)
				rows[1*dim+at] = float32(math.NaN())
				rows[2*dim+at] = inf
				rows[4*dim+at] = -inf
				dot, l2 := make([]float32, 5), make([]float32, 5)
				k.DotRangeF32(q, rows, dot)
				k.L2RangeF32(q, rows, l2)
				d := float32(dim)
				if dot[0] != 2*d || dot[1] == dot[1] || dot[2] != inf || dot[3] != 2*d || dot[4] != -inf {
					t.Fatalf("%v dim=%d at %d: dot %v", k, dim, at, dot)
				}
				if l2[0] != d || l2[1] == l2[1] || l2[2] != inf || l2[3] != d || l2[4] != inf {
					t.Fatalf("%v dim=%d at %d: l2 %v", k, dim, at, l2)
				}
			}
		}
	}
}

// TestGoBits pins the results of the kernel in plain Go, which must be the same on
// every architecture.
func TestGoBits(t *testing.T) {
	k, _ := kernel.Named("go")
	rng := rand.New(rand.NewPCG(5, 6))
	q, rows := make([]float32, 103), make([]float32, 103*2)
	for i := range q {
		q[i] = rng.Float32() - 0.5
	}
	for i := range rows {
		rows[i] = rng.Float32() - 0.5
	}
	out := make([]float32, 4)
	k.DotRangeF32(q, rows, out[:2])
	k.L2RangeF32(q, rows, out[2:])
	var got [4]uint32
	for i, v := range out {
		got[i] = math.Float32bits(v)
	}
	if want := [4]uint32{0x3fd5ff59, 0x3e639c52, 0x4164d053, 0x41808f7a}; got != want {
		t.Errorf("bits %#x, want %#x", got, want)
	}
}

func TestEmpty(t *testing.T) {
	for _, k := range kernels(t) {
		q, b := []float32{1, 2, 3}, []int8{1, 2, 3}
		for _, rows := range [][]float32{nil, make([]float32, 6)} {
			k.DotF32(q, rows, nil, nil)
			k.L2F32(q, rows, []uint32{}, []float32{})
			k.DotRangeF32(q, rows, nil)
			k.L2RangeF32(q, rows, nil)
		}
		for _, rows := range [][]int8{nil, make([]int8, 6)} {
			k.DotI8(b, rows, nil, nil)
			k.L2I8(b, rows, []uint32{}, []int32{})
			k.DotRangeI8(b, rows, nil)
			k.L2RangeI8(b, rows, nil)
		}
	}
}

func TestPanics(t *testing.T) {
	f, b := make([]float32, 12), make([]int8, 12)
	fo, bo := make([]float32, 9), make([]int32, 9)
	long := make([]int8, kernel.MaxDimI8+1)
	type ids = []uint32
	for _, k := range kernels(t) {
		for _, c := range []struct {
			want string
			call func()
		}{
			{"dimension 0", func() { k.DotF32(nil, f, ids{0}, fo[:1]) }},
			{"dimension 0", func() { k.L2F32(nil, nil, nil, nil) }},
			{"dimension 0", func() { k.DotRangeF32(nil, f, fo[:1]) }},
			{"dimension 0", func() { k.L2RangeF32(nil, nil, nil) }},
			{"dimension 0", func() { k.DotI8(nil, b, ids{0}, bo[:1]) }},
			{"dimension 0", func() { k.L2I8(nil, nil, nil, nil) }},
			{"dimension 0", func() { k.DotRangeI8(nil, b, bo[:1]) }},
			{"dimension 0", func() { k.L2RangeI8(nil, nil, nil) }},
			{"2 ids, but room for 1", func() { k.DotF32(f[:3], f, ids{0, 0}, fo[:1]) }},
			{"1 ids, but room for 2", func() { k.L2F32(f[:3], f, ids{0}, fo[:2]) }},
			{"0 ids, but room for 2", func() { k.DotI8(b[:3], b, nil, bo[:2]) }},
			{"2 ids, but room for 1", func() { k.L2I8(b[:3], b, ids{0, 0}, bo[:1]) }},
			{"id 4 of 4 rows of dimension 3", func() { k.DotF32(f[:3], f, ids{0, 4}, fo[:2]) }},
			{"id 2 of 2 rows of dimension 5", func() { k.L2F32(f[:5], f, ids{2, 1}, fo[:2]) }},
			{"id 4294967295 of 4 rows", func() { k.DotI8(b[:3], b, ids{1<<32 - 1}, bo[:1]) }},
			{"id 0 of 0 rows", func() { k.L2I8(b[:3], nil, ids{0}, bo[:1]) }},
			{"5 results of 4 rows", func() { k.DotRangeF32(f[:3], f, fo[:5]) }},
			{"3 results of 2 rows", func() { k.L2RangeF32(f[:5], f, fo[:3]) }},
			{"5 results of 4 rows", func() { k.DotRangeI8(b[:3], b, bo[:5]) }},
			{"1 results of 0 rows", func() { k.L2RangeI8(b[:3], nil, bo[:1]) }},
			{"dimension 32769; the limit is 32768", func() { k.DotI8(long, long, ids{0}, bo[:1]) }},
			{"dimension 32769; the limit is 32768", func() { k.L2I8(long, long, ids{0}, bo[:1]) }},
			{"dimension 32769; the limit is 32768", func() { k.DotRangeI8(long, long, bo[:1]) }},
			{"dimension 32769; the limit is 32768", func() { k.L2RangeI8(long, long, bo[:1]) }},
		} {
			func() {
				defer func() {
					if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
						t.Errorf("%v: panic %q, want %q", k, got, c.want)
					}
				}()
				c.call()
			}()
		}
	}
}

func TestNames(t *testing.T) {
	names := kernel.Variants()
	if names[0] != "go" || names[len(names)-1] != kernel.Best().String() {
		t.Errorf("variants %v, the best is %v", names, kernel.Best())
	}
	if (kernel.Kernel{}).String() != "go" {
		t.Error("the zero Kernel is not the one in plain Go")
	}
	if _, err := kernel.Named("mmx"); err == nil || !strings.Contains(err.Error(), `"mmx"`) {
		t.Errorf("Named of an unknown kernel: %v", err)
	}
	t.Logf("kernels here: %v", names)
}

// TestPackage compares the package functions with the best kernel.
func TestPackage(t *testing.T) {
	rng, k := rand.New(rand.NewPCG(7, 8)), kernel.Best()
	const dim, n = 37, 6
	ids := []uint32{5, 0, 3, 3, 1}
	f, b := randomF32(rng, dim*(n+1)), randomI8(rng, dim*(n+1))
	for i, c := range []struct{ got, want func(out []float32) }{
		{func(o []float32) { kernel.DotF32(f[:dim], f[dim:], ids, o) }, func(o []float32) { k.DotF32(f[:dim], f[dim:], ids, o) }},
		{func(o []float32) { kernel.L2F32(f[:dim], f[dim:], ids, o) }, func(o []float32) { k.L2F32(f[:dim], f[dim:], ids, o) }},
		{func(o []float32) { kernel.DotRangeF32(f[:dim], f[dim:], o) }, func(o []float32) { k.DotRangeF32(f[:dim], f[dim:], o) }},
		{func(o []float32) { kernel.L2RangeF32(f[:dim], f[dim:], o) }, func(o []float32) { k.L2RangeF32(f[:dim], f[dim:], o) }},
	} {
		got, want := make([]float32, len(ids)), make([]float32, len(ids))
		c.got(got)
		c.want(want)
		if !slices.Equal(got, want) {
			t.Errorf("case %d: %v, want %v", i, got, want)
		}
	}
	for i, c := range []struct{ got, want func(out []int32) }{
		{func(o []int32) { kernel.DotI8(b[:dim], b[dim:], ids, o) }, func(o []int32) { k.DotI8(b[:dim], b[dim:], ids, o) }},
		{func(o []int32) { kernel.L2I8(b[:dim], b[dim:], ids, o) }, func(o []int32) { k.L2I8(b[:dim], b[dim:], ids, o) }},
		{func(o []int32) { kernel.DotRangeI8(b[:dim], b[dim:], o) }, func(o []int32) { k.DotRangeI8(b[:dim], b[dim:], o) }},
		{func(o []int32) { kernel.L2RangeI8(b[:dim], b[dim:], o) }, func(o []int32) { k.L2RangeI8(b[:dim], b[dim:], o) }},
	} {
		got, want := make([]int32, len(ids)), make([]int32, len(ids))
		c.got(got)
		c.want(want)
		if !slices.Equal(got, want) {
			t.Errorf("case %d: %v, want %v", i, got, want)
		}
	}
}

func TestNoAlloc(t *testing.T) {
	for _, k := range kernels(t) {
		if n := testing.AllocsPerRun(10, func() {
			var q, rows [64]float32
			var b [64]int8
			var ids [3]uint32
			var out [3]float32
			var sums [3]int32
			k.DotF32(q[:16], rows[:], ids[:], out[:])
			k.L2RangeF32(q[:16], rows[:], out[:])
			k.L2I8(b[:16], b[:], ids[:], sums[:])
			k.DotRangeI8(b[:16], b[:], sums[:])
		}); n != 0 {
			t.Errorf("%v: %v allocations", k, n)
		}
	}
}
