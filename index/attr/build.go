package attr

import (
	"slices"
	"sort"

	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/invariant"
)

// Build returns the segment of the slots added so far. The Builder stays as it
// is: more slots may be added, and Build called again.
func (b *Builder) Build() []byte {
	w := newWriter(b.n)
	queue := []*node{b.root} // breadth first; ids are those of the writer
	w.node(-1, "")
	for i := 0; i < len(queue); i++ {
		names := make([]string, 0, len(queue[i].kids))
		for name := range queue[i].kids {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			kid := queue[i].kids[name]
			queue = append(queue, kid)
			w.node(i, name)
			err := kid.write(w)
			// Only the serialisation of a bitmap to memory has an error to return.
			invariant.Check(err == nil, "a bitmap in memory was not written: %v", err)
		}
	}
	return w.segment()
}

func (n *node) write(w *writer) error {
	for kind, p := range n.groups {
		if p == nil {
			continue
		}
		w.begin(filter.Kind(kind))
		if err := p.write(&w.group); err != nil {
			return err
		}
		w.end()
	}
	return w.field(n.exists)
}

func (p *pairs) write(g *groupWriter) error {
	order := make([]uint32, len(p.values)) // of rank, the value
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return compareValues(&p.values[a], &p.values[b]) })

	// The pairs are put in the order of their values by counting; within a value
	// they stay in the order of slots.
	ends := make([]int, len(p.values)) // of a value, where its next place goes
	for _, id := range p.ids {
		ends[id]++
	}
	from := 0
	for _, id := range order {
		from, ends[id] = from+ends[id], from
	}
	places := make([]uint32, len(p.places))
	for i, id := range p.ids {
		places[ends[id]] = p.places[i]
		ends[id]++
	}

	var slots [columns][]uint32
	from = 0
	for _, id := range order {
		for c := range slots {
			slots[c] = slots[c][:0]
		}
		for _, place := range places[from:ends[id]] {
			s, c := place/columns, place%columns
			if k := len(slots[c]); k == 0 || slots[c][k-1] != s { // an array may have a value twice
				slots[c] = append(slots[c], s)
			}
		}
		from = ends[id]
		if err := g.add(&p.values[id], &slots); err != nil {
			return err
		}
	}
	return nil
}
