package httpd

import (
	_ "embed"
	"errors"
	"math"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

//go:embed openapi.json
var openAPIDocument []byte

//go:embed docs.html
var docsPage []byte

func (c *call) openAPI() error { return c.raw(200, openAPIDocument) }

func (c *call) docs() error {
	c.ctx.Response.Header.SetContentType("text/html; charset=utf-8")
	c.ctx.Response.Header.Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
	c.ctx.Response.SetBodyRaw(docsPage)
	return nil
}

func (c *call) livez() error {
	return c.json(200, map[string]string{"status": "ok"})
}

func (c *call) readyz() error {
	r := c.s.ready.Load()
	switch {
	case c.s.stopping.Load():
		c.ctx.Response.Header.Set("Retry-After", "2")
		return c.json(http.StatusServiceUnavailable, map[string]any{"status": "shutting_down"})
	case r == nil:
		body := map[string]any{"status": "recovering", "done": 0, "total": 0, "records": 0, "records_per_second": 0, "eta_s": 0}
		if p := c.s.progress.Load(); p != nil {
			body["done"], body["total"] = p.Commit-p.From, p.Target-p.From
			body["records"], body["records_per_second"] = p.Records, math.Round(p.Rate())
			body["eta_s"] = math.Ceil(p.Left().Seconds()*10) / 10
		}
		c.ctx.Response.Header.Set("Retry-After", "1")
		return c.json(http.StatusServiceUnavailable, body)
	}
	if err := r.db.Err(); err != nil {
		c.ctx.Response.Header.Set("Retry-After", "30")
		return c.json(http.StatusServiceUnavailable, map[string]any{"status": "read_only", "detail": "the change log failed and takes no more writes; restart the server"})
	}
	return c.json(200, map[string]string{"status": "ok"})
}

func (c *call) status() error {
	st := c.db.Status()
	if c.scope() != nil {
		// A key that sees some libraries only is told nothing about the others.
		return c.json(200, map[string]any{"version": c.s.o.Version, "epoch": st.Epoch, "head_seq": st.HeadSeq, "durable_seq": st.DurableSeq, "earliest_seq": st.EarliestSeq})
	}
	return c.json(200, struct {
		Version   string  `json:"version"`
		Go        string  `json:"go"`
		PID       int     `json:"pid"`
		StartedAt string  `json:"started_at"`
		UptimeS   float64 `json:"uptime_s"`
		Streams   int     `json:"streams"`
		engine.Status
	}{c.s.o.Version, runtime.Version(), os.Getpid(), c.s.started.UTC().Format(time.RFC3339Nano), time.Since(c.s.started).Seconds(), c.s.open.count(), st})
}

func (c *call) checkpoint() error {
	if err := c.db.Checkpoint(); err != nil {
		return err
	}
	head := c.db.Head()
	c.saw(head)
	return c.json(200, map[string]any{"seq": head.Seq})
}

func (c *call) listKeys() error {
	return c.json(200, map[string]any{"keys": c.db.Keys()})
}

func (c *call) createKey() error {
	var req struct {
		Role      *string  `json:"role"`
		Name      string   `json:"name"`
		Libraries []string `json:"libraries"`
		Expires   *string  `json:"expires"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}
	if c.ctx.Request.Header.Peek("Idempotency-Key") != nil {
		return change.BadField("Idempotency-Key", "an answer with a secret is not remembered: send this without an Idempotency-Key")
	}
	if req.Role == nil {
		return change.BadField("role", "\"role\" is missing: read, write or admin")
	}
	spec := engine.KeySpec{Name: req.Name, Role: *req.Role, Libraries: req.Libraries}
	if req.Expires != nil {
		at, err := ParseExpiry(*req.Expires, c.s.o.Now())
		if err != nil {
			return change.BadField("expires", "%v", err)
		}
		spec.ExpiresAt = &at
	}
	key, secret, err := c.db.CreateKey(c.s.cut, spec)
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set("Cache-Control", "no-store")
	return c.json(201, struct {
		engine.Key
		Secret string `json:"key"`
	}{key, secret})
}

// ParseExpiry reads a duration from now, or an RFC 3339 time, in the future.
func ParseExpiry(s string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d, derr := time.ParseDuration(s)
		if derr != nil {
			return time.Time{}, errors.New(strings.ToValidUTF8(clip(s), "") + " is neither a duration like 720h nor an RFC 3339 time")
		}
		at = now.Add(d)
	}
	if !at.After(now) {
		return time.Time{}, errors.New("it lies in the past")
	}
	return at.UTC(), nil
}

func (c *call) revokeKey() error {
	if err := c.db.RevokeKey(c.s.cut, c.vars[0]); err != nil {
		return err
	}
	return c.json(200, map[string]string{"id": c.vars[0]})
}
