package rows

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

type geometry struct {
	blockSize int // bytes
	perFile   int // blocks
}

func (g geometry) fileSize() int64 { return int64(g.blockSize) * int64(g.perFile) }

func (g geometry) offset(index uint32) int64 { return int64(index) * int64(g.blockSize) }

// A Store is the arena of all row files of a database. What it promises is
// numbered in DESIGN.md.
//
// Append, DropLibrary, DropSpace and Cut are called by one goroutine, the
// applier, in the order of the log (others block). Everything else may be called
// by any number of goroutines at any time.
type Store struct {
	opts Options
	fs   vfs.FS
	dir  string
	geo  geometry

	// The locks, in the order in which they are taken.

	// ckptMu is held from Cut to Commit or Abort. It guards man, rewrite and the
	// removal of files.
	ckptMu  sync.Mutex
	man     *manifest
	rewrite bool // the manifest has a torn tail: never append to it

	// applyMu orders appends, drops and cuts. It guards what has changed since
	// the last cut, and in blocks and spaces what their comments say.
	applyMu    sync.Mutex
	dirty      []*block
	dirtyFiles []*file
	drops      []*drop
	newFiles   bool   // the directory has entries that are not synced
	scratch    []byte // for rows that are written together

	// mu guards the maps of spaces, the files and what is free in them.
	mu       sync.RWMutex
	spaces   map[Key]*space
	byLib    map[uint32][]*space
	limbo    []*drop // dropped spaces whose blocks are not free yet
	files    []*file // by id, ascending
	nextFile uint64
	nfree    int

	pins pins

	poison  atomic.Pointer[error]
	durable atomic.Pointer[change.Stamp]
	torn    *TornTail
}

// A drop is a space that is gone but whose blocks still hold its rows.
type drop struct {
	sp      *space
	tag     uint64 // pins up to this epoch may still read it
	durable bool   // a checkpoint without the space is durable; guarded by Store.mu
}

// A TornTail says what Open passed over at the end of the manifest: a checkpoint
// that was being written when the process died, and was never durable.
type TornTail struct {
	File   string
	Offset int64
	Bytes  int64
	Detail string
}

// Durable returns the stamp of the last durable checkpoint. After Open the store
// contains exactly that state, and the log is to be applied from there on.
func (s *Store) Durable() change.Stamp { return *s.durable.Load() }

// Torn returns what Open passed over, or nil.
func (s *Store) Torn() *TornTail { return s.torn }

// Err returns nil, or the error that wraps ErrPoisoned.
func (s *Store) Err() error {
	if e := s.poison.Load(); e != nil {
		return *e
	}
	return nil
}

func (s *Store) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%w: %s: %w", ErrPoisoned, doing, err)
	s.poison.CompareAndSwap(nil, &wrapped)
	return s.Err()
}

// writable returns why the store takes no changes, or nil.
func (s *Store) writable() error {
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	if s.pins.isClosed() {
		return ErrClosed
	}
	return s.Err()
}

// Close ends the store: nothing can be changed and no space found any more.
// What readers hold pinned stays readable until the last pin is released; then
// the files are closed. Close makes no checkpoint. A Cut must have been committed
// or aborted before.
func (s *Store) Close() error {
	s.ckptMu.Lock()
	defer s.ckptMu.Unlock()
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	idle, first := s.pins.close()
	if !first {
		return nil
	}
	var err error
	if s.man != nil {
		err = s.man.close()
		s.man = nil
	}
	if idle {
		err = errors.Join(err, s.closeFiles())
	}
	return err
}

func (s *Store) closeFiles() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// pins counts readers by the epoch in which they came. Dropping a space ends an
// epoch, so that its blocks wait for exactly those who could see it.
type pins struct {
	mu     sync.Mutex
	epoch  uint64
	active map[uint64]int
	closed bool
}

func (p *pins) enter() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active[p.epoch]++
	return p.epoch
}

// leave reports whether it was the last reader of a closed store.
func (p *pins) leave(epoch uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active[epoch]--; p.active[epoch] == 0 {
		delete(p.active, epoch)
	}
	return p.closed && len(p.active) == 0
}

// advance ends the epoch and returns it.
func (p *pins) advance() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	return p.epoch - 1
}

// oldest returns the epoch of the oldest reader, or the present one.
func (p *pins) oldest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	low := p.epoch
	for e := range p.active {
		low = min(low, e)
	}
	return low
}

func (p *pins) close() (idle, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.closed
	p.closed = true
	return len(p.active) == 0, first
}

func (p *pins) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// space returns the space of a key; the caller holds applyMu.
func (s *Store) space(key Key) *space {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spaces[key]
	if sp == nil {
		sp = newSpace(key, s.geo.blockSize)
		s.addSpace(sp)
	}
	return sp
}

func (s *Store) addSpace(sp *space) {
	s.spaces[sp.key] = sp
	s.byLib[sp.key.Library] = append(s.byLib[sp.key.Library], sp)
}

// DropLibrary drops all spaces of a library. Their rows are there for pins taken
// before, and are there again if the machine stops before the next checkpoint.
func (s *Store) DropLibrary(library uint32) error {
	return s.dropWhere(library, func(Key) bool { return true })
}

// DropSpace drops one space, as DropLibrary does.
func (s *Store) DropSpace(key Key) error {
	return s.dropWhere(key.Library, func(k Key) bool { return k == key })
}

func (s *Store) dropWhere(library uint32, which func(Key) bool) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var stay []*space
	var gone []*drop
	for _, sp := range s.byLib[library] {
		if !which(sp.key) {
			stay = append(stay, sp)
			continue
		}
		sp.gone = true
		delete(s.spaces, sp.key)
		gone = append(gone, &drop{sp: sp})
	}
	if len(gone) == 0 {
		return nil
	}
	if s.byLib[library] = stay; len(stay) == 0 {
		delete(s.byLib, library)
	}
	tag := s.pins.advance()
	for _, d := range gone {
		d.tag = tag
	}
	s.drops = append(s.drops, gone...)
	s.limbo = append(s.limbo, gone...)
	return nil
}

// reclaim frees the blocks of dropped spaces that no crash can bring back and no
// reader sees. The caller holds mu.
func (s *Store) reclaim() {
	if len(s.limbo) == 0 {
		return
	}
	oldest := s.pins.oldest()
	s.limbo = slices.DeleteFunc(s.limbo, func(d *drop) bool {
		if !d.durable || d.tag >= oldest {
			return false
		}
		d.sp.each(0, func(b *block) bool {
			b.file.give(b.index)
			s.nfree++
			return true
		})
		return true
	})
}
