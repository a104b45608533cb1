// Package wal is the change log: segments of checksummed, chained frames, one
// sync for a whole group of writers, readers that tail it from any place, and a
// recovery that tells a clean end, a torn tail and corruption apart.
//
// It stores frames of [change.Record] and knows nothing of what is in them.
// DESIGN.md beside this file draws the bytes and says what is true after a
// crash.
package wal
