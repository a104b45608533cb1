package attr

import (
	"math"

	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/invariant"
)

// Eval sets out to the slots that f passes: slot s is bit s%64 of word s/64.
// out has at least (Len+63)/64 words; the bits from Len on are zero after it.
func (s *Segment) Eval(f *filter.Filter, out []uint64) {
	invariant.Check(len(out) >= s.words(), "%d words for %d slots", len(out), s.n)
	clear(out)
	dst := out[:s.words()]
	if root := f.Root(); root != nil {
		s.or(root, dst)
	} else {
		invert(dst, dst)
	}
	// Complements have set the bits after the last slot too.
	if tail := s.n & 63; tail != 0 {
		dst[len(dst)-1] &= math.MaxUint64 >> (64 - tail)
	}
}

func (s *Segment) take() *[]uint64 {
	w := s.scratch.Get().(*[]uint64)
	clear(*w)
	return w
}

// or adds to dst the slots that pass a node, and perhaps bits after the last
// slot. Its depth is that of the filter, which the parser bounds.
func (s *Segment) or(n *filter.Node, dst []uint64) {
	switch n.Op {
	case filter.And:
		s.orAll(n.Kids, dst)
	case filter.Or:
		for _, k := range n.Kids {
			s.or(k, dst)
		}
	case filter.Not:
		s.orNot(dst, func(tmp []uint64) { s.or(n.Kids[0], tmp) })
	default:
		f := s.field(n.Path)
		switch n.Op {
		case filter.Ne, filter.Nin:
			s.orNot(dst, func(tmp []uint64) { s.orEqual(&f, n.Values, tmp) })
		case filter.Eq, filter.In:
			s.orEqual(&f, n.Values, dst)
		case filter.Contains:
			f.orValue(&n.Values[0], asElement, dst)
		case filter.Exists:
			if n.Values[0].Bool {
				f.exists.or(dst)
			} else {
				s.orNot(dst, f.exists.or)
			}
		case filter.Gt, filter.Gte, filter.Lt, filter.Lte:
			f.orOrder(n.Op, &n.Values[0], dst)
		}
	}
}

func (s *Segment) orAll(kids []*filter.Node, dst []uint64) {
	acc, tmp := s.take(), s.scratch.Get().(*[]uint64)
	defer s.scratch.Put(acc)
	defer s.scratch.Put(tmp)
	s.or(kids[0], *acc)
	for _, k := range kids[1:] {
		clear(*tmp)
		s.or(k, *tmp)
		some := uint64(0)
		for i, w := range *tmp {
			(*acc)[i] &= w
			some |= (*acc)[i]
		}
		if some == 0 {
			return
		}
	}
	for i, w := range *acc {
		dst[i] |= w
	}
}

// orNot adds the slots that set does not set.
func (s *Segment) orNot(dst []uint64, set func([]uint64)) {
	tmp := s.take()
	defer s.scratch.Put(tmp)
	set(*tmp)
	invert(dst, *tmp)
}

// invert adds to dst what src has not.
func invert(dst, src []uint64) {
	for i, w := range src {
		dst[i] |= ^w
	}
}

// orEqual adds the slots where the field equals one of the values; a missing
// field equals null.
func (s *Segment) orEqual(f *field, values []filter.Value, dst []uint64) {
	for i := range values {
		v := &values[i]
		if v.Kind == filter.Null {
			s.orNot(dst, f.exists.or)
		}
		f.orValue(v, asScalar, dst)
		f.orValue(v, asElement, dst)
	}
}

func (f *field) orValue(v *filter.Value, column int, dst []uint64) {
	g := &f.groups[v.Kind]
	if g.n == 0 || g.cols[column].width == 0 {
		return
	}
	if i, ok := g.rank(v); ok {
		g.posting(column, i).or(dst)
	}
}

func (f *field) orOrder(op filter.Op, v *filter.Value, dst []uint64) {
	g := &f.groups[v.Kind]
	if g.n == 0 {
		return
	}
	at, equal := g.rank(v) // values below v are before at
	after := at
	if equal {
		after++
	}
	switch op {
	case filter.Gt:
		g.orFrom(dst, after)
	case filter.Gte:
		g.orFrom(dst, at)
	case filter.Lt:
		g.orBelow(dst, at)
	case filter.Lte:
		g.orBelow(dst, after)
	}
}
