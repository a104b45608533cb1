package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// A call is one request on its way.
type call struct {
	s    *Server
	ctx  *fasthttp.RequestCtx
	db   *engine.DB
	r    *serving
	row  *route
	vars []string
	key  *engine.Key // nil on a server without keys
	id   string

	buf    *bytes.Buffer // the body's memory, where body was called
	opened *requestBody  // the body, where it was opened
}

// serve is the handler of every request.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	c := &call{s: s, ctx: ctx}
	err := c.dispatch()
	if err != nil {
		c.problem(err)
	}
	c.releaseBody(err)
	if ctx.IsHead() {
		ctx.Response.SkipBody = true
	}
	c.requestID()
	c.observe(start)
	c.closeUnread()
}

// expect judges a request whose client waits before it sends the body, from the
// head alone: what is refused is refused before a byte of the body is sent.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	start := time.Now()
	c := &call{s: s, ctx: ctx}
	err := c.admit()
	if err == nil && c.row.head != nil {
		err = c.row.head(c)
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	c.problem(err)
	c.observe(start)
	return ctx.Response.StatusCode()
}

// dispatch finds the route, checks who calls, and then what is asked.
func (c *call) dispatch() error {
	if c.ctx.IsOptions() {
		if _, _, allow := c.s.table.match("OPTIONS", c.path()); len(allow) > 0 {
			return c.preflight(allow)
		}
	}
	if err := c.admit(); err != nil {
		return err
	}
	if c.row.role == "" {
		return c.row.handle(c)
	}
	if c.row.read {
		if err := c.waitMinSeq(); err != nil {
			return err
		}
		c.saw(c.db.Head())
	}
	return c.row.handle(c)
}

// path returns the path as it was sent, without the query.
func (c *call) path() string {
	p := c.ctx.URI().PathOriginal()
	if i := bytes.IndexByte(p, '?'); i >= 0 {
		p = p[:i]
	}
	return string(p)
}

// admit finds the route, and checks who calls and whether the request may be
// looked at at all. Authorisation comes before validation.
func (c *call) admit() error {
	s, ctx, path := c.s, c.ctx, c.path()
	row, vars, allow := s.table.match(string(ctx.Method()), path)
	if row == nil || row.role != "" {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	if row == nil {
		if len(allow) > 0 {
			ctx.Response.Header.Set("Allow", strings.Join(allow, ", "))
			return change.Errorf(change.MethodNotAllowed, "%s is not allowed on %s; allowed: %s", clip(string(ctx.Method())), clip(path), strings.Join(allow, ", "))
		}
		if what := laterPath(path); what != "" {
			return change.Errorf(change.NotFound, "there is nothing at %s: this build does not have %s yet", clip(path), what)
		}
		return change.Errorf(change.NotFound, "there is nothing at %s", clip(path))
	}
	c.row, c.vars = row, vars
	if err := c.authorise(); err != nil {
		return err
	}
	if row.role == "" {
		return nil
	}
	if s.stopping.Load() {
		ctx.SetConnectionClose()
		return errStopping
	}
	if c.r = s.ready.Load(); c.r == nil {
		return change.Errorf(change.Overloaded, "the server is recovering; /readyz says how far it has come")
	}
	c.db = c.r.db
	return c.checkParams()
}

func (c *call) checkParams() error {
	args := c.ctx.QueryArgs()
	if args.Len() == 0 {
		return nil
	}
	n := 0
	for k := range args.All() {
		n++
		if !c.row.known(string(k)) {
			name := string(k)
			if what := laterParams[name]; what != "" && strings.HasPrefix(c.row.path, "/v1/events") {
				return change.BadField(name, "this build does not have %s yet", what)
			}
			return change.BadField(clip(name), "unknown query parameter %q; known here: %s", clip(name), strings.Join(c.allParams(), ", "))
		}
		seen := 0
		for other := range args.All() {
			if seen++; seen == n {
				break
			}
			if bytes.Equal(k, other) {
				return change.BadField(string(k), "query parameter %q stands twice", k)
			}
		}
	}
	return nil
}

func (c *call) allParams() []string {
	out := append([]string(nil), c.row.params...)
	if c.row.read {
		out = append(out, readParams...)
	}
	if len(out) == 0 {
		out = []string{"none"}
	}
	return out
}

func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

// query returns a query parameter, "" where it is absent.
func (c *call) query(name string) string { return string(c.ctx.QueryArgs().Peek(name)) }

func (c *call) has(name string) bool { return c.ctx.QueryArgs().Has(name) }

func (c *call) queryInt(name string, def, low, high int) (int, error) {
	if !c.has(name) {
		return def, nil
	}
	n, err := strconv.Atoi(c.query(name))
	if err != nil || n < low {
		return 0, change.BadField(name, "%q is not a whole number from %d on", clip(c.query(name)), low)
	}
	return min(n, high), nil
}

func (c *call) queryDuration(name string, def, most time.Duration) (time.Duration, error) {
	if !c.has(name) {
		return def, nil
	}
	d, err := time.ParseDuration(c.query(name))
	if err != nil || d < 0 {
		return 0, change.BadField(name, "%q is not a duration like 500ms, 30s or 5m", clip(c.query(name)))
	}
	return min(d, most), nil
}

func (c *call) queryBool(name string) (bool, error) {
	switch v := c.query(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, change.BadField(name, "%q is not true or false", clip(v))
	}
}

// oneOf returns a query parameter that has to be one of some words; the first
// one is the default.
func (c *call) oneOf(name string, words ...string) (string, error) {
	if !c.has(name) {
		return words[0], nil
	}
	v := c.query(name)
	for _, w := range words {
		if v == w {
			return w, nil
		}
	}
	return "", change.BadField(name, "%q is not one of %s", clip(v), strings.Join(words, ", "))
}

// includeEmbeddings reads include= of the document routes.
func (c *call) includeEmbeddings() (bool, error) {
	if !c.has("include") {
		return false, nil
	}
	for _, w := range strings.Split(c.query("include"), ",") {
		if w != "embeddings" {
			return false, change.BadField("include", "%q is not embeddings", clip(w))
		}
	}
	return true, nil
}

// requestID is the caller's X-Request-Id where it is short and plain, else a new
// one. Every answer carries it.
func (c *call) requestID() string {
	if c.id == "" {
		sent := c.ctx.Request.Header.Peek("X-Request-Id")
		plain := len(sent) > 0 && len(sent) <= 128
		for i := 0; plain && i < len(sent); i++ {
			plain = sent[i] > ' ' && sent[i] < 0x7f
		}
		if plain {
			c.id = string(sent)
		} else {
			c.id = c.s.ids.next()
		}
		c.ctx.Response.Header.Set("X-Request-Id", c.id)
	}
	return c.id
}

// ids makes ids of requests: unique over restarts, and cheap.
type ids struct {
	run string // random, of this run
	n   atomic.Uint64
}

func (i *ids) next() string {
	b := append(make([]byte, 0, 40), i.run...)
	return string(strconv.AppendUint(append(b, '-'), i.n.Add(1), 36))
}

// saw sets the headers that say what a read saw, or where a write is.
func (c *call) saw(p change.Position) {
	var buf [64]byte
	h := &c.ctx.Response.Header
	h.SetBytesV("Arrwdb-Seq", strconv.AppendUint(buf[:0], p.Seq, 10))
	h.SetBytesV("Arrwdb-Position", p.Append(buf[:0]))
}

func (c *call) setETag(seq uint64) {
	var buf [24]byte
	b := append(buf[:0], '"')
	b = append(strconv.AppendUint(b, seq, 10), '"')
	c.ctx.Response.Header.SetBytesV("ETag", b)
}

// json answers with v.
func (c *call) json(status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.raw(status, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (c *call) raw(status int, body []byte) error {
	c.ctx.Response.SetStatusCode(status)
	c.ctx.Response.Header.SetContentType("application/json")
	c.ctx.Response.SetBodyRaw(body)
	return nil
}

// decode reads a JSON body strictly: unknown fields are refused by name.
func (c *call) decode(v any, types ...string) error {
	b, err := c.body(types...)
	if err != nil {
		return err
	}
	return decodeStrict(b, v)
}

// waitMinSeq serves Arrwdb-Min-Seq and min_seq.
func (c *call) waitMinSeq() error {
	field, v := "min_seq", c.query("min_seq")
	if v == "" {
		field, v = "Arrwdb-Min-Seq", string(c.ctx.Request.Header.Peek("Arrwdb-Min-Seq"))
	}
	timeout, err := c.queryDuration("timeout", 5*time.Second, time.Minute)
	if err != nil {
		return err
	}
	if v == "" {
		return nil
	}
	seq, perr := strconv.ParseUint(v, 10, 64)
	if perr != nil {
		p, err := change.ParsePosition(v)
		if err != nil {
			return change.BadField(field, "%q is neither a seq nor a position", clip(v))
		}
		if e := c.db.CheckPosition(p); e != nil && e.Code != change.Ahead {
			return e
		}
		seq = p.Seq
	}
	// This node writes: what is past its head does not exist yet.
	head := c.db.Head()
	if seq > head.Seq {
		return change.Errorf(change.Ahead, "seq %d is past the head, %d", seq, head.Seq).With("head_seq", head.Seq).With("epoch", head.Epoch)
	}
	ctx, cancel := context.WithTimeout(c.s.stop, timeout)
	defer cancel()
	if err := c.db.WaitVisible(ctx, seq); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return change.Errorf(change.SeqNotReached, "seq %d was not visible within %s", seq, timeout)
		}
		return change.Errorf(change.ShuttingDown, "the server is shutting down")
	}
	return nil
}

// loopbackHost reports whether a Host header names this machine's loopback.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
