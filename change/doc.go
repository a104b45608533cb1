// Package change is the vocabulary of arrwDB: sequence numbers, epochs,
// positions, change records and their binary encoding.
//
// It knows no I/O. Everything that the log stores, that a view applies and that
// the feed shows is a [Record]; what is in the body of a record is written down
// in DESIGN.md beside this file and above each encoder, and is frozen: a body
// carries its own version, old versions stay readable for ever, and a newer one
// is refused by name.
//
// A record is self-contained. Whatever an event, a filter, an index or a live
// query needs to know about a change comes out of its record alone: the whole
// document where it was added or replaced, the merged result of a patch, the
// numbers, ids and metadata of the chunks that it adds, touches and kills, the
// image before, the commit time and the id of the library.
package change
