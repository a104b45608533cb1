//go:build !release && !invariants

package invariant

import "testing"

// Enabled says whether checks are on. It is not to be written to.
var Enabled = testing.Testing()
