// Package index is the root of everything that finds: the stores and structures
// below it are views of the log, each stamped with the place up to which it has
// gone ([github.com/arrwdb/arrwdb/change.Stamp]). It holds itself what they share.
//
//	index/rows    the vectors of all libraries, a primary: block files, a manifest
//	              of checkpoints, exact recovery to a stamp
//	index/filter  the filter language over JSON metadata: parsing, a tree for
//	              bitmap evaluators, and matching on raw bytes
//	index/analysis  words, stop words and stems: what a text is indexed by
//	index/kernel  distances between a query and many rows, in assembly and Go
//	index/flat    exact nearest neighbours by a scan of int8 codes
//	index/indextest  the suite for everything behind [Vectors]
//
// What comes beside them (graphs, postings, bitmaps) follows the same rules:
// it imports neither the log nor the engine nor anything above them; its
// surroundings come as small structs and interfaces; it is fed by one applier in
// the order of the log; and it can be thrown away and built again from rows and
// log, which rows itself cannot.
package index
