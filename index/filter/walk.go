package filter

// This file is for evaluators that file metadata beforehand. They must read it
// exactly as [Filter.Match] does, also where it is no valid JSON, so they walk it
// with the same code.

// Members walks the members of a raw JSON object.
type Members struct{ m members }

// WalkObject begins a walk. What does not begin an object has no members.
func WalkObject(raw []byte) Members { return Members{walkObject(raw)} }

// Next returns the next key, unescaped, and its raw value, which is not empty. A
// key that stands twice comes twice; the last one counts. ok is false at the end,
// or where the bytes make no sense.
func (m *Members) Next() (key, val []byte, ok bool) { return m.m.next() }

// Elements walks the elements of a raw JSON array.
type Elements struct{ e elements }

// WalkArray begins a walk. What does not begin with a bracket has no elements.
func WalkArray(raw []byte) Elements {
	if len(raw) == 0 || raw[0] != '[' {
		return Elements{}
	}
	return Elements{walkArray(raw)}
}

// Next returns the next raw element, which is not empty.
func (e *Elements) Next() (val []byte, ok bool) { return e.e.next() }

// A Scalar is a Value as it stands in metadata.
type Scalar struct {
	Kind Kind
	Bool bool   // of Kind Bool
	Num  Num    // of Kind Number
	Text []byte // of Kind String; it may share the memory of the metadata
}

// ReadScalar reads a raw value; ok is false for objects, arrays and nonsense.
func ReadScalar(raw []byte) (Scalar, bool) {
	s, ok := scalarOf(raw)
	return Scalar{s.kind, s.b, s.num, s.text}, ok
}
