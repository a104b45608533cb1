package keyword

// missing is the number of a term that a part does not have. No token holds it.
const missing = 1<<32 - 1

// A phraseMatcher looks for the query's phrases in forward lists.
type phraseMatcher struct {
	phrases []phrase
	ids     []uint32 // of the query's terms in the part
	terms   []uint32 // of a title or a text, in order
	at      []int64  // their positions
	found   []bool   // by phrase
}

// match reports whether all phrases are in a slot, each in the title or in the text.
func (m *phraseMatcher) match(list tokenReader) bool {
	if len(m.phrases) == 0 {
		return true
	}
	m.found = m.found[:0]
	for range m.phrases {
		m.found = append(m.found, false)
	}
	left := len(m.phrases)
	m.terms, m.at = m.terms[:0], m.at[:0]
	position := int64(0)
	for left > 0 {
		tok, ok := list.next()
		switch {
		case !ok || tok == tokenMark:
			left -= m.look()
			if !ok {
				return left == 0
			}
			m.terms, m.at, position = m.terms[:0], m.at[:0], 0
		case isTerm(tok):
			if tok := tokenTerm(tok); tok < missing {
				m.terms, m.at = append(m.terms, uint32(tok)), append(m.at, position)
			}
			position++
		default:
			position += int64(min(tok>>1, 1<<31))
		}
	}
	return true
}

// look returns how many phrases there are that were not found before.
func (m *phraseMatcher) look() (n int) {
	for i, p := range m.phrases {
		if !m.found[i] && m.has(p) {
			m.found[i] = true
			n++
		}
	}
	return n
}

func (m *phraseMatcher) has(p phrase) bool {
	first := m.ids[p.terms[0]]
	for i, id := range m.terms {
		if id == first && m.hasAt(p, i) {
			return true
		}
	}
	return false
}

// hasAt reports whether the phrase begins with the i-th term.
func (m *phraseMatcher) hasAt(p phrase, i int) bool {
	begin, j := m.at[i], i
	for n := 1; n < len(p.terms); n++ {
		want := begin + int64(p.at[n])
		for j++; j < len(m.at) && m.at[j] < want; j++ {
		}
		if j == len(m.at) || m.at[j] != want || m.terms[j] != m.ids[p.terms[n]] {
			return false
		}
	}
	return true
}
