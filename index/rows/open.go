package rows

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/arrwdb/arrwdb/change"
)

// Open opens the store in opts.Dir as of its last durable checkpoint; where
// there is none, it makes an empty one. Rows above the stamp are not there: the
// log brings them back.
func Open(opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, fs: opts.FS, dir: opts.Dir, geo: geometry{opts.BlockSize, opts.BlocksPerFile},
		spaces: map[Key]*space{}, byLib: map[uint32][]*space{}, pins: pins{active: map[uint64]int{}}}
	s.durable.Store(&change.Stamp{})
	if !opts.ReadOnly {
		if err := s.makeDir(); err != nil {
			return nil, fmt.Errorf("rows: open %s: %w", s.dir, err)
		}
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("rows: open %s: %w", s.dir, err)
	}
	number, ok, err := readCurrent(s.fs, s.dir)
	switch {
	case err != nil:
	case !ok:
		err = s.create(names)
	default:
		err = s.load(names, number)
	}
	if err == nil && s.opts.Map {
		err = s.mapFiles()
	}
	if err != nil {
		if s.man != nil {
			s.man.file.Close()
		}
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// makeDir makes the directory and its entry durable: CURRENT must not be lost
// with it.
func (s *Store) makeDir() error {
	if _, err := s.fs.Stat(s.dir); err == nil {
		return nil
	} else if !isNotExist(err) {
		return err
	}
	if err := s.fs.MkdirAll(s.dir, 0o777); err != nil {
		return err
	}
	return syncDir(s.fs, s.fs.PathDir(s.dir))
}

// create makes an empty store. CURRENT comes before the first row file, so
// without CURRENT there can be nothing but what a creation cut short left.
func (s *Store) create(names []string) error {
	for _, n := range names {
		if _, ok := parseFileName(n); ok || isManifest(n) && n != manifestName(1) {
			return &DamageError{File: s.fs.PathJoin(s.dir, currentName), Detail: "the file is missing, but " + n + " is there"}
		}
	}
	if s.opts.ReadOnly {
		return fmt.Errorf("rows: %s holds no store: %w", s.dir, os.ErrNotExist)
	}
	var err error
	s.man, err = createManifest(s.fs, s.dir, 1, s.geo, 1, encodeState(change.Stamp{}, nil, nil))
	if err != nil {
		return fmt.Errorf("rows: create %s: %w", s.dir, err)
	}
	s.nextFile = 1
	return nil
}

func (s *Store) load(names []string, number uint64) error {
	path := s.fs.PathJoin(s.dir, manifestName(number))
	data, err := readFile(s.fs, path, maxManifestBytes)
	if isNotExist(err) {
		return &DamageError{File: path, Detail: "the file is missing, but CURRENT names it"}
	}
	if err != nil {
		return err
	}
	c, err := parseManifest(path, data, number)
	if err != nil {
		return err
	}
	s.geo = c.geo
	if c.torn > 0 {
		s.torn = &TornTail{path, c.end, c.torn, c.why}
		s.rewrite = true
	}
	im := &image{geo: c.geo, spaces: map[Key]map[uint64]blockImage{}}
	for _, f := range c.frames {
		if why := im.apply(f.payload); why != "" {
			return &DamageError{File: path, Offset: f.end, Detail: fmt.Sprintf("the frame that ends here, checkpoint %d: %s", f.record, why)}
		}
	}
	if err := s.adopt(path, im); err != nil {
		return err
	}
	s.durable.Store(&im.stamp)
	if s.opts.ReadOnly {
		return s.openFiles()
	}
	return s.takeOver(names, path, c)
}

// adopt builds the tables from the image.
func (s *Store) adopt(path string, im *image) error {
	files := map[uint64]*file{}
	for key, blocks := range im.spaces {
		sp := newSpace(key, s.geo.blockSize)
		order := make([]uint64, 0, len(blocks))
		for k := range blocks {
			order = append(order, k)
		}
		slices.Sort(order) // so that put appends
		for _, k := range order {
			bi := blocks[k]
			f := files[bi.file]
			if f == nil {
				f = newFile(bi.file, s.fs.PathJoin(s.dir, fileName(bi.file)), s.geo.perFile)
				files[bi.file] = f
				s.files = append(s.files, f)
				s.nfree += s.geo.perFile
			}
			if !f.take(bi.index) {
				return &DamageError{File: path, Detail: fmt.Sprintf("block %d of %s belongs to two spaces, one of them %v", bi.index, f.path, key)}
			}
			s.nfree--
			b := newBlock(sp, k, f, bi.index)
			for i, w := range bi.words {
				b.present[i].Store(w)
			}
			b.sum, b.count = bi.sum, bi.count
			sp.put(b)
			sp.rows.Add(int64(bi.count))
		}
		s.addSpace(sp)
	}
	slices.SortFunc(s.files, func(a, b *file) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	s.nextFile = 1
	if n := len(s.files); n > 0 {
		s.nextFile = s.files[n-1].id + 1
	}
	return nil
}

// takeOver makes the store ready to write. The manifest may have been written,
// but not synced, by a process that was killed: it is synced before anything
// relies on it.
func (s *Store) takeOver(names []string, path string, c *contents) error {
	f, err := s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	s.man = &manifest{fs: s.fs, dir: s.dir, number: c.number, id: c.id, file: f, size: c.end,
		record: c.frames[len(c.frames)-1].record, first: c.first}
	if err := f.SyncData(); err != nil {
		return fmt.Errorf("rows: sync %s: %w", path, err)
	}
	if err := syncDir(s.fs, s.dir); err != nil {
		return fmt.Errorf("rows: sync %s: %w", s.dir, err)
	}
	used := map[string]bool{currentName: true, manifestName(c.number): true}
	for _, f := range s.files {
		used[fileName(f.id)] = true
	}
	for _, n := range names {
		_, rows := parseFileName(n)
		if !used[n] && (rows || isManifest(n) || n == currentName+tmpSuffix) {
			if err := s.fs.Remove(s.fs.PathJoin(s.dir, n)); err != nil {
				return fmt.Errorf("rows: remove what a crash left: %w", err)
			}
		}
	}
	if err := s.openFiles(); err != nil {
		return err
	}
	if bad := s.checkSizes(); len(bad) > 0 {
		return bad[0]
	}
	return nil
}

func (s *Store) openFiles() (err error) {
	for _, f := range s.files {
		if f.rd, err = s.fs.Open(f.path); err != nil {
			f.rd = nil
			if isNotExist(err) && s.opts.ReadOnly {
				continue // Verify reports it
			}
			if isNotExist(err) {
				return &DamageError{File: f.path, Detail: "the file is missing, but the manifest has blocks in it"}
			}
			return err
		}
		if !s.opts.ReadOnly {
			if err := f.openWriter(s.fs); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapFiles maps what can be mapped, once it is known to be long enough.
func (s *Store) mapFiles() error {
	for _, f := range s.files {
		if f.rd != nil {
			if err := f.tryMap(s.geo.fileSize(), !s.opts.ReadOnly); err != nil {
				return err
			}
		}
	}
	return nil
}
