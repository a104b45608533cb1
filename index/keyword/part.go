package keyword

// A Part holds consecutive slots of a library: a *Segment or a *Tail.
type Part interface {
	// Len returns how many slots the part has; they count from 0 in it.
	Len() int
	// Kill takes a slot that has died out of what terms and slots count. It needs the
	// lock that captures hold for reading. A slot that has no terms, or was killed
	// before, is left as it is.
	Kill(local uint32)
	// Stats counts the live slots with terms.
	Stats() Stats

	tokens(local uint32) tokenReader    // a slot's forward list; an empty one where there is no such slot
	term(id uint64) (b []byte, ok bool) // of a forward list; valid until the next call
	capture(terms []queryTerm) *captured
}

// Stats are what scores depend on beside terms.
type Stats struct {
	Docs  uint64 // live slots with at least one term
	Terms uint64 // sum of their lengths
}

var (
	_ Part = (*Tail)(nil)
	_ Part = (*Segment)(nil)
)
