package keyword

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
)

// A writer makes a section: first the lengths, then the terms in order with their
// postings, then the forward lists.
type writer struct {
	h       header
	lengths []uint32
	index   []byte // of the dictionary
	dict    []byte
	list    listWriter
	places  []byte
	forward []byte

	term []byte // the last one
	work int    // since others were let go first
}

// worked counts postings and tokens, and lets others go first after some 100 µs of
// them: who writes a segment is in no hurry, while commits and searches that wait for a
// processor would otherwise wait for as long as the scheduler lets a goroutine run, 10 ms.
func (w *writer) worked(n int) {
	if w.work += n; w.work >= 1<<13 {
		w.work = 0
		runtime.Gosched()
	}
}

func newWriter(lengths []uint32) *writer {
	w := &writer{h: header{slots: uint32(len(lengths))}, lengths: lengths}
	for _, n := range lengths {
		if n > 0 {
			w.h.docs++
			w.h.total += uint64(n)
		}
	}
	w.list.lengths = func(slot uint32) uint32 { return lengths[slot] }
	w.places = make([]byte, 0, placeLen*(len(lengths)+1))
	return w
}

// addTerm adds the next term with its postings, which put gives to the list.
func (w *writer) addTerm(term []byte, df int, put func(*listWriter)) {
	shared := 0
	if w.h.terms%dictBlock == 0 {
		w.index = binary.LittleEndian.AppendUint64(w.index, uint64(len(w.dict)))
		w.index = binary.LittleEndian.AppendUint64(w.index, uint64(len(w.list.b)))
	} else {
		for shared < min(len(term), len(w.term)) && term[shared] == w.term[shared] {
			shared++
		}
	}
	w.term = append(w.term[:0], term...)
	w.h.terms++
	from := len(w.list.b)
	w.list.begin(df)
	put(&w.list)
	w.worked(df + 16)
	w.dict = binary.AppendUvarint(w.dict, uint64(shared))
	w.dict = binary.AppendUvarint(w.dict, uint64(len(term)-shared))
	w.dict = append(w.dict, term[shared:]...)
	w.dict = binary.AppendUvarint(w.dict, uint64(df))
	w.dict = binary.AppendUvarint(w.dict, uint64(len(w.list.b)-from))
}

// addForward adds the next slot's forward list, with other numbers for its terms.
func (w *writer) addForward(list tokenReader, numbers []uint32) {
	w.places = appendPlace(w.places, uint64(len(w.forward)))
	defer func(from int) { w.worked(len(w.forward) - from) }(len(w.forward))
	for {
		tok, ok := list.next()
		if !ok {
			return
		}
		if isTerm(tok) {
			id := tokenTerm(tok)
			if id >= uint64(len(numbers)) {
				continue // of a list that is not ours
			}
			tok = uint64(termToken(numbers[id]))
		}
		w.forward = binary.AppendUvarint(w.forward, tok)
	}
}

// finish puts the parts together.
func (w *writer) finish() ([]byte, error) {
	w.places = appendPlace(w.places, uint64(len(w.forward)))
	w.h.dict, w.h.postings, w.h.forward = uint64(len(w.dict)), uint64(len(w.list.b)), uint64(len(w.forward))
	size := w.h.size()
	if w.h.forward > maxPlace || size > maxSection {
		return nil, fmt.Errorf("a keyword section of %d bytes, at most %d: %w", size, uint64(maxSection), errTooLarge)
	}
	b := make([]byte, 0, size)
	b = w.h.append(b)
	b = append(b, w.index...)
	b = append(b, w.places...)
	for _, n := range w.lengths {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, w.dict...)
	b = append(b, w.list.b...)
	b = append(b, w.forward...)
	b = append(b, make([]byte, padLen)...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

var errTooLarge = errors.New("too large")
