//go:build invariants

package invariant

// Enabled says whether checks are on.
const Enabled = true
