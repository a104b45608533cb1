package httpd

import (
	"context"
	"sync"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// An open is something that lasts longer than a request should: a live stream,
// an upload, or a connection that lingers. fasthttp neither counts nor closes
// hijacked connections, and waits for uploads for ever, so the server does.
type open struct {
	keyID string // the key that it was opened with, "" for none
	// stream counts against Options.MaxStreams.
	stream bool
	feed   bool // it reads events
	// upload counts against Options.MaxUploads.
	upload bool
	// end asks it to end in good order, with the reason; it may be called often.
	end func(why *change.Error)
	// cut closes its connection.
	cut func()

	ended time.Time // when its key was found not to hold any more
}

// A registry holds what is open.
type registry struct {
	mu      sync.Mutex
	open    map[*open]struct{}
	streams int
	uploads int
	idle    sync.Cond // broadcast when open has become empty, and when a drain gives up
}

func newRegistry() *registry {
	r := &registry{open: map[*open]struct{}{}}
	r.idle.L = &r.mu
	return r
}

// add reports false where it is one stream, or one upload, too many.
func (r *registry) add(o *open, most *Options) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.stream && r.streams >= most.MaxStreams || o.upload && r.uploads >= most.MaxUploads {
		return false
	}
	if o.stream {
		r.streams++
	}
	if o.upload {
		r.uploads++
	}
	r.open[o] = struct{}{}
	return true
}

func (r *registry) remove(o *open) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.open[o]; !in {
		return
	}
	delete(r.open, o)
	if o.stream {
		r.streams--
	}
	if o.upload {
		r.uploads--
	}
	if len(r.open) == 0 {
		r.idle.Broadcast()
	}
}

// count returns how many streams are open.
func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams
}

// subscribers counts the readers of events that were opened with a key.
func (r *registry) subscribers(keyID string) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o := range r.open {
		if o.feed && o.keyID == keyID {
			n++
		}
	}
	return n
}

// drain waits until nothing is open. It reports false where ctx ends first.
func (r *registry) drain(ctx context.Context) bool {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.open) > 0 && ctx.Err() == nil {
		r.idle.Wait()
	}
	return len(r.open) == 0
}

// cutAll closes every connection.
func (r *registry) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o := range r.open {
		o.cut()
	}
}

// revokeGrace is how long what is open may take to end in good order once its
// key does not hold any more.
const revokeGrace = 2 * time.Second

// endRevoked ends what was opened with keys that do not hold any more, or without
// one where one is wanted now: first asked to, then cut off.
func (r *registry) endRevoked(now time.Time, valid func(keyID string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o := range r.open {
		switch {
		case valid(o.keyID):
		case o.ended.IsZero():
			o.ended = now
			o.end(errRevoked)
		case now.Sub(o.ended) >= revokeGrace:
			o.cut()
		}
	}
}

var (
	errRevoked  = change.Errorf(change.Unauthenticated, "the key was revoked, or has expired")
	errStopping = change.Errorf(change.ShuttingDown, "the server is shutting down")
)
