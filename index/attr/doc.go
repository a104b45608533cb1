// Package attr files metadata, so that a filter becomes a set of slots.
//
// A [Builder] takes the metadata of slots one by one; its Build, and [Merge] of
// segments that lie next to each other, give a segment: immutable bytes, which
// may be mapped from a file. [Open] checks them, and [Segment.Eval] sets the bits
// of exactly the slots for which [filter.Filter.Match] returns true, for every
// filter and whatever the metadata, readable or not.
//
// The package knows no files. DESIGN.md draws the bytes and says why they are
// as they are.
package attr
