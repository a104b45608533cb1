package cmd

import (
	"strings"
	"testing"
)

// The role of a key is told back, so it shows where a setting came from.
func TestPrecedence(t *testing.T) {
	config := file(t, "settings.json", "{\n  \"role\": \"read\",\n  \"library\": [\"x\", \"y\"],\n  \"listen\": \"127.0.0.1:1\"\n}")
	dir := t.TempDir()
	role := func(args ...string) string {
		var k struct{ Role string }
		okJSON(t, &k, append([]string{"keys", "create", "--data", dir}, args...)...)
		return k.Role
	}
	if got := role("--config", config); got != "read" {
		t.Errorf("from the file: %s", got)
	}
	t.Setenv("ARRWDB_ROLE", "write")
	if got := role("--config", config); got != "write" {
		t.Errorf("a variable before the file: %s", got)
	}
	if got := role("--config", config, "--role", "admin"); got != "admin" {
		t.Errorf("a flag before both: %s", got)
	}
	t.Setenv("ARRWDB_CONFIG", config)
	t.Setenv("ARRWDB_ROLE", "write")
	var k struct{ Libraries []string }
	okJSON(t, &k, "keys", "create", "--data", dir)
	if strings.Join(k.Libraries, " ") != "x y" {
		t.Errorf("libraries %v: the file that ARRWDB_CONFIG names was not read", k.Libraries)
	}
}

func TestBadSettings(t *testing.T) {
	for text, want := range map[string]string{
		"{\n\n \"rolle\": \"read\"}":         "line 3: there is no setting \"rolle\"",
		"{\n \"role\": {}}":                  "line 2",
		"[]":                                 "one JSON object",
		"{\"role\": \"a\", \"role\": \"b\"}": "twice",
		"{\"role\"":                          "line 1",
		"{\n\"expires\": 3, \n\"full\": \"perhaps\"}": "line 3: full",
	} {
		r := do(t, "", "verify", "--config", file(t, "c.json", text))
		if r.code != exitUsage {
			t.Errorf("%s: exit %d, want 2: %s", text, r.code, r.err)
		}
		contains(t, r.err, want)
	}
	if r := do(t, "", "version", "--config", "/none/such"); r.code != exitUsage {
		t.Errorf("a file that is not there: exit %d", r.code)
	}
	t.Setenv("ARRWDB_FULL", "perhaps")
	if r := do(t, "", "verify"); r.code != exitUsage || !strings.Contains(r.err, "ARRWDB_FULL") {
		t.Errorf("a bad variable: exit %d, %s", r.code, r.err)
	}
}

// Which place a command works on is decided by what stands closest to the user.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	ok(t, "keys", "create", "--role", "read", "--data", dir)
	s := serve(t, t.TempDir())
	if r := do(t, "", "status", "--data", dir, "--server", s.base); r.code != exitUsage {
		t.Errorf("both: exit %d, want 2", r.code)
	}
	pid := func(args ...string) bool {
		var v map[string]any
		okJSON(t, &v, append([]string{"status"}, args...)...)
		_, server := v["pid"] // only a server has one
		return server
	}
	if !pid("--server", s.base) || pid("--data", dir) {
		t.Error("a flag names the place")
	}
	t.Setenv("ARRWDB_SERVER", s.base)
	if !pid() || pid("--data", dir) {
		t.Error("a flag goes before a variable")
	}
	t.Setenv("ARRWDB_DATA", dir)
	if !pid() {
		t.Error("with both as variables, status asks the server")
	}
	var k map[string]any
	okJSON(t, &k, "keys", "list") // works on the directory
	if len(k["keys"].([]any)) != 1 {
		t.Errorf("keys list: %v", k)
	}
}
