package attr

import (
	"fmt"
	"slices"

	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/filter"
)

// Merge returns one segment for adjacent ones, given in the order of their
// slots: those of segs[i] follow those of segs[i-1]. Slots that purged names keep
// their numbers, as if their metadata were {}; it is asked once for each slot,
// and may be nil. The result is what a Builder makes of the same slots, byte for
// byte.
func Merge(segs []*Segment, purged func(seg int, local uint32) bool) ([]byte, error) {
	m := merger{}
	total := uint64(0)
	for i, s := range segs {
		in := input{Segment: s, base: uint32(total)}
		if total += uint64(s.n); total > index.MaxSlots {
			return nil, fmt.Errorf("attr: %d slots in segments to be merged, at most %d are allowed", total, uint64(index.MaxSlots))
		}
		if purged != nil {
			in.purge(i, purged)
		}
		m.in = append(m.in, in)
	}
	m.w = newWriter(uint32(total))
	return m.merge()
}

// input is a segment to be merged.
type input struct {
	*Segment
	base   uint32   // its first slot in the result
	purged []uint64 // bits; nil if none is
}

func (in *input) purge(seg int, purged func(seg int, local uint32) bool) {
	for s := range in.n {
		if purged(seg, s) {
			if in.purged == nil {
				in.purged = make([]uint64, in.words())
			}
			in.purged[s>>6] |= 1 << (s & 63)
		}
	}
}

// slots appends those of a posting that stay, as numbers of the result.
func (in *input) slots(p posting, out []uint32) []uint32 {
	from := len(out)
	out = p.appendTo(out)
	kept := from
	for _, s := range out[from:] {
		if in.purged == nil || in.purged[s>>6]&(1<<(s&63)) == 0 {
			out[kept] = s + in.base
			kept++
		}
	}
	return out[:kept]
}

type merger struct {
	in    []input
	w     *writer
	slots [columns][]uint32
}

// source is a node of an input.
type source struct{ in, node int }

func (m *merger) merge() ([]byte, error) {
	roots := make([]source, len(m.in))
	for i := range roots {
		roots[i] = source{in: i}
	}
	queue := [][]source{roots} // of each node of the result, its nodes in the inputs
	m.w.node(-1, "")
	for i := 0; i < len(queue); i++ {
		for _, same := range m.kids(queue[i]) {
			m.w.node(i, string(m.name(same[0])))
			if err := m.field(same); err != nil {
				return nil, err
			}
			queue = append(queue, same)
		}
		queue[i] = nil
	}
	return m.w.segment(), nil
}

func (m *merger) name(s source) []byte { return m.in[s.in].name(s.node) }

// kids returns the children of nodes, those of one name together, in the order
// of names.
func (m *merger) kids(parents []source) (out [][]source) {
	var all []source
	for _, p := range parents {
		s := m.in[p.in].Segment
		for k := s.first(p.node); k < s.first(p.node+1); k++ {
			all = append(all, source{p.in, k})
		}
	}
	slices.SortStableFunc(all, func(a, b source) int {
		x, y := m.name(a), m.name(b)
		switch {
		case string(x) < string(y):
			return -1
		case string(x) > string(y):
			return 1
		}
		return 0
	})
	for len(all) > 0 {
		k := 1
		for k < len(all) && string(m.name(all[k])) == string(m.name(all[0])) {
			k++
		}
		out = append(out, all[:k:k])
		all = all[k:]
	}
	return out
}

// cursor is at a value of one input's group.
type cursor struct {
	in *input
	g  *group
	at int
	v  filter.Value // of at
}

func (m *merger) field(nodes []source) error {
	fields := make([]field, len(nodes))
	var exists []uint32
	for i, n := range nodes {
		in := &m.in[n.in]
		fields[i], _ = readField(in.body(n.node), in.n)
		exists = in.slots(fields[i].exists, exists)
	}
	if len(exists) == 0 {
		return nil
	}
	for kind := range kinds {
		var from []cursor
		for i, n := range nodes {
			if g := &fields[i].groups[kind]; g.n > 0 {
				from = append(from, cursor{in: &m.in[n.in], g: g, v: g.value(0)})
			}
		}
		if len(from) == 0 {
			continue
		}
		g := m.w.begin(filter.Kind(kind))
		if err := m.values(g, from); err != nil {
			return err
		}
		m.w.end()
	}
	return m.w.field(exists)
}

// values writes the union of groups. Each round looks at all of them for the
// lowest value: segments that are merged are few.
func (m *merger) values(g *groupWriter, from []cursor) error {
	for len(from) > 0 {
		low := from[0].v
		for i := 1; i < len(from); i++ {
			if compareValues(&from[i].v, &low) < 0 {
				low = from[i].v
			}
		}
		for c := range m.slots {
			m.slots[c] = m.slots[c][:0]
		}
		left := from[:0]
		for _, c := range from {
			if compareValues(&c.v, &low) == 0 {
				for k := range m.slots {
					m.slots[k] = c.in.slots(c.g.posting(k, c.at), m.slots[k])
				}
				if c.at++; c.at == c.g.n {
					continue
				}
				c.v = c.g.value(c.at)
			}
			left = append(left, c)
		}
		from = left
		if err := g.add(&low, &m.slots); err != nil {
			return err
		}
	}
	return nil
}
