package demo

import (
	"context"
	"fmt"
	"sync"

	"github.com/arrwdb/arrwdb/client"
)

// A follower reads the feed from its beginning, through restarts, and holds it
// against the promise: every seq once, in order, without a gap.
type follower struct {
	show func(client.Event) // an event that somebody asked to see
	lost func(after uint64) // the connection
	back func(position string)

	mu    sync.Mutex
	seq   uint64 // of the last event
	shown int    // how many more are to be shown
	at    map[uint64]chan struct{}
	err   error
	done  chan struct{}
}

func (f *follower) run(ctx context.Context, c *client.Client) {
	f.at, f.done = map[uint64]chan struct{}{}, make(chan struct{})
	go func() {
		defer close(f.done)
		err := f.follow(ctx, c)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}()
}

func (f *follower) follow(ctx context.Context, c *client.Client) error {
	ever, broken := false, false
	for e, err := range c.Events(ctx, client.EventOptions{From: "start",
		Connected: func(pos string) {
			if ever {
				f.back(pos)
			}
			ever, broken = true, false
		},
		Lost: func(error, string) {
			if !broken { // not again for each attempt to come back
				f.lost(f.last())
			}
			broken = true
		}}) {
		if err != nil {
			return err
		}
		if err := f.take(e); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) take(e client.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Seq != f.seq+1 {
		return fmt.Errorf("the feed went from seq %d to %d", f.seq, e.Seq)
	}
	f.seq = e.Seq
	if ch := f.at[e.Seq]; ch != nil {
		close(ch)
		delete(f.at, e.Seq)
	}
	if f.shown > 0 {
		f.shown--
		f.show(e)
	}
	return nil
}

func (f *follower) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq
}

// next makes the next n events be shown.
func (f *follower) next(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = n
}

// reach waits until the feed has come to seq.
func (f *follower) reach(ctx context.Context, seq uint64) error {
	f.mu.Lock()
	ch := f.at[seq]
	if f.seq < seq && ch == nil {
		ch = make(chan struct{})
		f.at[seq] = ch
	}
	there := f.seq >= seq
	f.mu.Unlock()
	if there {
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-f.done:
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Errorf("the feed ended at seq %d: %w", f.seq, f.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}
