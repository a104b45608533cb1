package invariant_test

import (
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/internal/invariant"
)

func TestCheck(t *testing.T) {
	invariant.Check(true, "never shown")
	defer func() {
		got, _ := recover().(string)
		if !invariant.Enabled {
			if got != "" {
				t.Errorf("off, but panicked: %s", got)
			}
			return
		}
		if !strings.Contains(got, "durable 3 > assigned 2") {
			t.Errorf("panicked with %q", got)
		}
	}()
	invariant.Check(false, "durable %d > assigned %d", 3, 2)
}
