package search

import "testing"

// TestMergesAreBalanced appends tails, some of them small as checkpoints leave them,
// and merges as a library does: each slot is written a few times, once for each size
// class and not with every few tails, and few parts are left.
func TestMergesAreBalanced(t *testing.T) {
	const unit = 16
	for name, tail := range map[string]func(i int) uint32{
		"full":  func(int) uint32 { return unit },
		"small": func(i int) uint32 { return []uint32{unit, 3, 7, 1}[i%4] },
	} {
		var parts []*part
		var slots, written, most uint64
		dead := make([]uint64, 1<<14)
		for i := range 8000 {
			n := tail(i)
			slots += uint64(n)
			parts = append(parts, &part{seg: &segment{n: n}})
			for old := mergeable(parts, unit, dead); old != nil; old = mergeable(parts, unit, dead) {
				sum := uint32(0)
				for _, p := range old {
					sum += p.len()
				}
				written += uint64(sum)
				at := 0
				for parts[at] != old[0] {
					at++
				}
				parts = append(append(parts[:at:at], &part{seg: &segment{n: sum}}), parts[at+len(old):]...)
			}
			most = max(most, uint64(len(parts)))
		}
		if written > 8*slots || most > 40 {
			t.Errorf("%s: %d slots were written %.1f times, with up to %d parts", name, slots, float64(written)/float64(slots), most)
		}
		t.Logf("%s: written %.1f times, up to %d parts", name, float64(written)/float64(slots), most)
	}
}
