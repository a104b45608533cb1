package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README's table is the list of the commands, and its four commands work as
// they stand there.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	a := &app{}
	known := map[string]bool{}
	for _, c := range a.commands() {
		known[c.Name()] = true
		if c.Name() != "version" && !strings.Contains(readme, "\n| `"+c.Name()) {
			t.Errorf("the table does not show %s", c.Name())
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)[ `].*|go run ./cmd/arrwdb ([a-z]+)").FindAllStringSubmatch(readme[:strings.Index(readme, "## The map")], -1) {
		if name := m[1] + m[2]; !known[name] {
			t.Errorf("there is no command %s", name)
		}
	}
	for _, setup := range []string{"\n    go run ./cmd/arrwdb demo\n", "\n    go test ./...\n"} {
		if i := strings.Index(readme, setup); i < 0 || strings.Count(readme[:i], "\n") > 40 {
			t.Errorf("the first screen does not hold %q", setup)
		}
	}

	s := serve(t, t.TempDir())
	line := regexp.MustCompile(`echo '([^']+)' \| go run ./cmd/arrwdb (import .*)`).FindStringSubmatch(readme)
	if line == nil {
		t.Fatal("no command to ingest")
	}
	t.Setenv("ARRWDB_SERVER", s.base)
	if r := do(t, line[1]+"\n", strings.Fields(line[2])...); r.code != 0 {
		t.Errorf("%s: exit %d\n%s", line[2], r.code, r.err)
	}
	contains(t, ok(t, "tail", "--from", "start", "--to", "2"), "papers/doc-1")
}
