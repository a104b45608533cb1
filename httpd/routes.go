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
	// head, where set, judges a request before its body is sent (Expect:
	// 100-continue); handle does so again.
	head func(c *call) error

	lib int // index of {lib} among the variables, -1 where there is none
	use *usage
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
		{method: "POST", path: lib + "/documents/stream", role: engine.RoleWrite, write: true, params: []string{"mode", "on_error", "ack", "source", "first_line"}, handle: (*call).ingest, head: (*call).ingestHead},
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
		{method: "POST", path: lib + "/search", role: engine.RoleRead, read: true, handle: (*call).search},
		{method: "POST", path: lib + "/search/stream", role: engine.RoleRead, read: true, handle: (*call).searchStream},
		{method: "GET", path: lib + "/sources/{source}", role: engine.RoleRead, read: true, handle: (*call).getSource},
		{method: "DELETE", path: lib + "/sources/{source}", role: engine.RoleWrite, write: true, handle: (*call).deleteSource},
		{method: "GET", path: "/v1/documents/{doc}", role: engine.RoleRead, read: true, params: []string{"library_id", "include"}, handle: (*call).getDocument},
		{method: "DELETE", path: "/v1/documents/{doc}", role: engine.RoleWrite, write: true, params: []string{"library_id"}, handle: (*call).deleteDocument},

		{method: "GET", path: "/v1/events", role: engine.RoleRead, read: true, params: append([]string{"limit", "wait", "follow", "heartbeat"}, eventParams...), handle: (*call).pullEvents},
		{method: "GET", path: "/v1/events/stream", role: engine.RoleRead, params: append([]string{"heartbeat", "last_event_id"}, eventParams...), handle: (*call).streamEvents},
		{method: "GET", path: "/v1/events/stats", role: engine.RoleRead, handle: (*call).eventStats},
	}
	return table
}

// laterParams and laterPaths are parts of the contract that this build does not
// have.
var laterParams = map[string]string{"snapshot": "the bootstrap with snapshot=true", "snapshot_cursor": "the bootstrap with snapshot=true", "consumer": "durable consumers"}

var laterPaths = []struct{ prefix, suffix, what string }{
	{"/v1/libraries/", "/ws", "the WebSocket interface"}, {"/v1/libraries/", "/watch", "live queries"},
	{"/v1/ws", "", "the WebSocket interface"}, {"/v1/websockets", "", "the WebSocket interface"}, {"/v1/jobs", "", "background jobs"}, {"/v1/schedules", "", "background jobs"},
	{"/v1/consumers", "", "durable consumers"}, {"/v1/webhooks", "", "webhooks"}, {"/v1/admin/backup", "", "backups"}, {"/v1/admin/compact", "", "compaction on demand"}, {"/ui", "", "the dashboard"},
}

// laterPath says which part of the contract a path belongs to, "" for none.
func laterPath(path string) string {
	for _, l := range laterPaths {
		rest, ok := strings.CutPrefix(path, l.prefix)
		if !ok {
			continue
		}
		if l.suffix == "" && (rest == "" || rest[0] == '/') || l.suffix != "" && strings.HasSuffix(rest, l.suffix) {
			return l.what
		}
	}
	return ""
}

// A table finds routes by path: a tree with a level for each segment.
type table struct {
	rows []route
	root node
}

type node struct {
	literal  map[string]*node
	variable *node
	rows     []*route // of the path that ends here
}

func newTable(rows []route) *table {
	t := &table{rows: rows}
	for i := range t.rows {
		r := &t.rows[i]
		r.lib, r.use = -1, new(usage)
		n, vars := &t.root, 0
		for _, s := range strings.Split(r.path[1:], "/") {
			if s[0] == '{' {
				if s == "{lib}" {
					r.lib = vars
				}
				vars++
				if n.variable == nil {
					n.variable = new(node)
				}
				n = n.variable
				continue
			}
			if n.literal[s] == nil {
				if n.literal == nil {
					n.literal = map[string]*node{}
				}
				n.literal[s] = new(node)
			}
			n = n.literal[s]
		}
		n.rows = append(n.rows, r)
	}
	return t
}

// match finds the route of a path, or the methods that the path knows. Literal
// segments win over variables; an empty segment fits no variable. vars are the
// variables in the order of the path.
func (t *table) match(method, path string) (r *route, vars, allow []string) {
	if path == "" || path[0] != '/' {
		return nil, nil, nil
	}
	n, vars := t.root.find(path[1:], nil)
	if n == nil {
		return nil, nil, nil
	}
	for _, row := range n.rows {
		if row.method == method || method == "HEAD" && row.method == "GET" {
			return row, vars, nil
		}
		allow = append(allow, row.method)
	}
	return nil, nil, allow
}

func (n *node) find(path string, vars []string) (*node, []string) {
	s, rest, more := strings.Cut(path, "/")
	for _, child := range [2]*node{n.literal[s], n.variable} {
		if child == nil {
			continue
		}
		with := vars
		if child == n.variable {
			if s == "" {
				continue
			}
			if vars == nil {
				vars = make([]string, 0, 3) // the most that a path has
			}
			if v, err := url.PathUnescape(s); err == nil {
				with = append(vars, v)
			} else {
				with = append(vars, s)
			}
		}
		if more {
			if found, got := child.find(rest, with); found != nil {
				return found, got
			}
		} else if len(child.rows) > 0 {
			return child, with
		}
	}
	return nil, nil
}

// known reports whether the route takes a query parameter.
func (r *route) known(name string) bool {
	return name == "access_token" || slices.Contains(r.params, name) || r.read && slices.Contains(readParams, name)
}
