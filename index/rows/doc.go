// Package rows keeps the vectors of all libraries: one of the two primaries of
// the database, from which every index over vectors can be rebuilt.
//
// All libraries share one arena of row files, cut into blocks. A block belongs to
// one space ([Key]: library, space, generation, dimension) and holds its rows at
// places that follow from their numbers, so there is nothing to look up but the
// block. Small libraries share files, and one sync covers thousands of them.
//
// The applier appends rows in the order of the log ([Store.Append]) and takes a
// [Cut] now and then, which another goroutine makes durable ([Cut.Commit]) while
// appending and reading go on. After a crash [Open] shows exactly the last durable
// cut, and [Store.Durable] says from where the log must be applied again.
//
// Readers take a [Pin], find a [Space] and read rows or whole blocks, in place
// where the files are mapped. A library that is dropped stays readable for the
// pins that were there before.
//
// [Store.Verify] is the checker. DESIGN.md has the bytes, the guarantees, the
// states after a crash and the lock order.
package rows
