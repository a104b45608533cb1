// Package invariant checks what must be true if the program is right. A fault of
// a disk, a network or a user is an error; what this package panics about is a
// bug.
//
// Checks are on in tests, and everywhere with the build tag "invariants". With the
// tag "release" they are off also in tests, and [Enabled] is a constant, so that
// the compiler removes what depends on it; without any tag a check that is off
// costs one load and a branch.
package invariant
