package invariant

import "fmt"

// Check panics if checks are on and cond is false. The arguments are evaluated in
// any case: where that costs something, put the call behind if invariant.Enabled.
func Check(cond bool, format string, args ...any) {
	if Enabled && !cond {
		panic("broken invariant: " + fmt.Sprintf(format, args...))
	}
}
