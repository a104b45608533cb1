package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

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
}

// serve is the handler of every request.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	c := &call{s: s, ctx: ctx}
	if err := c.dispatch(); err != nil {
		c.problem(err)
	}
	if ctx.IsHead() {
		ctx.Response.SkipBody = true
	}
	c.closeUnread()
	s.metric.observe(c, time.Since(start))
}

// dispatch finds the route, checks who calls, and then what is asked.
func (c *call) dispatch() error {
	s, ctx := c.s, c.ctx
	path := string(ctx.URI().PathOriginal())
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	method := string(ctx.Method())
	row, vars, allow := match(s.table, method, path)
	if method == "OPTIONS" && len(allow) > 0 {
		return c.preflight(allow)
	}
	if row == nil || row.role != "" {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	if row == nil {
		if len(allow) > 0 {
			ctx.Response.Header.Set("Allow", strings.Join(allow, ", "))
			return change.Errorf(change.MethodNotAllowed, "%s is not allowed on %s; allowed: %s", method, path, strings.Join(allow, ", "))
		}
		return change.Errorf(change.NotFound, "there is nothing at %s", clip(path))
	}
	c.row, c.vars = row, vars
	if err := c.authorise(); err != nil {
		return err
	}
	if row.role == "" {
		return row.handle(c)
	}
	if s.stopping.Load() {
		ctx.SetConnectionClose()
		return change.Errorf(change.ShuttingDown, "the server is shutting down")
	}
	if c.r = s.ready.Load(); c.r == nil {
		return change.Errorf(change.Overloaded, "the server is recovering; /readyz says how far it has come")
	}
	c.db = c.r.db
	if err := c.checkParams(); err != nil {
		return err
	}
	if row.read {
		if err := c.waitMinSeq(); err != nil {
			return err
		}
		c.saw(c.db.Head())
	}
	return row.handle(c)
}

func (c *call) checkParams() error {
	seen := map[string]bool{}
	for k := range c.ctx.QueryArgs().All() {
		name := string(k)
		if !c.row.known(name) {
			return change.BadField(clip(name), "unknown query parameter %q; known here: %s", clip(name), strings.Join(c.allParams(), ", "))
		}
		if seen[name] {
			return change.BadField(name, "query parameter %q stands twice", name)
		}
		seen[name] = true
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
// one.
func (c *call) requestID() string {
	if c.id == "" {
		c.id = string(c.ctx.Request.Header.Peek("X-Request-Id"))
		plain := len(c.id) > 0 && len(c.id) <= 128
		for i := 0; plain && i < len(c.id); i++ {
			plain = c.id[i] > ' ' && c.id[i] < 0x7f
		}
		if !plain {
			c.id = uuid.NewString()
		}
		c.ctx.Response.Header.Set("X-Request-Id", c.id)
	}
	return c.id
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

// body reads the whole body, up to the limit, into memory of its own.
func (c *call) body(types ...string) ([]byte, error) {
	req := &c.ctx.Request
	if err := c.checkType(types...); err != nil {
		return nil, err
	}
	if enc := string(req.Header.Peek("Content-Encoding")); enc != "" && enc != "identity" {
		return nil, change.Errorf(change.UnsupportedMedia, "Content-Encoding %q is not supported here; send the body as it is", clip(enc))
	}
	limit := c.s.o.MaxBodyBytes
	n := req.Header.ContentLength()
	tooLarge := change.Errorf(change.TooLarge, "the body is larger than %d bytes", limit).With("limit", limit)
	if int64(n) > limit {
		return nil, tooLarge
	}
	stream := c.ctx.RequestBodyStream()
	if stream == nil {
		return bytes.Clone(req.Body()), nil
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(n, 0)+512))
	got, err := buf.ReadFrom(io.LimitReader(stream, limit+1))
	if err != nil {
		c.ctx.SetConnectionClose()
		return nil, &change.Error{Code: change.InvalidArgument, Detail: "the body ended early", Err: err}
	}
	if got > limit {
		return nil, tooLarge
	}
	return buf.Bytes(), nil
}

// checkType refuses a body of another media type. A missing one passes.
func (c *call) checkType(types ...string) error {
	got := string(c.ctx.Request.Header.ContentType())
	if i := strings.IndexByte(got, ';'); i >= 0 {
		got = got[:i]
	}
	got = strings.ToLower(strings.TrimSpace(got))
	if len(types) == 0 {
		types = []string{"application/json"}
	}
	for _, t := range types {
		if got == t || got == "" {
			return nil
		}
	}
	return change.Errorf(change.UnsupportedMedia, "Content-Type %q is not %s", clip(got), strings.Join(types, " or "))
}

// closeUnread closes the connection behind an answer that did not read the whole
// body: what is left of it would be taken for the next request.
func (c *call) closeUnread() {
	if c.ctx.Hijacked() {
		return
	}
	stream := c.ctx.RequestBodyStream()
	if stream == nil {
		return
	}
	var b [1]byte
	if n := c.ctx.Request.Header.ContentLength(); n >= 0 && n <= 64<<10 {
		_, _ = io.Copy(io.Discard, stream)
		return
	}
	if c.ctx.Response.StatusCode() >= 400 {
		c.ctx.SetConnectionClose()
		return
	}
	if _, err := stream.Read(b[:]); err != io.EOF {
		c.ctx.SetConnectionClose()
	}
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
