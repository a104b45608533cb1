package wal

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arrwdb/arrwdb/change"
)

// An Env is what a Pipeline needs of its owner.
type Env[T any] struct {
	// Prepare is stage 1. It takes the first n of the waiting requests, at least
	// one, decides what becomes of them, and returns the records of one frame
	// with their seqs. Without records the log is not touched, and stage 3 comes
	// in its turn all the same. It is called by one goroutine at a time.
	Prepare func(reqs []*Request[T]) (n int, recs []change.Record, commitTime int64)
	// Apply is stage 3: the frame is durable. It is called by one goroutine at a
	// time, in the order of the commits, while the next frame is being synced.
	Apply func(reqs []*Request[T], recs []change.Record, end End)
	// Failed is called instead of Apply where the frame could not be made
	// durable: whether it is kept is not known.
	Failed func(reqs []*Request[T], err error)
}

// A Request is one writer's part of a frame. It is used once.
type Request[T any] struct {
	Value T

	in   *batch        // of Do: where its caller waits; under Pipeline.mu
	done atomic.Bool   // of Do: through; set before in is closed
	fin  chan struct{} // of Submit: closed when through
	err  error
}

// A batch is where the callers of Do wait together. One that receives leads the
// next frame; when the channel is closed, each looks whether its request is
// through. Closing one channel for all costs half of waking each through its
// own (DESIGN.md, "Group commit").
type batch chan struct{}

// Wait waits until a submitted request is through: applied, failed or refused.
// Err says ErrClosed where the pipeline was closed before. A context that ends
// first is returned, and the request goes on.
func (r *Request[T]) Wait(ctx context.Context) error {
	if r.fin == nil {
		return r.err
	}
	select {
	case <-r.fin:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Pipeline commits requests in groups: what waits while one frame is synced
// becomes the next frame. There is no goroutine that owns it: the first writer
// that finds nobody leading leads one frame through all stages, and hands the
// lead to the first one that waits as soon as its frame is synced. So a lone
// writer commits without a change of goroutine, and frame N is applied while
// N+1 is synced and N+2 gathers.
//
// Invariant: at most one goroutine is between taking the lead and handing it on;
// stage 3 runs in the order in which frames were led.
type Pipeline[T any] struct {
	log *Log
	env Env[T]

	mu      sync.Mutex
	queue   []*Request[T]
	batch   *batch // of those in the queue
	leading bool
	closed  bool
	idle    *sync.Cond // leading has become false with nothing queued

	expect int // queue length once everybody that the last frame released is back

	waiting atomic.Int64 // len(queue), to look at without the lock

	applyMu sync.Mutex
	turn    *sync.Cond
	led     uint64 // frames led so far; the leader's, stable while leading is false
	applied uint64 // under applyMu: frames whose stage 3 is over
}

// NewPipeline returns a pipeline that writes to log. Nobody else may append.
func NewPipeline[T any](log *Log, env Env[T]) *Pipeline[T] {
	p := &Pipeline[T]{log: log, env: env}
	p.idle = sync.NewCond(&p.mu)
	p.turn = sync.NewCond(&p.applyMu)
	return p
}

// Do queues a request and returns when it is through. A lone writer commits in
// its own goroutine.
func (p *Pipeline[T]) Do(r *Request[T]) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		r.err = ErrClosed
		return
	}
	p.push(r)
	lead := !p.leading
	p.leading = true
	in := r.in
	p.mu.Unlock()
	for {
		if !lead {
			_, lead = <-*in
		}
		if lead {
			p.lead()
			lead = false
		}
		if r.done.Load() {
			return
		}
		p.mu.Lock()
		in = r.in
		p.mu.Unlock()
	}
}

// Submit queues a request and returns. Requests that one goroutine submits are
// prepared in that order.
func (p *Pipeline[T]) Submit(r *Request[T]) {
	r.fin = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		r.err = ErrClosed
		close(r.fin)
		return
	}
	p.push(r)
	if !p.leading {
		p.leading = true
		go p.lead()
	}
}

func (p *Pipeline[T]) push(r *Request[T]) {
	if p.queue == nil {
		p.queue = make([]*Request[T], 0, max(p.expect, 1))
	}
	p.queue = append(p.queue, r)
	if r.fin == nil {
		p.join(r)
	}
	p.waiting.Store(int64(len(p.queue)))
}

// join puts a request of Do into the batch of the queue. The caller holds mu.
func (p *Pipeline[T]) join(r *Request[T]) {
	if p.batch == nil {
		b := make(batch, 1)
		p.batch = &b
	}
	r.in = p.batch
}

// lead takes one frame through all stages.
func (p *Pipeline[T]) lead() {
	p.gather()
	p.mu.Lock()
	reqs, in := p.queue, p.batch
	p.queue, p.batch = nil, nil
	p.mu.Unlock()

	n, recs, commitTime := p.env.Prepare(reqs)
	var end End
	var err error
	if len(recs) > 0 {
		end, err = p.log.Append(recs, commitTime)
	}
	ticket := p.led
	p.led++
	p.handOn(n, reqs[n:])

	p.applyMu.Lock()
	for p.applied != ticket {
		p.turn.Wait()
	}
	p.applyMu.Unlock()
	if err != nil {
		p.env.Failed(reqs[:n], err)
	} else {
		p.env.Apply(reqs[:n], recs, end)
	}
	p.applyMu.Lock()
	p.applied++
	p.turn.Broadcast()
	p.applyMu.Unlock()
	for _, r := range reqs[:n] {
		if r.fin != nil {
			close(r.fin)
		} else {
			r.done.Store(true)
		}
	}
	if in != nil {
		close(*in)
	}
}

// handOn ends the lead over a frame of n requests: it puts back what did not
// fit, and gives the lead to one that waits.
func (p *Pipeline[T]) handOn(n int, rest []*Request[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(rest) > 0 {
		p.queue = append(append(make([]*Request[T], 0, len(rest)+len(p.queue)), rest...), p.queue...)
		for _, r := range rest {
			if r.fin == nil {
				p.join(r)
			}
		}
	}
	p.waiting.Store(int64(len(p.queue)))
	p.expect = 0
	if n > 1 {
		p.expect = n + len(p.queue)
	}
	if len(p.queue) == 0 {
		p.leading = false
		p.idle.Broadcast()
		return
	}
	if p.queue[0].fin != nil || len(rest) > 0 { // the callers of the rest wait for the end of this frame
		go p.lead()
	} else {
		*p.batch <- struct{}{}
	}
}

// gatherFor bounds how long a leader lets the writers of the frame before come
// back, gatherIdle how long it goes on without a newcomer. Measured with 64
// writers of 1 KiB: DESIGN.md, "Group commit".
const (
	gatherFor  = 200 * time.Microsecond
	gatherIdle = 40 * time.Microsecond
)

// gather lets the writers that have just been released queue again, so that
// they all share the next sync. It does nothing after a frame of one.
func (p *Pipeline[T]) gather() {
	p.mu.Lock()
	want := int64(p.expect)
	p.mu.Unlock()
	if p.waiting.Load() >= want {
		return
	}
	start := time.Now()
	seen, last := p.waiting.Load(), time.Duration(0)
	for {
		runtime.Gosched()
		waiting, now := p.waiting.Load(), time.Since(start)
		if waiting >= want || now >= gatherFor || now-last >= gatherIdle {
			return
		}
		if waiting != seen {
			seen, last = waiting, now
		}
	}
}

// Close refuses new requests and waits until those that are queued are through.
func (p *Pipeline[T]) Close() {
	p.mu.Lock()
	p.closed = true
	for p.leading {
		p.idle.Wait()
	}
	led := p.led
	p.mu.Unlock()
	p.applyMu.Lock()
	for p.applied != led {
		p.turn.Wait()
	}
	p.applyMu.Unlock()
}
