package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/engine"
)

func TestAge(t *testing.T) {
	for s, want := range map[string]time.Duration{"7d": 7 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "forever": engine.RetainForever} {
		var a age
		if err := a.Set(s); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", s, time.Duration(a), err)
		}
		var back age
		if err := back.Set(a.String()); err != nil || back != a {
			t.Errorf("%s is printed as %s", s, a.String())
		}
	}
	for _, s := range []string{"", "d", "0d", "-1d", "7", "7d7", "1d-25h", "never", "106752d", "99999999999d"} {
		var a age
		if err := a.Set(s); err == nil {
			t.Errorf("%q is taken as %v", s, time.Duration(a))
		}
	}
	for _, args := range [][]string{{"--retention", "soon"}, {"--retention-min-bytes", "-1"}, {"--retention-max-bytes", "-1"}} {
		r := do(t, "", append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)...)
		if r.code != exitUsage || !strings.Contains(r.err, args[0]) {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.err)
		}
	}
}
