package bench

import (
	"bytes"
	"sync"
	"sync/atomic"
)

const (
	// needle is a byte that memory to be read does not have.
	needle = 0x80
	// readAtOnce is what a reader takes at a time, so that one that is held up does
	// not hold up the others.
	readAtOnce = 2 << 20
)

// A memory is bytes to be read for the sake of reading them. They are outside the
// heap and on huge pages, as the codes of a flat index are, where the system has
// these.
type memory struct {
	b    []byte
	free func()
}

func newMemory(size int) *memory {
	m := &memory{}
	m.b, m.free = pages(size)
	// Pages that nobody wrote to are all one, and in the cache.
	for i := range m.b {
		m.b[i] = byte(i) & 0x7f
	}
	return m
}

// read reads all of it with that many goroutines, and returns how many bytes these
// were. IndexByte, which has vector code, is the fastest reader of the standard
// library; it has to look at every byte to say that none is the needle.
func (m *memory) read(workers int) int64 {
	var next, total atomic.Int64
	work := func() {
		for {
			at := next.Add(readAtOnce) - readAtOnce
			if at >= int64(len(m.b)) {
				return
			}
			part := m.b[at:min(at+readAtOnce, int64(len(m.b)))]
			if i := bytes.IndexByte(part, needle); i >= 0 {
				part = part[:i]
			}
			total.Add(int64(len(part)))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return total.Load()
}
