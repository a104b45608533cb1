package index

// Every search structure of a library counts in slots. A slot is one version of
// one chunk: it is given when the chunk comes, or when its document's title or
// metadata change, and it dies when that version is replaced or deleted. Slots are
// dense, ascend with the log, and are not used twice; building the structures anew
// gives new ones. The same slots in all structures make a filter's answer a set of
// bits that a scan, a graph walk and a list of postings can all be cut with.

// MaxSlots is how many slots a library's structures hold before they must be
// built anew.
const MaxSlots = 1 << 31

// A Hit is a slot that a search has found.
type Hit struct {
	Slot  uint32
	Score float64 // of a vector search the metric's distance, lower is better; of a keyword search higher
}

// A Scope says which slots a search may return. It stands for one commit: later
// ones may append slots and kill some while the search runs, and it does not see
// that.
type Scope struct {
	// High is the slot after the last one that the search may see.
	High uint32
	// Mask, where it is not nil, holds the slots that pass the filter and live, as
	// bits: slot s is bit s%64 of word s/64. It has (High+63)/64 words, the bits
	// from High on are zero, and Count is how many are set.
	Mask  []uint64
	Count int
	// Alive says whether a slot below High lives. It is asked for candidates, where
	// Mask is nil; it may be called from any number of goroutines.
	Alive func(slot uint32) bool
	// Before orders slots whose scores are equal: a comes before b. It is a total
	// order, costs more than comparing numbers, and may be called from any number of
	// goroutines.
	Before func(a, b uint32) bool
}

// Allows reports whether the search may return a slot.
func (s *Scope) Allows(slot uint32) bool {
	if slot >= s.High {
		return false
	}
	if s.Mask != nil {
		return s.Mask[slot/64]&(1<<(slot%64)) != 0
	}
	return s.Alive(slot)
}
