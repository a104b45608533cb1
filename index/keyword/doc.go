// Package keyword finds slots by their words: BM25 over the title and text of each,
// with phrases.
//
// A library's slots are covered by consecutive parts. A [Tail] is filled in memory,
// slot by slot; [Tail.Build] turns it into the bytes of a [Segment], which never
// change; [Merge] makes one segment of several. The package works on bytes: who calls
// it keeps them, syncs them, and says which slots are dead.
//
// # Scores
//
//	score = Σ over the query's terms of count · idf · tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / average))
//	idf   = ln(1 + (N − df + 0.5) / (df + 0.5)),  k1 = 1.2, b = 0.75
//
// N is the number of live slots with at least one term, average the mean of their
// lengths, df how many of them have the term: exact after every Kill, which is why a
// slot's terms are kept in order. A title's terms count [TitleWeight] times in tf and
// length, as if the title stood as often in front of the text: BM25 over a weighted
// combination of fields (Robertson, Zaragoza, Taylor: Simple BM25 extension to multiple
// weighted fields, CIKM 2004). Terms are summed in the order of their bytes, so the same
// slots, words and dead give the same bits, in however many parts they are.
//
// Words of a query are alternatives. A "phrase" must occur: its terms at the positions
// that they have in the query relative to each other, in the title or in the text.
//
// # Promises
//
//  1. Search returns exactly the best k slots of its scope, in order; what it skips could
//     not have been among them, not even by a tie.
//  2. A [Run] stays as it was captured while its parts are added to and slots die.
//  3. No bytes make [Open], or a segment that it has opened, panic or read outside of
//     them, as long as the bytes stay as they are. A wrong bit is found by Open.
//
// # Locks
//
// The package has none. Who has several goroutines holds one lock for writing during
// Add, AddCopy, Next and Kill, and for reading during Capture, Stats and Len. A Run's Search,
// Build of a tail that is no longer added to, and Merge need no lock.
package keyword
