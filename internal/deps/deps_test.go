package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/arrwdb/arrwdb"

// A rule forbids packages to import others. Packages of this module are written
// as their directories; a pattern matches itself and everything below it.
type rule struct {
	from   []string // the rule is for these; empty: for all
	except []string // but not for these
	deny   []string // they must not import these
	allow  []string // except these
	reason string
}

const (
	std    = "std:" // a package of the standard library
	pebble = "github.com/cockroachdb/pebble"
)

var rules = []rule{
	{except: []string{"httpd", "bench", "client"}, deny: []string{"github.com/valyala/fasthttp", "github.com/fasthttp"},
		reason: "HTTP and WebSocket are one package's business, so that the rest can be tested and used without a server"},
	{except: []string{"cmd"}, deny: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"},
		reason: "flags, environment and exit codes live in cmd; parts take Options"},
	{except: []string{"engine"}, deny: []string{pebble}, allow: []string{pebble + "/v2/vfs"},
		reason: "one package opens the store, so that one place knows its traps and its keys"},
	{except: []string{"engine", "wal", "index", "bench", "internal/testkit"}, deny: []string{pebble + "/v2/vfs"},
		reason: "only what must survive crashes does its own file I/O, through the file system that tests can crash"},
	{except: []string{"cmd", "bench"}, deny: []string{"bench"},
		reason: "measuring is not part of serving"},
	{from: []string{"change"}, deny: []string{module, std + "os", std + "net", std + "syscall"},
		reason: "the vocabulary depends on nothing and does no I/O; everybody depends on it"},
	{from: []string{"wal"}, deny: []string{module}, allow: []string{"wal", "change", "internal"},
		reason: "the log stores frames of changes and knows of nobody who reads them"},
	{from: []string{"index"}, deny: []string{module}, allow: []string{"index", "change", "internal"},
		reason: "indexes are leaves: fed by the engine, they know neither log nor store nor network"},
	{from: []string{"index/filter"}, deny: []string{module, std + "os", std + "net"}, allow: []string{"index/filter", "internal"},
		reason: "feeds, jobs and the server use the filter language without the indexes"},
	{from: []string{"embed"}, deny: []string{module}, allow: []string{"embed", "internal"},
		reason: "a provider turns text into vectors; who keeps them is not its concern"},
	{from: []string{"engine"}, deny: []string{"cdc", "httpd", "jobs", "client"},
		reason: "the engine serves them; they declare the small interfaces that they need, and it satisfies them"},
	{from: []string{"cdc", "jobs"}, deny: []string{"engine", "httpd"},
		reason: "feeds and jobs are tested against interfaces, without a store or a server"},
	{from: []string{"client"}, deny: []string{module}, allow: []string{"client", "change"},
		reason: "the SDK must not pull the database into its users' programs"},
	{except: []string{"cmd"}, deny: []string{"cmd"},
		reason: "cmd wires the parts; nothing is above it"},
}

// below reports whether pkg is one of the patterns or below one.
func below(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return pkg == full(p) || strings.HasPrefix(pkg, full(p)+"/")
	})
}

// full turns a directory of this module into its import path.
func full(p string) string {
	if strings.HasPrefix(p, std) {
		return p
	}
	if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
		return p
	}
	return module + "/" + p
}

// broken returns the rules that one import breaks.
func broken(pkg, imported string) (reasons []string) {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		imported = std + imported
	}
	for _, r := range rules {
		if len(r.from) > 0 && !below(pkg, r.from) || below(pkg, r.except) {
			continue
		}
		if below(imported, r.deny) && !below(imported, r.allow) {
			reasons = append(reasons, r.reason)
		}
	}
	return reasons
}

// source is a Go file that is not a test.
type source struct {
	name string
	pkg  string
	file *ast.File
}

// sources parses every file of the module, whatever its build tags.
func sources(t *testing.T, root string) (out []source) {
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (err == nil || base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		out = append(out, source{name, path.Join(module, filepath.ToSlash(dir)), file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no Go files under %s", root)
	}
	return out
}

func TestImports(t *testing.T) {
	for _, s := range sources(t, filepath.Join("..", "..")) {
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, reason := range broken(s.pkg, imported) {
				t.Errorf("%s: %s must not import %s: %s", s.name, s.pkg, imported, reason)
			}
		}
	}
}

func TestExit(t *testing.T) {
	for _, s := range sources(t, filepath.Join("..", "..")) {
		if below(s.pkg, []string{"cmd"}) || s.file.Name.Name == "main" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok {
					if call := x.Name + "." + sel.Sel.Name; call == "os.Exit" || strings.HasPrefix(call, "log.Fatal") {
						t.Errorf("%s: %s: exit codes live in cmd; return an error", s.name, call)
					}
				}
			}
			return true
		})
	}
}

// TestRules shows that the table forbids what it should and nothing else.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		ok            bool
	}{
		{"wal", "change", true},
		{"wal", "internal/invariant", true},
		{"wal", "engine", false},
		{"wal", pebble + "/v2/vfs", true},
		{"wal", pebble + "/v2", false},
		{"engine", pebble + "/v2", true},
		{"engine", pebble + "/v2/sstable", true},
		{"engine", "cdc", false},
		{"engine", "index/rows", true},
		{"index/rows", pebble + "/v2/vfs/errorfs", true},
		{"index/rows", "wal", false},
		{"index/filter", "os", false},
		{"index/rows", "os", true},
		{"index/filter", "encoding/json", true},
		{"change", "encoding/json", true},
		{"change", "os", false},
		{"change", "net/http", false},
		{"change", "internal/invariant", false},
		{"cdc", "index/filter", true},
		{"cdc", "engine", false},
		{"jobs", "httpd", false},
		{"jobs", pebble + "/v2/vfs", false},
		{"httpd", "engine", true},
		{"httpd", "github.com/valyala/fasthttp/fasthttpadaptor", true},
		{"cdc", "github.com/fasthttp/websocket", false},
		{"client", "github.com/fasthttp/websocket", true},
		{"client", "engine", false},
		{"cmd/arrwdb", "github.com/spf13/cobra", true},
		{"cmd/arrwdb", "bench", true},
		{"cmd/arrwdb", "cmd/arrwdb/internal", true},
		{"httpd", "github.com/spf13/cobra", false},
		{"httpd", "bench", false},
		{"bench", "cmd/arrwdb", false},
		{"engineering", pebble + "/v2", false}, // a longer name is another package
	} {
		pkg, imported := full(c.pkg), c.imported
		if slices.Contains([]string{"wal", "engine", "cdc", "jobs", "httpd",
			"bench", "cmd/arrwdb", "cmd/arrwdb/internal", "index/rows", "index/filter", "internal/invariant", "change"}, c.imported) {
			imported = full(c.imported)
		}
		if got := broken(pkg, imported); (len(got) == 0) != c.ok {
			t.Errorf("%s importing %s: %s", pkg, imported, fmt.Sprint(got))
		}
	}
}
