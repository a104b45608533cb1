package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index"
	"github.com/arrwdb/arrwdb/index/rows"
	"github.com/arrwdb/arrwdb/index/search"
)

// searchView applies commits to the search structures of all libraries. Each
// library is searched under its own lock (see search.Library), which is held from
// before the store takes a commit until the commit is in all views.
type searchView struct {
	db   *DB
	dir  *search.Dir
	at   change.Stamp
	libs map[uint32]*searched // the applier's; published in DB.searched

	// durable says which prefix of the log the saved indexes hold.
	durable atomic.Pointer[change.Stamp]

	touched []*searched // by the commit that is being applied
	upkeep  upkeep
}

// A searched is a library's place in the view. lib is nil while its structures are
// built anew.
type searched struct {
	num   uint32
	lib   atomic.Pointer[search.Library]
	ready chan struct{} // closed when lib is set for the first time
	gone  atomic.Bool   // the library was deleted, or has another place in the view

	// What the last checkpoint saved, and as of which commit. Guarded by
	// checkpointer.making.
	entry    search.Entry
	saved    change.Stamp
	savedLib *search.Library

	renewing atomic.Bool // the structures are being built anew, and in use meanwhile
}

func newSearched(num uint32) *searched { return &searched{num: num, ready: make(chan struct{})} }

func (s *searched) set(lib *search.Library) {
	if s.lib.Swap(lib) == nil {
		close(s.ready)
	}
}

func (v *searchView) name() string        { return "the search indexes" }
func (v *searchView) stamp() change.Stamp { return v.at }

// lock takes the locks of the libraries that a commit touches.
func (v *searchView) lock(c *commit) {
	v.touched = v.touched[:0]
	for i := range c.records {
		r := &c.records[i]
		if !isDocument(r.Kind) && r.Kind != change.LibraryDeleted {
			continue
		}
		s := v.libs[r.Library]
		if s == nil || s.lib.Load() == nil || v.isTouched(s) {
			continue
		}
		s.lib.Load().Lock()
		v.touched = append(v.touched, s)
	}
}

func (v *searchView) isTouched(s *searched) bool {
	for i := len(v.touched) - 1; i >= 0; i-- { // most often the last one
		if v.touched[i] == s {
			return true
		}
	}
	return false
}

func (v *searchView) unlock() {
	for _, s := range v.touched {
		s.lib.Load().Unlock()
	}
	v.touched = v.touched[:0]
}

// apply implements view. A library whose structures cannot take a change gets new
// ones; that is no reason to refuse writes.
func (v *searchView) apply(c *commit) error {
	doc := 0
	for i := range c.records {
		r := &c.records[i]
		switch {
		case isDocument(r.Kind):
			d := &c.docs[doc]
			doc++
			s := v.libs[r.Library]
			if s == nil {
				return fmt.Errorf("library number %d is not among the searched ones", r.Library)
			}
			lib := s.lib.Load()
			if lib == nil || s.gone.Load() {
				continue // it is being built, and reads this in the log
			}
			if err := lib.Apply(r.Kind, d, c.stamp, wordsOf(r)); err != nil {
				v.broken(s, err)
			}
		case r.Kind == change.LibraryCreated:
			lc, err := change.DecodeLibrary(r)
			if err != nil {
				return err
			}
			if err := v.create(r.Library, lc.Settings); err != nil {
				return err
			}
		case r.Kind == change.LibraryDeleted:
			if s := v.libs[r.Library]; s != nil {
				s.gone.Store(true)
				delete(v.libs, r.Library)
				v.db.searched.Delete(r.Library)
			}
		}
	}
	v.at = c.stamp
	return nil
}

// broken takes a library's structures out of use. Whoever captures from now on
// waits for new ones.
func (v *searchView) broken(s *searched, err error) {
	v.db.opts.Logger.Error("a search index could not take a change and is built anew", "library", v.db.LibraryName(s.num), "err", err)
	s.gone.Store(true)
	again := newSearched(s.num)
	v.libs[s.num] = again
	v.db.searched.Store(s.num, again)
	if v.db.visible.Load() != nil { // else the replay is followed by this
		v.db.tasks.Go(func() { v.db.rebuildSearch(again) })
	}
}

func (v *searchView) create(num uint32, settings []byte) error {
	lib, err := (&libRow{Num: num, Settings: settings}).library()
	if err != nil {
		return err
	}
	cfg, err := v.config(num, lib.Metric, lib.Analyzer.Language)
	if err != nil {
		return err
	}
	l, err := search.New(cfg)
	if err != nil {
		return err
	}
	s := newSearched(num)
	v.adopt(s, l)
	v.libs[num] = s
	v.db.searched.Store(num, s)
	return nil
}

// adopt makes the structures those of the library.
func (v *searchView) adopt(s *searched, l *search.Library) {
	s.set(l)
	v.upkeep.add(l)
}

func (v *searchView) config(num uint32, metric, language string) (search.Config, error) {
	m, err := index.ParseMetric(metric)
	if err != nil {
		return search.Config{}, err
	}
	return search.Config{Num: num, Metric: m, Language: language, TailSlots: v.db.opts.TailSlots, Logger: v.db.opts.Logger}, nil
}

// openSearch loads the snapshots of all libraries. What is damaged or missing is
// named, and built anew once the log has been replayed.
func (db *DB) openSearch() error {
	v := &searchView{db: db, libs: map[uint32]*searched{}}
	v.upkeep.start(db)
	db.searchView = v
	dir, m, err := search.OpenDir(db.opts.FS, db.opts.FS.PathJoin(db.dir, searchDir), db.mapped)
	if dir == nil {
		return err
	}
	v.dir = dir
	if cerr := dir.Clean(); cerr != nil {
		db.opts.Logger.Warn("files that no search index needs cannot be removed", "err", cerr)
	}
	if err != nil {
		db.opts.Logger.Warn("the snapshots of the search indexes cannot be read; they are built anew", "err", err)
		m = &search.Manifest{}
	}
	v.at = m.Stamp()
	durable := v.at
	v.durable.Store(&durable)
	if v.at.Commit == 0 {
		// Nothing was ever saved: libraries that the store holds are built from it.
		v.at = db.view.at.Stamp
		for num := range db.view.libs {
			v.missing(num)
		}
		return nil
	}
	for i := range m.Libraries {
		if e := &m.Libraries[i]; e.Building {
			v.missing(e.Num)
		} else {
			v.load(e)
		}
	}
	for num := range db.view.libs {
		if v.libs[num] == nil && !v.at.Less(db.view.at.Stamp) {
			v.missing(num)
		}
	}
	return nil
}

func (v *searchView) missing(num uint32) {
	s := newSearched(num)
	v.libs[num] = s
	v.db.searched.Store(num, s)
}

func (v *searchView) load(e *search.Entry) {
	s := newSearched(e.Num)
	lib, err := v.loadEntry(e)
	if err != nil {
		v.db.opts.Logger.Warn("the snapshot of a search index is damaged; it is built anew", "library", v.db.LibraryName(e.Num), "number", e.Num, "err", err)
	} else {
		s.entry, s.saved, s.savedLib = *e, v.at, lib
		v.adopt(s, lib)
	}
	v.libs[e.Num] = s
	v.db.searched.Store(e.Num, s)
}

func (v *searchView) loadEntry(e *search.Entry) (*search.Library, error) {
	cfg, err := v.config(e.Num, e.Metric, e.Language)
	if err != nil {
		return nil, err
	}
	if e.Dim > 0 && v.db.rowsView.at.Less(v.at) {
		return nil, errors.New("the row files are older than it")
	}
	pin := v.db.rows.Pin()
	defer pin.Unpin()
	space, ok := pin.Space(rows.Key{Library: e.Num, Dim: uint32(e.Dim)})
	if e.Dim > 0 && !ok {
		// The rows are ahead and have dropped the library, or there never was one.
		return search.Load(cfg, v.dir, e, v.at, func(uint64) bool { return false }, nil)
	}
	return search.Load(cfg, v.dir, e, v.at, space.Has, space.ReadMany)
}

// finishSearch builds what has no structures after the replay, one library after
// the other, in the background.
func (db *DB) finishSearch() {
	db.searchView.upkeep.merge(db)
	var todo []*searched
	for _, s := range db.searchView.libs {
		if s.lib.Load() == nil {
			todo = append(todo, s)
		}
	}
	if len(todo) > 0 {
		db.tasks.Go(func() {
			for _, s := range todo {
				db.rebuildSearch(s)
			}
		})
	}
}

// A searchCut is what a checkpoint has to save of all libraries.
type searchCut struct {
	stamp change.Stamp
	libs  []cutLibrary
}

type cutLibrary struct {
	s     *searched
	lib   *search.Library
	cut   *search.Cut // nil where there is nothing to save
	at    change.Stamp
	entry search.Entry // set by save where there is a cut
}

// cut is called under applyMu.
func (v *searchView) cut() *searchCut {
	c := &searchCut{stamp: v.at}
	for _, s := range v.libs {
		lib := s.lib.Load()
		if lib == nil {
			// It is named all the same: the next start meets its changes in the log.
			c.libs = append(c.libs, cutLibrary{s: s, entry: search.Entry{Num: s.num, Building: true}})
			continue
		}
		at := lib.Stamp()
		if s.savedLib == lib && s.saved.Commit > 0 && !s.saved.Less(at) {
			c.libs = append(c.libs, cutLibrary{s: s, lib: lib, at: s.saved, entry: s.entry})
			continue
		}
		c.libs = append(c.libs, cutLibrary{s: s, lib: lib, cut: lib.Cut(v.dir), at: v.at})
	}
	return c
}

// save writes what was cut.
func (v *searchView) save(c *searchCut) error {
	m := &search.Manifest{Seq: c.stamp.Seq, Commit: c.stamp.Commit}
	for i := range c.libs {
		l := &c.libs[i]
		if l.cut != nil {
			var err error
			if l.entry, err = l.cut.Save(); err != nil {
				return fmt.Errorf("saving the search index of library %q: %w", v.db.LibraryName(l.s.num), err)
			}
		}
		m.Libraries = append(m.Libraries, l.entry)
	}
	if err := v.dir.Commit(m); err != nil {
		return fmt.Errorf("saving the search indexes: %w", err)
	}
	v.durable.Store(&c.stamp)
	for _, l := range c.libs {
		l.s.entry, l.s.saved, l.s.savedLib = l.entry, l.at, l.lib
	}
	return nil
}

// An upkeep builds and merges in the background. Building has a goroutine of its
// own: tails that wait for a long merge would make searches slower.
type upkeep struct{ building, merging workQueue }

// start begins to build; what there is to merge waits for merge, as a replay has
// better use for the processors.
func (u *upkeep) start(db *DB) {
	u.building.init()
	u.merging.init()
	u.building.start(db, (*search.Library).Build, func(l *search.Library) { u.merging.add(l) })
}

func (u *upkeep) merge(db *DB) {
	u.merging.start(db, (*search.Library).Merge, func(l *search.Library) {
		if l.Wasteful() {
			db.renewSearch(l)
		}
	})
}

// add makes a library's calls for work heard.
func (u *upkeep) add(l *search.Library) { l.OnWork(func() { u.building.add(l) }) }

// A workQueue holds the libraries that have work of one kind.
type workQueue struct {
	mu   sync.Mutex
	due  map[*search.Library]bool
	wake chan struct{}
}

func (q *workQueue) init() { q.due, q.wake = map[*search.Library]bool{}, make(chan struct{}, 1) }

// start works off the queue until the database closes: work is done again while it
// reports that there was some, then comes after.
func (q *workQueue) start(db *DB, work func(*search.Library) (bool, error), after func(*search.Library)) {
	db.tasks.Go(func() {
		for {
			select {
			case <-db.ctx.Done():
				return
			case <-q.wake:
			}
			for lib := q.take(); lib != nil; lib = q.take() {
				for more := true; more && db.ctx.Err() == nil; {
					var err error
					if more, err = work(lib); err != nil {
						db.opts.Logger.Error("upkeep of a search index failed; searches go on, slower", "err", err)
					}
				}
				if after != nil {
					after(lib)
				}
			}
		}
	})
}

func (q *workQueue) add(l *search.Library) {
	q.mu.Lock()
	q.due[l] = true
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *workQueue) take() *search.Library {
	q.mu.Lock()
	defer q.mu.Unlock()
	for lib := range q.due {
		delete(q.due, lib)
		return lib
	}
	return nil
}
