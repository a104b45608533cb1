package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// An Op is the operator of a Node.
type Op uint8

const (
	And Op = iota + 1 // Kids: at least one
	Or                // Kids: at least one
	Not               // Kids: exactly one

	Eq       // Values: one scalar
	Ne       // Values: one scalar
	Gt       // Values: one number or string, as for the next three
	Gte      //
	Lt       //
	Lte      //
	In       // Values: any number of scalars
	Nin      // Values: any number of scalars
	Exists   // Values: one boolean
	Contains // Values: one scalar
)

var opNames = [...]string{And: "$and", Or: "$or", Not: "$not", Eq: "$eq", Ne: "$ne", Gt: "$gt", Gte: "$gte",
	Lt: "$lt", Lte: "$lte", In: "$in", Nin: "$nin", Exists: "$exists", Contains: "$contains"}

func (o Op) String() string {
	if int(o) < len(opNames) && opNames[o] != "" {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// IsLeaf reports whether nodes of this operator are conditions on a field.
func (o Op) IsLeaf() bool { return o >= Eq && o <= Contains }

// A Kind is the type of a Value.
type Kind uint8

const (
	Null Kind = iota
	Bool
	Number
	String
)

var kindNames = [...]string{"null", "a boolean", "a number", "a string"}

// A Value is an operand. Values that are equal by the rules of the package are
// equal as Go values, so a Value can be a map key.
type Value struct {
	Kind Kind
	Bool bool   // of Kind Bool
	Num  Num    // of Kind Number
	Str  string // of Kind String
}

// String writes v as JSON.
func (v Value) String() string {
	switch v.Kind {
	case Bool:
		return strconv.FormatBool(v.Bool)
	case Number:
		return v.Num.String()
	case String:
		return strconv.Quote(v.Str)
	}
	return "null"
}

// A Node is a part of a filter. It is not modified after Parse.
type Node struct {
	Op   Op
	Kids []*Node // of And, Or, Not; else nil
	// Field is the field of a leaf as written, Path its segments.
	Field string
	Path  []string
	// Values are the operands of a leaf. Those of In and Nin are without
	// duplicates, in the order written.
	Values []Value

	set map[Value]struct{} // of In and Nin with more than smallSet values; else nil
}

// smallSet is the number of operands of $in up to which a scan of the list
// beats a look-up in the map (measured: even at about 8 short strings).
const smallSet = 8

// A Filter is a parsed filter, safe for any number of goroutines. The nil Filter
// matches everything.
type Filter struct{ root *Node }

// Root returns the tree, nil where everything matches.
func (f *Filter) Root() *Node {
	if f == nil {
		return nil
	}
	return f.root
}

// Walk calls visit for each node, parents first. Where visit returns false the
// node's kids are passed over.
func (f *Filter) Walk(visit func(*Node) bool) {
	if r := f.Root(); r != nil {
		r.walk(visit)
	}
}

func (n *Node) walk(visit func(*Node) bool) {
	if !visit(n) {
		return
	}
	for _, k := range n.Kids {
		k.walk(visit)
	}
}

// String writes the filter in normal form, for people and tests.
func (f *Filter) String() string {
	if f.Root() == nil {
		return "true"
	}
	var b strings.Builder
	f.root.format(&b)
	return b.String()
}

func (n *Node) format(b *strings.Builder) {
	b.WriteByte('(')
	if n.Op.IsLeaf() {
		fmt.Fprintf(b, "%q ", n.Field)
	}
	b.WriteString(n.Op.String())
	for _, v := range n.Values {
		b.WriteByte(' ')
		b.WriteString(v.String())
	}
	for _, k := range n.Kids {
		b.WriteByte(' ')
		k.format(b)
	}
	b.WriteByte(')')
}
