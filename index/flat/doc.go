// Package flat finds the nearest vectors by looking at all of them, and is exact: its
// hits, their order and their distances are those of a brute-force scan of the float32
// rows with the same metric.
//
// What it looks at are int8 codes in memory, a quarter of the bytes of the rows. A code
// gives bounds on the true distance; only rows that may be among the best by their
// bounds are read and measured. DESIGN.md derives the bounds and has the bytes of
// snapshots and the rules of concurrent use.
package flat
