// Package search holds what one library is searched by: vectors, words and
// metadata in slots (see [github.com/arrwdb/arrwdb/index]), fed by one applier in
// the order of the log, searched as of one commit without a lock, saved in files
// that are written once, and built again from nothing where those are damaged.
package search
