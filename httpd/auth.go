package httpd

import (
	"net/url"
	"slices"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// rank orders the roles.
var rank = map[string]int{engine.RoleRead: 1, engine.RoleWrite: 2, engine.RoleAdmin: 3}

// authenticate finds out who calls. Without any key configured everybody who
// reaches the server under a loopback name is an admin.
func (c *call) authenticate() error {
	r := c.s.ready.Load()
	if r == nil {
		return nil // nothing but the health routes is served yet
	}
	if !r.db.HasKeys() {
		if host := string(c.ctx.Host()); !loopbackHost(host) {
			return change.Errorf(change.PermissionDenied, "Host %q is not a loopback name, and this server has no keys configured: create one with `arrwdb keys create`", clip(host))
		}
		return nil
	}
	secret := ""
	if h := string(c.ctx.Request.Header.Peek("Authorization")); h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return change.Errorf(change.Unauthenticated, "Authorization has to be Bearer and a key")
		}
		secret = strings.TrimSpace(rest)
	} else {
		secret = c.query("access_token")
	}
	if secret == "" {
		return change.Errorf(change.Unauthenticated, "send a key: Authorization: Bearer KEY")
	}
	key, ok := r.db.Authenticate(secret, c.s.o.Now())
	if !ok {
		return change.Errorf(change.Unauthenticated, "the key is unknown, revoked or expired")
	}
	c.key = key
	return nil
}

// authorise checks what the caller may do, before anything of the request is
// validated.
func (c *call) authorise() error {
	row := c.row
	if row.write {
		if err := c.checkOrigin(); err != nil {
			return err
		}
	}
	c.allowOrigin()
	if c.key == nil || row.role == "" {
		return nil
	}
	if rank[c.key.Role] < rank[row.role] {
		return change.Errorf(change.PermissionDenied, "this needs a key with role %s, yours has %s", row.role, c.key.Role)
	}
	if row.unscoped && len(c.key.Libraries) > 0 {
		return change.Errorf(change.PermissionDenied, "this needs a key that is not limited to some libraries")
	}
	if row.lib >= 0 {
		if lib := c.vars[row.lib]; !c.key.Allows(lib) {
			return libraryNotFound(lib)
		}
	}
	return nil
}

// allows reports whether the caller may see a library.
func (c *call) allows(library string) bool { return c.key == nil || c.key.Allows(library) }

// scope returns allows, or nil where the caller may see everything.
func (c *call) scope() func(string) bool {
	if c.key == nil || len(c.key.Libraries) == 0 {
		return nil
	}
	key := c.key
	return key.Allows
}

func libraryNotFound(id string) *change.Error {
	return change.Errorf(change.LibraryNotFound, "library %q does not exist", clip(id))
}

// ownOrigin reports whether an Origin header names the server itself or one of
// the origins that may call it.
func (c *call) ownOrigin(origin string) bool {
	if slices.Contains(c.s.o.CORSOrigins, origin) || slices.Contains(c.s.o.CORSOrigins, "*") {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, string(c.ctx.Host()))
}

// checkOrigin refuses what a page of another site makes a browser send.
func (c *call) checkOrigin() error {
	origin := string(c.ctx.Request.Header.Peek("Origin"))
	if origin == "" || c.ownOrigin(origin) {
		return nil
	}
	return change.Errorf(change.PermissionDenied, "Origin %q is neither the server's own nor allowed by --cors-origin", clip(origin))
}

func (c *call) allowOrigin() {
	origin := string(c.ctx.Request.Header.Peek("Origin"))
	if origin == "" || !c.ownOrigin(origin) {
		return
	}
	h := &c.ctx.Response.Header
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Arrwdb-Seq, Arrwdb-Position, Arrwdb-Documents, ETag, Idempotency-Replayed, Retry-After, X-Request-Id")
	h.Set("Vary", "Origin")
}

// preflight answers OPTIONS.
func (c *call) preflight(allow []string) error {
	h := &c.ctx.Response.Header
	methods := strings.Join(append(slices.Clone(allow), "OPTIONS"), ", ")
	h.Set("Allow", methods)
	c.allowOrigin()
	if origin := string(c.ctx.Request.Header.Peek("Origin")); origin != "" && c.ownOrigin(origin) {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, If-Match, If-None-Match, Idempotency-Key, Arrwdb-Min-Seq, Last-Event-ID, X-Request-Id")
		h.Set("Access-Control-Max-Age", "600")
	}
	c.ctx.Response.SetStatusCode(204)
	return nil
}
