package httpd

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// maxIdempotencyKey bounds the header's value.
const maxIdempotencyKey = 255

// once makes the request idempotent where it carries an Idempotency-Key; nil
// where it does not. A key is the caller's own: another caller's same key is
// another one.
func (c *call) once(body []byte, render func([]engine.Outcome) (int, []byte)) (*engine.Once, error) {
	v := c.ctx.Request.Header.Peek("Idempotency-Key")
	if len(v) == 0 {
		return nil, nil
	}
	if len(v) > maxIdempotencyKey {
		return nil, change.BadField("Idempotency-Key", "the key has %d bytes, the limit is %d", len(v), maxIdempotencyKey)
	}
	caller := ""
	if c.key != nil {
		caller = c.key.ID
	}
	key := sha256.Sum256([]byte(caller + "\n" + string(v)))
	h := sha256.New()
	h.Write(c.ctx.Method())
	h.Write([]byte("\n"))
	h.Write(c.ctx.URI().PathOriginal())
	h.Write([]byte("?"))
	args := c.ctx.QueryArgs()
	for k, v := range args.All() {
		if string(k) != "access_token" {
			h.Write(append(append(append([]byte(nil), k...), '='), v...))
			h.Write([]byte("&"))
		}
	}
	h.Write([]byte("\n"))
	h.Write(body)
	return &engine.Once{Key: key[:], Fingerprint: h.Sum(nil), Render: render}, nil
}

// replay answers as the first request under the key was answered.
func (c *call) replay(r *engine.Receipt) error {
	c.ctx.Response.Header.Set("Idempotency-Replayed", "true")
	p := r.Position
	if q, err := c.db.PositionAt(r.Replayed.Seq); err == nil {
		p = q
	} else {
		p.Seq, p.HasCheck = r.Replayed.Seq, false
	}
	c.saw(p)
	var doc struct {
		Seq     uint64  `json:"seq"`
		Library *string `json:"library_id"`
	}
	if json.Unmarshal(r.Replayed.Answer, &doc) == nil && doc.Library != nil {
		c.setETag(doc.Seq)
	}
	return c.raw(r.Replayed.Status, r.Replayed.Answer)
}

// onceKeys are the Idempotency-Keys of uploads that are going on: their answers
// are remembered only at their end.
type onceKeys struct {
	mu   sync.Mutex
	held map[string]bool
}

// take reports false where somebody else has the key.
func (k *onceKeys) take(key string) (release func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[key] {
		return nil, false
	}
	if k.held == nil {
		k.held = map[string]bool{}
	}
	k.held[key] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.held, key)
	}, true
}
