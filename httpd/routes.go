package httpd

import (
	"net/url"
	"slices"
	"strings"

	"github.com/arrwdb/arrwdb/engine"
)

// A route is one row of the route table.
type route struct {
	method string
	path   string // segments in braces are variables; {lib} is a library
	role   string // the least role of a key; "" needs no key
	// unscoped routes are not for keys that are limited to some libraries.
	unscoped bool
	// params are the query parameters that the route knows, besides those that
	// come with its kind.
	params []string
	// read routes take min_seq and timeout, and say what they saw.
	read bool
	// write routes are refused to foreign origins, and take Idempotency-Key
	// where they are POST.
	write  bool
	handle func(c *call) error

	segments []string
}

var readParams = []string{"min_seq", "timeout"}

var eventParams = []string{"from", "after", "types", "library", "filter", "include"}

// routes is the one table of what the server answers.
func routes() []route {
	const lib, doc = "/v1/libraries/{lib}", "/v1/libraries/{lib}/documents/{doc}"
	table := []route{
		{method: "GET", path: "/livez", handle: (*call).livez},
		{method: "GET", path: "/readyz", handle: (*call).readyz},
		{method: "GET", path: "/openapi.json", handle: (*call).openAPI},
		{method: "GET", path: "/docs", handle: (*call).docs},
		{method: "GET", path: "/metrics", role: engine.RoleAdmin, unscoped: true, handle: (*call).metrics},
		{method: "GET", path: "/v1/status", role: engine.RoleRead, handle: (*call).status},
		{method: "POST", path: "/v1/admin/checkpoint", role: engine.RoleAdmin, unscoped: true, write: true, handle: (*call).checkpoint},

		{method: "GET", path: "/v1/keys", role: engine.RoleAdmin, unscoped: true, handle: (*call).listKeys},
		{method: "POST", path: "/v1/keys", role: engine.RoleAdmin, unscoped: true, write: true, handle: (*call).createKey},
		{method: "DELETE", path: "/v1/keys/{id}", role: engine.RoleAdmin, unscoped: true, write: true, handle: (*call).revokeKey},

		{method: "GET", path: "/v1/libraries", role: engine.RoleRead, read: true, params: []string{"limit", "cursor"}, handle: (*call).listLibraries},
		{method: "POST", path: "/v1/libraries", role: engine.RoleWrite, write: true, handle: (*call).createLibrary},
		{method: "GET", path: lib, role: engine.RoleRead, read: true, handle: (*call).getLibrary},
		{method: "PATCH", path: lib, role: engine.RoleWrite, write: true, handle: (*call).patchLibrary},
		{method: "DELETE", path: lib, role: engine.RoleWrite, write: true, handle: (*call).deleteLibrary},

		{method: "GET", path: lib + "/documents", role: engine.RoleRead, read: true, params: []string{"limit", "cursor", "filter", "include"}, handle: (*call).listDocuments},
		{method: "POST", path: lib + "/documents", role: engine.RoleWrite, write: true, params: []string{"upsert", "include"}, handle: (*call).postDocument},
		{method: "GET", path: lib + "/documents/stream", role: engine.RoleRead, read: true, params: []string{"include", "filter"}, handle: (*call).export},
		{method: "POST", path: lib + "/documents/stream", role: engine.RoleWrite, write: true, params: []string{"mode", "on_error", "ack", "source", "first_line"}, handle: (*call).ingest},
		{method: "POST", path: lib + "/documents/get", role: engine.RoleRead, read: true, params: []string{"include"}, handle: (*call).getDocuments},
		{method: "POST", path: lib + "/documents/delete", role: engine.RoleWrite, write: true, handle: (*call).deleteDocuments},
		{method: "GET", path: doc, role: engine.RoleRead, read: true, params: []string{"include"}, handle: (*call).getDocument},
		{method: "PUT", path: doc, role: engine.RoleWrite, write: true, params: []string{"include"}, handle: (*call).putDocument},
		{method: "PATCH", path: doc, role: engine.RoleWrite, write: true, params: []string{"include"}, handle: (*call).patchDocument},
		{method: "DELETE", path: doc, role: engine.RoleWrite, write: true, handle: (*call).deleteDocument},
		{method: "POST", path: doc + "/chunks", role: engine.RoleWrite, write: true, params: []string{"include"}, handle: (*call).addChunks},
		{method: "DELETE", path: doc + "/chunks/{chunk}", role: engine.RoleWrite, write: true, handle: (*call).deleteChunk},
		{method: "GET", path: lib + "/count", role: engine.RoleRead, read: true, params: []string{"filter"}, handle: (*call).count},
		{method: "POST", path: lib + "/batch", role: engine.RoleWrite, write: true, handle: (*call).batch},
		{method: "GET", path: lib + "/sources/{source}", role: engine.RoleRead, read: true, handle: (*call).getSource},
		{method: "DELETE", path: lib + "/sources/{source}", role: engine.RoleWrite, write: true, handle: (*call).deleteSource},
		{method: "GET", path: "/v1/documents/{doc}", role: engine.RoleRead, read: true, params: []string{"library_id", "include"}, handle: (*call).getDocument},
		{method: "DELETE", path: "/v1/documents/{doc}", role: engine.RoleWrite, write: true, params: []string{"library_id"}, handle: (*call).deleteDocument},

		{method: "GET", path: "/v1/events", role: engine.RoleRead, read: true, params: append([]string{"limit", "wait", "follow", "heartbeat"}, eventParams...), handle: (*call).pullEvents},
		{method: "GET", path: "/v1/events/stream", role: engine.RoleRead, params: append([]string{"heartbeat", "last_event_id"}, eventParams...), handle: (*call).streamEvents},
		{method: "GET", path: "/v1/events/stats", role: engine.RoleRead, handle: (*call).eventStats},
	}
	for i := range table {
		table[i].segments = strings.Split(table[i].path[1:], "/")
	}
	return table
}

// match finds the route of a path, or the methods that the path knows. Literal
// segments win over variables. vars are the variables in the order of the path.
func match(table []route, method, path string) (r *route, vars []string, allow []string) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil, nil
	}
	segments := strings.Split(path[1:], "/")
	best := -1
	for i := range table {
		score := fits(table[i].segments, segments)
		if score < 0 {
			continue
		}
		if score > best {
			best, r, allow = score, nil, nil
		}
		if score < best {
			continue
		}
		allow = append(allow, table[i].method)
		if table[i].method == method || method == "HEAD" && table[i].method == "GET" {
			r = &table[i]
		}
	}
	if r == nil {
		return nil, nil, allow
	}
	for i, s := range r.segments {
		if s[0] == '{' {
			v, err := url.PathUnescape(segments[i])
			if err != nil {
				v = segments[i]
			}
			vars = append(vars, v)
		}
	}
	return r, vars, allow
}

// fits returns how many literal segments fit, or -1. An empty segment fits no
// variable.
func fits(pattern, segments []string) int {
	if len(pattern) != len(segments) {
		return -1
	}
	n := 0
	for i, p := range pattern {
		switch {
		case p == segments[i]:
			n++
		case len(p) == 0 || p[0] != '{' || segments[i] == "":
			return -1
		}
	}
	return n
}

// known reports whether the route takes a query parameter.
func (r *route) known(name string) bool {
	return name == "access_token" || slices.Contains(r.params, name) || r.read && slices.Contains(readParams, name)
}
