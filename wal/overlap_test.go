package wal_test

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/wal"
)

// What did not fit into a frame makes the next one while that one is applied,
// also where nobody else comes.
func TestWhatDidNotFitOverlaps(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	defer l.Close()
	next := l.Durable().Seq
	begin := make(chan struct{})
	prepared := make(chan int, 10) // frames prepared, by number
	frames, late := 0, false
	applied := 0
	p := wal.NewPipeline(l, wal.Env[int]{
		Prepare: func(reqs []*wal.Request[int]) (int, []change.Record, int64) {
			if frames++; frames == 1 {
				<-begin
			}
			prepared <- frames
			next++
			return 1, []change.Record{{Kind: change.DocumentAdded, Seq: next}}, 0 // one at a time
		},
		Apply: func([]*wal.Request[int], []change.Record, wal.End) {
			if applied++; applied != 2 {
				return
			}
			for {
				select {
				case n := <-prepared:
					if n < 3 {
						continue
					}
				case <-time.After(2 * time.Second):
					late = true
				}
				return
			}
		},
		Failed: func([]*wal.Request[int], error) {},
	})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { p.Do(&wal.Request[int]{}) })
	}
	time.Sleep(20 * time.Millisecond) // all three are queued, or lead
	close(begin)
	wg.Wait()
	p.Close()
	if late {
		t.Error("the third frame was not prepared while the second one was applied")
	}
}
