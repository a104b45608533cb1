package keyword

// A forward list is a slot's words in order: the title's, a mark, the text's;
// without a title's terms there is no mark. A token is a number:
//
//	0         the mark
//	2 (t + 1) the term t
//	2 g + 1   g words that are not terms
//
// Tails keep tokens as uint32, with t by order of appearance; segments as varints,
// with t by the order of bytes.
const tokenMark = 0

func termToken(id uint32) uint32 { return (id + 1) << 1 }

func gapToken(words int) uint32 { return uint32(min(words, 1<<31-1))<<1 | 1 }

// tokenTerm returns the term of a token that is neither mark nor gap.
func tokenTerm(tok uint64) uint64 { return tok>>1 - 1 }

func isTerm(tok uint64) bool { return tok != tokenMark && tok&1 == 0 }

// A tokenReader reads a forward list of either kind. What is not a list ends it.
type tokenReader struct {
	words []uint32
	bytes []byte
}

func (r *tokenReader) next() (tok uint64, ok bool) {
	if len(r.words) > 0 {
		tok, r.words = uint64(r.words[0]), r.words[1:]
		return tok, true
	}
	if len(r.bytes) == 0 {
		return 0, false
	}
	tok, n := uvarint(r.bytes)
	if n == 0 {
		r.bytes = nil
		return 0, false
	}
	r.bytes = r.bytes[n:]
	return tok, true
}

// text moves the reader behind the mark, where there is one.
func (r tokenReader) text() tokenReader {
	at := r
	for {
		tok, ok := at.next()
		if !ok {
			return r
		}
		if tok == tokenMark {
			return at
		}
	}
}

// terms appends the numbers of the list's terms below limit, as often as they occur.
func (r tokenReader) terms(ids []uint32, limit uint32) []uint32 {
	for {
		tok, ok := r.next()
		if !ok {
			return ids
		}
		if isTerm(tok) && tokenTerm(tok) < uint64(limit) {
			ids = append(ids, uint32(tokenTerm(tok)))
		}
	}
}
