// Package engine owns the commit pipeline and every view of the log that lives
// in the store: it is the only package that opens Pebble.
//
// A write is a [Group]: it is checked and sequenced in order, written to the log
// and synced, applied to the store and the row files, and made visible; only
// then its caller returns. Reads go through a [Snapshot]. The same apply code
// runs for live writes and for replay at start. DESIGN.md beside this file says
// what is true at each point of a crash.
package engine
