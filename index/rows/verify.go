package rows

import (
	"context"
	"fmt"
	"slices"
)

// maxProblems is how many problems a Report lists.
const maxProblems = 1000

// A Report is what Verify found.
type Report struct {
	Files, Blocks, Rows int64
	// Bytes is the size of the rows that were read and checked.
	Bytes int64
	// Problems are the first 1,000 of Damaged, as *DamageError where a file does
	// not hold what it should, else as errors of reading.
	Problems []error
	Damaged  int64
	Torn     *TornTail // not a problem
}

func (r *Report) add(err error) {
	if r.Damaged++; len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, err)
	}
}

// Verify checks that every file is there and as long as its blocks need, and,
// with full, that every row of every block has the bytes that were appended. The
// manifest was checked by Open. It may run beside everything else; the error is
// only that of ctx.
func (s *Store) Verify(ctx context.Context, full bool) (*Report, error) {
	pin := s.Pin()
	defer pin.Unpin()
	r := &Report{Torn: s.torn}
	for _, e := range s.checkSizes() {
		r.add(e)
	}
	s.mu.RLock()
	r.Files = int64(len(s.files))
	spaces := make([]*space, 0, len(s.spaces))
	for _, sp := range s.spaces {
		spaces = append(spaces, sp)
	}
	s.mu.RUnlock()
	slices.SortFunc(spaces, func(a, b *space) int { return a.key.compare(b.key) })
	var buf []byte
	for _, sp := range spaces {
		sp.each(0, func(b *block) bool {
			if full {
				buf = s.verifyBlock(b, buf, r)
			}
			r.Blocks++
			return ctx.Err() == nil
		})
		r.Rows += sp.rows.Load()
		if err := ctx.Err(); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (s *Store) verifyBlock(b *block, buf []byte, r *Report) []byte {
	s.applyMu.Lock() // sum and bitmap must belong together; rows are never rewritten
	want, words := b.sum, b.words(nil)
	s.applyMu.Unlock()
	n := int(high(words)) * b.sp.rowBytes
	if cap(buf) < n {
		buf = make([]byte, s.geo.blockSize)
	}
	buf = buf[:n]
	off := s.geo.offset(b.index)
	if err := b.file.readAt(buf, off); err != nil {
		r.add(err)
		return buf
	}
	r.Bytes += int64(n)
	if got := blockSum(buf, b.sp.rowBytes, words); got != want {
		key := b.sp.key
		r.add(&DamageError{File: b.file.path, Offset: off, Key: &key, Block: b.k, First: b.k * b.sp.perBlock,
			Detail: fmt.Sprintf("the checksum of its rows is %#x, recorded is %#x", got, want)})
	}
	return buf
}

// checkSizes finds files that are missing or end before their last row.
func (s *Store) checkSizes() (bad []error) {
	type need struct {
		end int64
		b   *block
	}
	needs := map[*file]need{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sp := range s.spaces {
		sp.each(0, func(b *block) bool {
			end := s.geo.offset(b.index) + int64(high(b.words(nil)))*int64(sp.rowBytes)
			if end > needs[b.file].end {
				needs[b.file] = need{end, b}
			}
			return true
		})
	}
	for _, f := range s.files {
		n, used := needs[f]
		if !used {
			continue
		}
		key := n.b.sp.key
		e := &DamageError{File: f.path, Key: &key, Block: n.b.k, First: n.b.k * n.b.sp.perBlock}
		if f.rd == nil {
			e.Detail = "the file is missing"
			bad = append(bad, e)
			continue
		}
		info, err := f.rd.Stat()
		if err != nil {
			bad = append(bad, fmt.Errorf("rows: %s: %w", f.path, err))
		} else if info.Size() < n.end {
			e.Offset, e.Detail = info.Size(), fmt.Sprintf("the file ends here, its rows go on to %d", n.end)
			bad = append(bad, e)
		}
	}
	return bad
}
