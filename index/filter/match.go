package filter

// Match reports whether the metadata of a document, overlaid by that of a
// chunk, passes the filter. Both are raw JSON objects; nil is {}. It allocates
// nothing but for strings with escapes, and never panics.
func (f *Filter) Match(doc, chunk []byte) bool {
	if f == nil || f.root == nil {
		return true
	}
	return f.root.match(doc, chunk)
}

func (n *Node) match(doc, chunk []byte) bool {
	switch n.Op {
	case And:
		for _, k := range n.Kids {
			if !k.match(doc, chunk) {
				return false
			}
		}
		return true
	case Or:
		for _, k := range n.Kids {
			if k.match(doc, chunk) {
				return true
			}
		}
		return false
	case Not:
		return !n.Kids[0].match(doc, chunk)
	}
	p := probe{n: n}
	p.resolve(doc, chunk)
	switch n.Op {
	case Exists:
		return p.found == n.Values[0].Bool
	case Eq:
		return p.hit || !p.found && n.Values[0].Kind == Null
	case In:
		return p.hit || !p.found && n.has(scalar{kind: Null})
	case Ne:
		return !p.hit && (p.found || n.Values[0].Kind != Null)
	case Nin:
		return !p.hit && (p.found || !n.has(scalar{kind: Null}))
	}
	return p.hit
}

// probe looks for the values of one leaf's field.
type probe struct {
	n     *Node
	found bool // the field has a value
	hit   bool // one of its values satisfies the condition (of Ne and Nin: equals)
}

func (p *probe) resolve(doc, chunk []byte) {
	path := p.n.Path
	if top := overlay(doc, chunk, path[0]); top != nil {
		p.descend(top, path[1:])
	}
	if !p.found && len(path) > 1 {
		if top := overlay(doc, chunk, p.n.Field); top != nil {
			p.descend(top, nil)
		}
	}
}

func overlay(doc, chunk []byte, key string) []byte {
	if v := lookup(chunk, key); v != nil {
		return v
	}
	return lookup(doc, key)
}

func (p *probe) descend(raw []byte, path []string) {
	if len(path) == 0 {
		p.found = true
		if p.n.Op != Exists && !p.hit {
			p.test(raw)
		}
		return
	}
	switch raw[0] {
	case '{':
		if v := lookup(raw, path[0]); v != nil {
			p.descend(v, path[1:])
		}
	case '[':
		for el := walkArray(raw); !p.hit; {
			v, ok := el.next()
			if !ok {
				return
			}
			if v[0] == '{' {
				p.descend(v, path)
			}
		}
	}
}

func (p *probe) test(raw []byte) {
	if raw[0] == '[' {
		for el := walkArray(raw); !p.hit; {
			v, ok := el.next()
			if !ok {
				return
			}
			if s, ok := scalarOf(v); ok {
				p.hit = p.n.holds(s)
			}
		}
		return
	}
	if p.n.Op == Contains {
		return
	}
	if s, ok := scalarOf(raw); ok {
		p.hit = p.n.holds(s)
	}
}

// holds is the condition for one scalar; Ne and Nin ask whether it equals.
func (n *Node) holds(s scalar) bool {
	switch n.Op {
	case Eq, Ne, Contains:
		return s.equals(&n.Values[0])
	case In, Nin:
		return n.has(s)
	}
	v := &n.Values[0]
	if s.kind != v.Kind {
		return false
	}
	var c int
	switch {
	case s.kind == Number:
		c = s.num.Compare(v.Num)
	case string(s.text) < v.Str: // such conversions do not allocate
		c = -1
	case string(s.text) > v.Str:
		c = 1
	}
	switch n.Op {
	case Gt:
		return c > 0
	case Gte:
		return c >= 0
	case Lt:
		return c < 0
	case Lte:
		return c <= 0
	}
	return false
}

func (s *scalar) equals(v *Value) bool {
	if s.kind != v.Kind {
		return false
	}
	switch s.kind {
	case Bool:
		return s.b == v.Bool
	case Number:
		return s.num == v.Num
	case String:
		return string(s.text) == v.Str
	}
	return true
}

func (n *Node) has(s scalar) bool {
	if n.set != nil {
		_, ok := n.set[Value{Kind: s.kind, Bool: s.b, Num: s.num, Str: string(s.text)}]
		return ok
	}
	for i := range n.Values {
		if s.equals(&n.Values[i]) {
			return true
		}
	}
	return false
}
