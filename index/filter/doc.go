// Package filter is the filter language over JSON metadata: the one that
// searches, lists, counts, deletes, feeds and live queries share (API,
// section 6). It is Mongo's in small, as Chroma and Pinecone users know it.
//
// # Grammar
//
//	filter     = object of member              several members: all must hold; {} holds always
//	member     = "$and" : [ filter, … ]        at least one
//	           | "$or"  : [ filter, … ]        at least one
//	           | "$not" : filter
//	           | field  : scalar               the same as {"$eq": scalar}
//	           | field  : object of condition  several conditions: all must hold; at least one
//	condition  = "$eq" | "$ne"                 : scalar
//	           | "$gt" | "$gte" | "$lt" | "$lte" : number | string
//	           | "$in" | "$nin"                : [ scalar, … ]   may be empty
//	           | "$contains"                   : scalar
//	           | "$exists"                     : true | false
//	           | "$not"                        : object of condition
//	scalar     = null | boolean | number | string
//	field      = segment { "." segment }       not empty, does not begin with "$"
//
// Parsing is strict. An unknown operator, a wrong operand, an empty $and, a key
// that stands twice, a field compared with an object or an array, and anything
// over a limit (MaxBytes, MaxDepth, MaxValues, MaxNodes, MaxSegments) is an
// [*Error] that names the path in the filter. No filter at all (no bytes, or
// null) is the nil [*Filter], which matches everything.
//
// # What a field means
//
// A filter looks at one object: the document's metadata overlaid by the
// chunk's. The overlay is by top-level key: a key of the chunk hides the whole
// value that the document has under it, also where the chunk's value is null.
//
// A dotted field walks into nested objects: "a.b" is the member b of the member
// a. Where a value on the way is an array, the walk goes on in each of its
// elements that is an object; indexes ("a.0") do not exist. Only where the walk
// finds nothing does the field mean the literal top-level key "a.b". Where a
// stored object has a key twice, the last one counts, as in encoding/json.
//
// So a field has any number of values: none (it is missing), one, or several.
// A value that is an array also stands for each of its elements, one level
// deep: {"tags":"nlp"} matches {"tags":["ml","nlp"]}.
//
// # What a condition means
//
//   - $eq holds if a value equals the operand. Null equals null, and a missing
//     field too: {"a":null} matches {} (as in Mongo; add "$exists":true to
//     tell them apart). $in holds if $eq holds for one of its operands.
//   - $ne and $nin are exactly the negations of $eq and $in: they hold for a
//     missing field (unless null is among the operands), and on an array only if
//     no element equals.
//   - $gt, $gte, $lt, $lte hold if a value of the operand's type is in that
//     order to it. Values of different types have no order and never match; a
//     missing field never matches.
//   - $contains holds if a value is an array with an element equal to the
//     operand. A scalar contains nothing.
//   - $exists true holds if the field is there, also with null; false if not.
//   - $not negates all that is inside it; {"a":{"$not":{"$gt":1}}} holds for a
//     missing a.
//
// Numbers compare by exact value: 9007199254740993 is not 9007199254740992,
// 1.0 is 1, and -0 is 0. Integers of the ranges of int64 and uint64 are exact,
// all other numbers are float64. Strings compare by bytes of UTF-8, so that
// RFC 3339 times in UTC of one width order as times. Objects equal nothing.
//
// Stored metadata that is not a JSON object is no reason to fail: what cannot
// be read counts as missing. [Filter.Match] never panics.
//
// # For evaluators other than Match
//
// [Filter.Root] gives the tree in normal form: every field condition is a leaf
// with Path, Op and Values, every implicit "and" is explicit. A bitmap evaluator
// answers leaves from postings and combines them; [Num] is the canonical number
// under which it must file them, so that equal values are equal keys.
package filter
