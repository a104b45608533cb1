package search

import "math/bits"

// mergeWidth is how many segments of a size are merged into one of the next: fewer
// to look into with less, less to write with more.
const mergeWidth = 8

// build makes a part's segment.
func build(p *part) (*part, error) {
	return open(p, buildSegment(p.tail), p.last)
}

// open makes a part of a segment's bytes. like is the part, or the first of the
// parts, that it stands for.
func open(like *part, b []byte, last uint64) (*part, error) {
	seg, _, err := openSegment(b, 0)
	if err != nil {
		return nil, err
	}
	return &part{first: like.first, last: last, words: seg.words, seg: seg}, nil
}

// install puts a part in the place of those that it was made from, unless they are
// not there any more. The caller holds Lock.
func (l *Library) install(old []*part, made *part) bool {
	at := -1
	for i, p := range l.parts {
		if p == old[0] {
			at = i
			break
		}
	}
	if at < 0 || at+len(old) >= len(l.parts) {
		return false
	}
	for i, p := range old {
		if l.parts[at+i] != p {
			return false
		}
	}
	for _, p := range old {
		if p.seg == nil {
			l.frozen--
		}
	}
	// What died, died in the old ones' counts.
	n := made.len()
	for w := made.first / 64; w <= (made.first+n-1)/64; w++ {
		for word := l.dead[w]; word != 0; word &= word - 1 {
			if slot := w*64 + uint32(bits.TrailingZeros64(word)); slot >= made.first && slot < made.first+n {
				made.words.Kill(slot - made.first)
			}
		}
	}
	parts := make([]*part, 0, len(l.parts)-len(old)+1)
	parts = append(append(append(parts, l.parts[:at]...), made), l.parts[at+len(old):]...)
	l.parts = parts
	return true
}

// Build builds the oldest full tail, and reports whether there was one. Any
// goroutine may call it.
func (l *Library) Build() (bool, error) {
	l.RLock()
	var old *part
	for _, p := range l.parts[:len(l.parts)-1] {
		if p.seg == nil {
			old = p
			break
		}
	}
	l.RUnlock()
	if old == nil {
		return false, nil
	}
	made, err := build(old)
	if err != nil {
		return false, err
	}
	l.Lock()
	defer l.Unlock()
	l.install([]*part{old}, made)
	return true, nil
}

// Merge merges segments that are worth it, and reports whether there were any. It
// may take a second for each 100,000 slots, and Build goes on beside it. Any
// goroutine may call it.
func (l *Library) Merge() (bool, error) {
	l.RLock()
	var dead []uint64
	old := mergeable(l.parts[:len(l.parts)-1], l.cfg.TailSlots, l.dead)
	if old != nil {
		dead = append(dead, l.dead...)
	}
	l.RUnlock()
	if old == nil {
		return false, nil
	}
	made, err := merge(old, dead)
	if err != nil {
		return false, err
	}
	l.Lock()
	defer l.Unlock()
	l.install(old, made)
	return true, nil
}

func merge(old []*part, dead []uint64) (*part, error) {
	segs := make([]*segment, len(old))
	for i, p := range old {
		segs[i] = p.seg
	}
	purged := func(seg int, local uint32) bool {
		slot := old[seg].first + local
		return dead[slot/64]&(1<<(slot%64)) != 0
	}
	b, err := mergeSegments(segs, purged)
	if err != nil {
		return nil, err
	}
	made, err := open(old[0], b, old[len(old)-1].last)
	if err == nil {
		made.purged = countDead(dead, made.first, made.len())
	}
	return made, err
}

// mergeable returns parts that are worth merging: mergeWidth neighbours of at most
// a size class, of which none is much of it (below the first class that does not
// matter), or one most of which has died. Small ones come first.
func mergeable(parts []*part, unit int, dead []uint64) []*part {
	for size, any := uint64(unit), true; any; size *= mergeWidth {
		any = false
		from := 0
		for i, p := range parts {
			if p.seg == nil {
				from = i + 1 // not built yet
				continue
			}
			if uint64(p.len()) > size {
				any, from = true, i+1
				continue
			}
			if i+1-from < mergeWidth {
				continue
			}
			// Else a large one would be written again with every few small ones.
			if run := parts[i+1-mergeWidth : i+1]; size == uint64(unit) || balanced(run) {
				return run
			}
		}
	}
	for i, p := range parts {
		if p.seg == nil {
			continue
		}
		if n := countDead(dead, p.first, p.len()); n > p.purged && n-p.purged > p.len()/2 {
			return parts[i : i+1]
		}
	}
	return nil
}

// balanced reports whether no part is more than a quarter of all together.
func balanced(parts []*part) bool {
	var sum, most uint64
	for _, p := range parts {
		n := uint64(p.len())
		sum, most = sum+n, max(most, n)
	}
	return 4*most <= sum
}

// countDead counts the set bits from first on.
func countDead(dead []uint64, first, n uint32) (count uint32) {
	for slot, end := first, first+n; slot < end; {
		w := dead[slot/64] >> (slot % 64)
		take := min(64-slot%64, end-slot)
		if take < 64 {
			w &= 1<<take - 1
		}
		count += uint32(bits.OnesCount64(w))
		slot += take
	}
	return count
}
