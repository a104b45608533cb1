package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/engine"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("failed"), 1},
		{engine.ErrNoDatabase, 1},
		{usagef("wrong"), 2},
		{fmt.Errorf("with more: %w", usagef("wrong")), 2},
		{fmt.Errorf("%w", &engine.InUseError{PID: 7}), 3},
		{errDamage, 4},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"version", "surplus"}, {"version", "--nonsense"}, {"version", "--output", "xml"},
		{"export"}, {"import", "lib"}, {"keys"}, {"keys", "frob"}, {"log"}, {"keys", "revoke"}, {"import", "l", "f", "--mode", "x"}, {"import", "l", "f", "--on-error", "x"},
		{"serve", "--listen", "nonsense"}, {"serve", "--log-level", "loud"}} {
		r := do(t, "", args...)
		if r.code != exitUsage || r.err == "" || r.out != "" {
			t.Errorf("arrwdb %s: exit %d, want 2\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
		}
	}
	out := ok(t)
	for _, verb := range []string{"serve", "demo", "import", "export", "tail", "status", "keys", "log", "verify", "version"} {
		contains(t, out, "\n  "+verb+" ")
	}
}

func TestVersion(t *testing.T) {
	contains(t, ok(t, "version"), Version)
	var v map[string]string
	if okJSON(t, &v, "version"); v["version"] != Version || v["go"] == "" {
		t.Errorf("%v", v)
	}
}
