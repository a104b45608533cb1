package search

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/analysis"
	"github.com/arrwdb/arrwdb/index/flat"
	"github.com/arrwdb/arrwdb/index/keyword"
)

// Defaults of Config.
const (
	// DefaultTailSlots is how many slots a tail holds before it is built: a search
	// scans tails, 50 µs each, and building 1,024 slots at a time costs little more
	// a slot than building many.
	DefaultTailSlots = 1024
	// maxUnbuilt is how many full tails may wait. With more the applier builds one
	// itself, so that searches do not get slower for ever.
	maxUnbuilt = 8
	// maxTailBytes of titles, texts and metadata fill a tail as well: in memory they
	// take up to twelve times as much.
	maxTailBytes = 8 << 20
)

// A Config says what a library's structures are made for. It never changes.
type Config struct {
	Num      uint32 // the library's number, for file names and messages
	Metric   index.Metric
	Language string
	// TailSlots, default DefaultTailSlots, is set by tests only.
	TailSlots int
	Logger    *slog.Logger
}

// A Library holds the search structures of one library: vectors, words and
// metadata of its chunks, in slots (see index). It is a view of the log: one
// applier gives it every change to the library's documents, in order.
//
// Lock is held by the applier from before a commit is applied anywhere until it is
// applied everywhere; RLock by whoever captures, for as long as that takes. What was
// captured is then searched without any lock.
type Library struct {
	sync.RWMutex

	cfg      Config
	analyzer *analysis.Analyzer

	// Everything below is guarded by the RWMutex, but for what is said otherwise.

	stamp change.Stamp // of the last commit that changed anything here
	parts []*part      // replaced, not changed, but for the last one growing
	high  uint32       // slots
	live  uint32       // of them
	// died holds the commit at which each slot died, 0 while it lives. Extents do
	// not move: captures read them while the applier goes on.
	died []*diedExtent
	dead []uint64 // the same as bits
	// moved holds the slots of live chunks that are copies.
	moved   map[uint64]uint32
	vectors vectors // nil until the first vector
	dim     int
	extents []string // names of the files that hold the full extents of vectors
	frozen  int      // full tails that are not built
	work    func()   // called when there is something for Build and Merge to do

}

// vectors is what a library's index of vectors has to be.
type vectors interface {
	index.Vectors
	index.Extents
}

const diedExtentSlots = 1 << 12

type diedExtent [diedExtentSlots]atomic.Uint64

// New returns the structures of a library without documents.
func New(cfg Config) (*Library, error) {
	if cfg.TailSlots == 0 {
		cfg.TailSlots = DefaultTailSlots
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a, err := analysis.New(cfg.Language)
	if err != nil {
		return nil, err
	}
	l := &Library{cfg: cfg, analyzer: a, moved: map[uint64]uint32{}, work: func() {}}
	l.begin()
	return l, nil
}

// Analyzer returns what the library's texts are analysed with.
func (l *Library) Analyzer() *analysis.Analyzer { return l.analyzer }

// Metric returns the metric of the library's vectors.
func (l *Library) Metric() index.Metric { return l.cfg.Metric }

// OnWork sets what is called when there is something for Build and Merge to do, and calls
// it. It is called under Lock, and must not wait.
func (l *Library) OnWork(fn func()) {
	l.Lock()
	defer l.Unlock()
	l.work = fn
	fn()
}

// Stamp returns the stamp of the last commit that changed anything here.
func (l *Library) Stamp() change.Stamp {
	l.RLock()
	defer l.RUnlock()
	return l.stamp
}

// begin appends an empty tail.
func (l *Library) begin() {
	p := &part{first: l.high}
	var words *keyword.Tail
	if n := len(l.parts); n > 0 {
		before := l.parts[n-1]
		if p.last = before.last; before.tail != nil {
			words = before.tail.words.Next() // which knows the stems that it has met
		}
	}
	if words == nil {
		words = keyword.NewTail(l.analyzer)
	}
	p.words, p.tail = words, &tail{where: map[uint64]uint32{}, words: words}
	l.parts = append(l.parts[:len(l.parts):len(l.parts)], p)
}

// Apply takes one change to a document. The caller holds Lock; stamp is that of the
// commit that the change belongs to, and words are those of the chunks that it adds,
// where they have been worked out.
func (l *Library) Apply(kind change.Kind, c *change.DocumentChange, stamp change.Stamp, words *DocumentWords) error {
	if uint64(l.high)+uint64(len(c.Added))+uint64(len(c.Touched)) > index.MaxSlots {
		return fmt.Errorf("library number %d has used %d slots; its index has to be built anew", l.cfg.Num, l.high)
	}
	l.stamp = stamp
	var of *documentOf
	if len(c.Added)+len(c.Touched) > 0 {
		of = &documentOf{id: clone(c.ID), title: c.Title, meta: cloneBytes(c.Metadata)}
	}
	for i := range c.Killed {
		slot, ok := l.slot(c.Killed[i].Num)
		if !ok {
			return l.missing(c.Killed[i].Num)
		}
		l.kill(slot, c.Killed[i].Num, stamp.Commit)
	}
	if kind == change.DocumentPatched {
		for i := range c.Touched {
			if err := l.copy(of, &c.Touched[i], stamp.Commit); err != nil {
				return err
			}
		}
	}
	for i := range c.Added {
		if err := l.add(of, &c.Added[i], i, words); err != nil {
			return err
		}
	}
	return nil
}

// slot returns the slot that a chunk lives in.
func (l *Library) slot(num uint64) (uint32, bool) {
	if s, ok := l.moved[num]; ok {
		return s, true
	}
	lo, hi := 0, len(l.parts)
	for lo < hi { // the first part that ends at num or above
		if mid := (lo + hi) / 2; l.parts[mid].last < num {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(l.parts) {
		return 0, false
	}
	p := l.parts[lo]
	var local uint32
	var ok bool
	if p.seg != nil {
		local, ok = p.seg.find(num)
	} else {
		local, ok = p.tail.where[num]
	}
	if !ok || l.isDead(p.first+local) {
		return 0, false
	}
	return p.first + local, true
}

func (l *Library) isDead(slot uint32) bool { return l.dead[slot/64]&(1<<(slot%64)) != 0 }

// partOf returns the part that holds a slot.
func partOf(parts []*part, slot uint32) *part {
	lo, hi := 0, len(parts)
	for lo < hi { // the first part behind the slot
		if mid := (lo + hi) / 2; parts[mid].first <= slot {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return parts[lo-1]
}

func (l *Library) kill(slot uint32, num, commit uint64) {
	p := partOf(l.parts, slot)
	p.words.Kill(slot - p.first)
	l.dead[slot/64] |= 1 << (slot % 64)
	l.died[slot/diedExtentSlots][slot%diedExtentSlots].Store(commit)
	if l.vectors != nil {
		l.vectors.Kill(slot)
	}
	delete(l.moved, num)
	l.live--
}

// take gives out the next slot.
func (l *Library) take(num uint64, doc, chunk string, meta slotMeta) (uint32, *tail) {
	p := l.parts[len(l.parts)-1]
	if p.tail == nil || len(p.tail.nums) >= l.cfg.TailSlots || p.tail.bytes >= maxTailBytes {
		l.seal()
		p = l.parts[len(l.parts)-1]
	}
	t := p.tail
	t.where[num&^copied] = uint32(len(t.nums))
	t.nums, t.ids, t.meta = append(t.nums, num), append(t.ids, slotID{doc, chunk}), append(t.meta, meta)
	if num&copied == 0 {
		p.last = num
	}
	slot := l.high
	l.high++
	l.live++
	if int(slot/diedExtentSlots) == len(l.died) {
		l.died = append(l.died, new(diedExtent))
	}
	if int(slot/64) == len(l.dead) {
		l.dead = append(l.dead, 0)
	}
	return slot, t
}

// seal ends the part that is being filled, and begins another.
func (l *Library) seal() {
	if n := len(l.parts); l.parts[n-1].len() > 0 {
		l.begin()
		l.frozen++
		l.work()
		if l.frozen > maxUnbuilt {
			l.buildOldest()
		}
	}
}

// buildOldest builds the oldest full tail, in the applier.
func (l *Library) buildOldest() {
	for _, p := range l.parts[:len(l.parts)-1] {
		if p.seg != nil {
			continue
		}
		built, err := build(p)
		if err != nil {
			l.cfg.Logger.Error("a part of a search index could not be built; searches scan it", "library", l.cfg.Num, "err", err)
			return
		}
		l.install([]*part{p}, built)
		return
	}
}

// A documentOf is what all chunks of a change have from their document, once.
type documentOf struct {
	id, title string
	meta      []byte
}

func (l *Library) add(of *documentOf, ch *change.Chunk, i int, words *DocumentWords) error {
	if len(ch.Vectors) > 0 {
		if err := l.fix(ch.Vectors[0].Dim()); err != nil {
			return err
		}
	}
	slot, t := l.take(ch.Num, of.id, clone(ch.ID), slotMeta{of.meta, cloneBytes(ch.Metadata)})
	t.bytes += len(of.title) + len(of.meta) + len(ch.Metadata) + len(ch.Text)
	if words != nil && i < len(words.texts) {
		t.words.AddWords(words.title, words.texts[i])
	} else {
		t.words.Add(of.title, ch.Text)
	}
	if len(ch.Vectors) > 0 {
		l.vectors.Append(slot, ch.Vectors[0].Floats(make([]float32, 0, l.dim)))
	}
	return nil
}

// fix makes the index of vectors with the first of them.
func (l *Library) fix(dim int) error {
	if l.vectors == nil {
		v, err := flat.New(l.cfg.Metric, dim, flat.Options{})
		if err != nil {
			return err
		}
		l.vectors, l.dim = v, dim
	}
	if dim != l.dim {
		return fmt.Errorf("library number %d has vectors of %d numbers, and one of %d", l.cfg.Num, l.dim, dim)
	}
	return nil
}

// copy gives a chunk another slot, with its document's new title and metadata.
func (l *Library) copy(of *documentOf, ref *change.ChunkRef, commit uint64) error {
	old, ok := l.slot(ref.Num)
	if !ok {
		return l.missing(ref.Num)
	}
	slot, t := l.take(ref.Num|copied, of.id, clone(ref.ID), slotMeta{of.meta, cloneBytes(ref.Metadata)})
	t.bytes += len(of.title) + len(of.meta) + len(ref.Metadata)
	p := partOf(l.parts, old)
	t.words.AddCopy(of.title, p.words, old-p.first)
	if l.vectors != nil && old < l.vectors.Len() {
		l.vectors.AppendCopy(slot, old)
	}
	l.kill(old, ref.Num, commit)
	l.moved[ref.Num] = slot
	return nil
}

func (l *Library) missing(num uint64) error {
	return fmt.Errorf("chunk %d of library number %d is not in its index", num, l.cfg.Num)
}

func clone(s string) string { return string([]byte(s)) }

func cloneBytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// Stats of a library's structures.
type Stats struct {
	Slots, Live    uint64
	Parts, Unbuilt int
	MemoryBytes    int64 // mapped files too
}

// Stats returns the present figures.
func (l *Library) Stats() Stats {
	l.RLock()
	defer l.RUnlock()
	s := Stats{Slots: uint64(l.high), Live: uint64(l.live), Parts: len(l.parts), Unbuilt: l.frozen}
	s.MemoryBytes = int64(8*diedExtentSlots*len(l.died) + 8*len(l.dead) + 24*len(l.moved))
	if l.vectors != nil {
		s.MemoryBytes += l.vectors.MemoryBytes()
	}
	for _, p := range l.parts {
		if p.seg != nil {
			s.MemoryBytes += int64(len(p.seg.bytes))
		} else {
			s.MemoryBytes += tailBytes * int64(p.len())
		}
	}
	return s
}

// wasteTails is how many tails' worth of slots have died before it is worth while to
// build everything anew.
const wasteTails = 64

// Wasteful reports whether most slots are dead, and many: what they take is only given
// back where the structures are built anew.
func (l *Library) Wasteful() bool {
	l.RLock()
	defer l.RUnlock()
	return int64(l.high-l.live) >= wasteTails*int64(l.cfg.TailSlots) && l.live < l.high/4
}

// tailBytes is about what a slot takes in a tail: its metadata, ids and terms.
const tailBytes = 1024
