package repo

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// files calls each with every file of the repository, but for what is ignored
// or belongs to other tools.
func files(t *testing.T, each func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != root && (strings.HasPrefix(base, ".") && base != ".ci" || base == "node_modules" || base == "bin") {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			each(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	n := 0
	files(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		n++
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := format.Source(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(src, want) {
			t.Errorf("%s is not formatted: gofmt -w %s", name, strings.TrimPrefix(name, root+string(filepath.Separator)))
		}
	})
	if n == 0 {
		t.Fatal("no Go files")
	}
}

func TestVet(t *testing.T) {
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet ./...: %v\n%s", err, out)
	}
}

// Every package has a doc.go that says what it is for.
func TestPackagesAreDescribed(t *testing.T) {
	described := map[string]bool{}
	files(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		dir := filepath.Dir(name)
		if filepath.Base(name) == "doc.go" {
			described[dir] = regexp.MustCompile(`(?m)^// (Package|Command) \S+ .*\n(//.*\n)*package `).MatchString(read(t, strings.TrimPrefix(name, root+string(filepath.Separator))))
		} else if !described[dir] {
			described[dir] = false
		}
	})
	for dir, ok := range described {
		if !ok {
			t.Errorf("%s has no doc.go with a description of the package", dir)
		}
	}
}

// Every direct dependency and tool has a line in the README that says why it is there,
// and the README names no other.
func TestDependenciesAreExplained(t *testing.T) {
	readme := read(t, "README.md")
	_, section, _ := strings.Cut(readme, "\n## Dependencies\n")
	section, _, _ = strings.Cut(section, "\n## ")
	used := map[string]bool{}
	cmd := exec.Command("go", "list", "-test", "-f", "{{range .Imports}}{{println .}}{{end}}{{range .XTestImports}}{{println .}}{{end}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := moduleNames(t)
	tools := regexp.MustCompile(`(?m)^tool (\S+)`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	for _, m := range tools {
		out = append(out, m[1]+"\n"...)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, m := range modules {
			if path == m || strings.HasPrefix(path, m+"/") {
				used[m] = true
			}
		}
	}
	explained := map[string]bool{}
	for _, line := range strings.Split(section, "\n") {
		if m := regexp.MustCompile("^- `([^`]+)`: .{20,}").FindStringSubmatch(line); m != nil {
			explained[m[1]] = true
		}
	}
	for m := range used {
		if !explained[m] {
			t.Errorf("README, Dependencies: nothing says why %s is used", m)
		}
	}
	for m := range explained {
		if !used[m] {
			t.Errorf("README, Dependencies: %s is neither imported by a package nor a tool", m)
		}
	}
}

// moduleNames lists the modules that go.mod requires.
func moduleNames(t *testing.T) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^\s+(\S+\.\S+/?\S*) v\S+`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		t.Fatal("go.mod requires nothing")
	}
	return names
}

// The README's map shows every top-level directory with Go files, and nothing
// that is not there.
func TestMap(t *testing.T) {
	_, readme, _ := strings.Cut(read(t, "README.md"), "\n## The map\n")
	readme, _, _ = strings.Cut(readme, "\n## ")
	dirs := map[string]bool{}
	files(t, func(name string) {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, deep := strings.Cut(filepath.ToSlash(rel), "/"); deep && strings.HasSuffix(rel, ".go") {
			dirs[first] = true
		}
	})
	for d := range dirs {
		if !strings.Contains(readme, "`"+d) {
			t.Errorf("README: the map does not show %s", d)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| `([a-z/]+)`").FindAllStringSubmatch(readme, -1) {
		if st, err := os.Stat(filepath.Join(root, m[1])); err != nil || !st.IsDir() {
			t.Errorf("README: the map shows %s, which is not there", m[1])
		}
	}
}

// Links from the README to files lead somewhere.
func TestLinks(t *testing.T) {
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("README: link to %s: %v", m[1], err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
