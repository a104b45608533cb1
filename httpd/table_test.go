package httpd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/arrwdb/arrwdb/change"
)

// TestTableAndDocument holds the route table and the OpenAPI document against
// each other: paths, methods, query parameters, and which routes need no key.
func TestTableAndDocument(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		t.Fatal(err)
	}
	inTable := map[string]bool{}
	for _, r := range routes() {
		where := r.method + " " + r.path
		if inTable[where] {
			t.Errorf("%s is in the table twice", where)
		}
		inTable[where] = true
		item := doc.Paths.Find(r.path)
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("%s is served, but not in openapi.json", where)
			continue
		}
		op := item.GetOperation(r.method)
		var documented []string
		for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
			switch p.Value.In {
			case "query":
				documented = append(documented, p.Value.Name)
			case "path":
				if !strings.Contains(r.path, "{"+p.Value.Name+"}") {
					t.Errorf("%s documents the path variable %q", where, p.Value.Name)
				}
			}
		}
		taken := slices.Clone(r.params)
		if r.read {
			taken = append(taken, readParams...)
		}
		slices.Sort(documented)
		slices.Sort(taken)
		if !slices.Equal(documented, taken) {
			t.Errorf("%s takes the parameters %v, openapi.json says %v", where, taken, documented)
		}
		free := op.Security != nil && len(*op.Security) == 1 && len((*op.Security)[0]) == 0
		if free != (r.role == "") {
			t.Errorf("%s: role %q, but openapi.json says that no key is needed: %v", where, r.role, free)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !inTable[method+" "+path] {
				t.Errorf("%s %s is in openapi.json, but not served", method, path)
			}
		}
	}
}

// readsByPost are routes whose question does not fit into a query.
var readsByPost = map[string]bool{"/v1/libraries/{lib}/documents/get": true, "/v1/libraries/{lib}/search": true, "/v1/libraries/{lib}/search/stream": true}

// TestTableRows holds what each row must say.
func TestTableRows(t *testing.T) {
	for _, r := range routes() {
		where := r.method + " " + r.path
		if r.handle == nil || !strings.HasPrefix(r.path, "/") {
			t.Errorf("%s has no handler", where)
		}
		if r.role != "" && rank[r.role] == 0 {
			t.Errorf("%s: role %q", where, r.role)
		}
		if r.write != (r.method != "GET") && !readsByPost[r.path] {
			t.Errorf("%s: write is %v", where, r.write)
		}
		if r.write && rank[r.role] < rank["write"] {
			t.Errorf("%s writes with role %q", where, r.role)
		}
		if strings.HasPrefix(r.path, "/v1/") && r.role == "" {
			t.Errorf("%s needs no key", where)
		}
		if r.role == "admin" && !r.unscoped {
			t.Errorf("%s is an admin's, also one of some libraries only", where)
		}
	}
}

func TestMatch(t *testing.T) {
	table := newTable(routes())
	for _, c := range []struct {
		method, path, want string
		vars               []string
	}{
		{"GET", "/livez", "/livez", nil},
		{"HEAD", "/livez", "/livez", nil},
		{"GET", "/v1/libraries", "/v1/libraries", nil},
		{"GET", "/v1/libraries/", "", nil},
		{"GET", "/v1/libraries/a", "/v1/libraries/{lib}", []string{"a"}},
		{"GET", "/v1/libraries/a/documents/b", "/v1/libraries/{lib}/documents/{doc}", []string{"a", "b"}},
		{"GET", "/v1/libraries/a/documents/b%3Ac", "/v1/libraries/{lib}/documents/{doc}", []string{"a", "b:c"}},
		{"GET", "/v1/libraries/a/documents/b%2Fc", "/v1/libraries/{lib}/documents/{doc}", []string{"a", "b/c"}},
		{"GET", "/v1/libraries/a/documents/%zz", "/v1/libraries/{lib}/documents/{doc}", []string{"a", "%zz"}},
		{"GET", "/v1/libraries/a/documents/stream", "/v1/libraries/{lib}/documents/stream", []string{"a"}},
		{"POST", "/v1/libraries/a/documents/get", "/v1/libraries/{lib}/documents/get", []string{"a"}},
		{"POST", "/v1/libraries/a/documents/get/chunks", "/v1/libraries/{lib}/documents/{doc}/chunks", []string{"a", "get"}},
		{"DELETE", "/v1/libraries/a/documents/b/chunks/c", "/v1/libraries/{lib}/documents/{doc}/chunks/{chunk}", []string{"a", "b", "c"}},
		{"GET", "/v1/libraries//documents", "", nil},
		{"GET", "//v1/libraries", "", nil},
		{"GET", "", "", nil},
		{"GET", "*", "", nil},
	} {
		row, vars, _ := table.match(c.method, c.path)
		got := ""
		if row != nil {
			got = row.path
		}
		if got != c.want || !slices.Equal(vars, c.vars) {
			t.Errorf("%s %s: %q %q, want %q %q", c.method, c.path, got, vars, c.want, c.vars)
		}
	}
	if _, _, allow := table.match("PUT", "/v1/libraries/a/documents/stream"); !slices.Equal(allow, []string{"GET", "POST"}) {
		t.Errorf("allow %v", allow)
	}
}

func BenchmarkMatch(b *testing.B) {
	table := newTable(routes())
	b.ReportAllocs()
	for b.Loop() {
		if row, _, _ := table.match("PUT", "/v1/libraries/papers/documents/doc-1"); row == nil {
			b.Fatal("no route")
		}
	}
}

// TestEveryCodeHasAStatus reads the codes from the source that defines them.
func TestEveryCodeHasAStatus(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("..", "change", "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t\w+\s+Code = "(\w+)"`).FindAllSubmatch(src, -1)
	if len(found) < 30 {
		t.Fatalf("%d codes found in the source", len(found))
	}
	seen := map[change.Code]bool{}
	for _, m := range found {
		code := change.Code(m[1])
		seen[code] = true
		if s := statuses[code]; s < 400 || s > 599 {
			t.Errorf("%s has the status %d", code, s)
		}
		if s := statuses[code]; s == 503 && retryAfter[code] == "" {
			t.Errorf("%s is a 503 without Retry-After", code)
		}
	}
	for code := range statuses {
		if !seen[code] {
			t.Errorf("%s has a status, but is no code", code)
		}
	}
}

func TestLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "127.0.0.1": true, "127.0.0.1:8080": true, "127.9.8.7": true, "[::1]": true, "[::1]:80": true, "::1": true,
		"": false, "evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "10.0.0.1": false, "0.0.0.0": false, "[::]": false, "localhost.": false, "2130706433": false,
	} {
		if got := loopbackHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestLaterPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/libraries/a/watch": true, "/v1/jobs": true, "/v1/jobs/x/y": true, "/v1/ws": true, "/ui/": true, "/v1/consumers/c": true,
		"/v1/jobsx": false, "/v1/libraries/a/nothing": false, "/": false, "/v1": false,
	} {
		if got := laterPath(path) != ""; got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
