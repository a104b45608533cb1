package rows

import (
	"errors"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
)

// A Cut is the state of the store at one place of the log, on its way to being
// durable. Commit or Abort it; until then no other checkpoint can begin.
type Cut struct {
	s        *Store
	stamp    change.Stamp
	payload  []byte
	snapshot bool // payload is the whole state, for a new manifest
	nothing  bool // the state is the durable one
	blocks   []*block
	files    []*file
	drops    []*drop
	newFiles bool
	done     bool
}

// Checkpoint makes the state durable under a stamp: Cut and Commit in one. If the
// applier goes on meanwhile, the checkpoint may contain more than the stamp says;
// replay passes over that. It waits for a checkpoint that is under way.
func (s *Store) Checkpoint(stamp change.Stamp) error {
	s.ckptMu.Lock()
	c, err := s.cut(stamp)
	if err != nil {
		return err
	}
	return c.Commit()
}

// Cut takes the state for a checkpoint: everything appended and dropped so far,
// which is what the log holds up to stamp. It does no I/O and takes time in
// proportion to what has changed since the last checkpoint (and now and then, when
// the manifest is due to be written anew, to the number of blocks). The applier
// calls it between two groups, so that the cut is exact; Commit is for another
// goroutine. ErrBusy says that the last cut has not been committed yet.
func (s *Store) Cut(stamp change.Stamp) (*Cut, error) {
	if !s.ckptMu.TryLock() {
		return nil, ErrBusy
	}
	return s.cut(stamp)
}

// cut is called with ckptMu held, and keeps it held unless it fails.
func (s *Store) cut(stamp change.Stamp) (c *Cut, err error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	defer func() {
		if err != nil {
			s.ckptMu.Unlock()
		}
	}()
	if err := s.writable(); err != nil {
		return nil, err
	}
	if d := s.Durable(); stamp.Less(d) || stamp.Seq < d.Seq {
		return nil, fmt.Errorf("rows: checkpoint at %v, but %v is durable", stamp, d)
	}
	c = &Cut{s: s, stamp: stamp, files: s.dirtyFiles, drops: s.drops, newFiles: s.newFiles}
	for _, b := range s.dirty {
		b.dirty = false
		if !b.sp.gone {
			c.blocks = append(c.blocks, b)
		}
	}
	for _, f := range s.dirtyFiles {
		f.dirty = false
	}
	s.dirty, s.dirtyFiles, s.drops, s.newFiles = nil, nil, nil, false
	c.nothing = stamp == s.Durable() && len(c.blocks) == 0 && len(c.drops) == 0
	c.snapshot = s.rewrite || s.man.size > max(s.opts.ManifestRewrite, manifestGrowth*s.man.first)
	if c.snapshot {
		c.payload = encodeState(stamp, nil, s.allBlocks())
	} else {
		keys := make([]Key, len(c.drops))
		for i, d := range c.drops {
			keys[i] = d.sp.key
		}
		c.payload = encodeState(stamp, keys, c.blocks)
	}
	return c, nil
}

func (s *Store) allBlocks() []*block {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*block
	for _, sp := range s.spaces {
		sp.each(0, func(b *block) bool {
			if b.count > 0 {
				all = append(all, b)
			}
			return true
		})
	}
	return all
}

// Stamp returns the stamp of the cut.
func (c *Cut) Stamp() change.Stamp { return c.stamp }

// Commit makes the cut durable: first the rows, then the directory if files are
// new, then the manifest. After an error the store is poisoned.
func (c *Cut) Commit() error {
	if c.done {
		return errors.New("rows: the cut has been committed or aborted")
	}
	c.done = true
	s := c.s
	defer s.ckptMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if c.nothing {
		return nil
	}
	for _, f := range c.files {
		if err := f.rd.SyncData(); err != nil {
			return s.fail("sync "+f.path, err)
		}
	}
	if c.newFiles {
		if err := syncDir(s.fs, s.dir); err != nil {
			return s.fail("sync "+s.dir, err)
		}
	}
	if err := c.record(); err != nil {
		return s.fail("write the manifest", err)
	}
	stamp := c.stamp // not &c.stamp, which would keep the payload
	s.durable.Store(&stamp)
	s.mu.Lock()
	for _, d := range c.drops {
		d.durable = true
	}
	s.mu.Unlock()
	s.trim()
	return nil
}

func (c *Cut) record() error {
	s := c.s
	if !c.snapshot {
		return s.man.append(c.payload)
	}
	old := s.man
	man, err := createManifest(s.fs, s.dir, old.number+1, s.geo, old.record+1, c.payload)
	if err != nil {
		return err
	}
	s.man, s.rewrite = man, false
	// The old one is history: what goes wrong from here on harms nothing, and the
	// next Open removes what is left.
	old.file.Close()
	s.fs.Remove(s.fs.PathJoin(s.dir, manifestName(old.number)))
	return nil
}

// Abort gives the cut up: what it held belongs to the next one.
func (c *Cut) Abort() {
	if c.done {
		return
	}
	c.done = true
	s := c.s
	defer s.ckptMu.Unlock()
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	for _, b := range c.blocks {
		s.touch(b)
	}
	for _, f := range c.files {
		if !f.dirty {
			f.dirty = true
			s.dirtyFiles = append(s.dirtyFiles, f)
		}
	}
	s.drops = append(c.drops, s.drops...)
	s.newFiles = s.newFiles || c.newFiles
}

// trim frees what may be freed and removes files in which nothing is left, but
// for one, which the next blocks will need. The caller holds ckptMu, so that no
// file is being synced.
func (s *Store) trim() {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	s.mu.Lock()
	s.reclaim()
	var stay, gone []*file
	spare := false
	for _, f := range s.files {
		if f.nfree == s.geo.perFile && spare && !f.dirty {
			gone = append(gone, f)
			s.nfree -= f.nfree
			continue
		}
		spare = spare || f.nfree == s.geo.perFile
		stay = append(stay, f)
	}
	s.files = stay
	s.mu.Unlock()
	for _, f := range gone {
		// No block of it is in any table that a reader can see. What goes wrong
		// here leaves a file that the next Open removes.
		f.close()
		s.fs.Remove(f.path)
	}
}
