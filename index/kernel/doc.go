// Package kernel measures distances between one query and many vectors: the inner
// loops of every index over vectors.
//
// There are dot products and squared Euclidean distances, over float32 and over
// int8 codes, for rows picked by number ([DotF32] and its like) and for rows that
// follow each other ([DotRangeF32] and its like). A call takes a block of rows,
// checks all bounds once, and works through four rows at a time, so that a loaded
// part of the query serves four; rows picked by number are prefetched.
//
// [Within] takes what the int8 dot products give to bits: which rows of a block are
// within a linear bound, so that a scan looks at single rows only where it must.
//
// # Variants
//
// The package functions use the best [Kernel] for the processor, chosen once at
// start. [Variants] lists the kernels that can run here and [Named] gives one of
// them, for tests and measurements; there is no environment variable and no global
// to change.
//
//	go          plain Go, on every architecture
//	avx2        AVX2 and FMA
//	avx512      AVX-512 F, BW, DQ and VL
//	avx512vnni  the same, with VPDPBUSD for int8
//
// # Results
//
// Results over int8 are exact: every byte value, -128 included, and every dimension
// up to [MaxDimI8].
//
// Results over float32 are the same bits each time for the same kernel, query and
// row: they depend neither on the place of the row among the others, nor on their
// number, nor on the form of the call, nor on alignment. The kernel "go" gives the
// same bits on every architecture. Between kernels, and against the true value, they
// differ by rounding only: every kernel sums each row in some order with at most one
// rounding for each product and one for each sum, hence, with u = 2^-24 and n the
// dimension,
//
//	|dot - true| <= 1.01 (n+1) u Σ|q[i] r[i]|    (n up to 100,000)
//	|L2 - true|  <= 1.01 (n+3) u L2
//
// unless a product or sum overflows or is subnormal, and two kernels differ by at
// most twice that. A row equal to the query is at distance 0 exactly. NaN and infinities
// go through as in plain arithmetic; which NaN comes out is not said.
//
// Calls are safe at the same time from many goroutines. No call allocates.
package kernel
