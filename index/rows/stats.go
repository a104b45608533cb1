package rows

// Stats are figures for people and metrics.
type Stats struct {
	Files      int
	Blocks     int   // in use, those of dropped spaces that wait for reuse too
	FreeBlocks int   // in the files that there are
	Waiting    int   // of Blocks: dropped, and waiting for a checkpoint or a pin
	Bytes      int64 // of Blocks
	Rows       int64
	Spaces     int
	Libraries  int
	Pins       int
	Manifest   int64 // bytes of the manifest; 0 read-only
	Dirty      int   // blocks changed since the last checkpoint
}

// Stats returns the figures of the moment.
func (s *Store) Stats() Stats {
	var st Stats
	s.applyMu.Lock()
	st.Dirty = len(s.dirty)
	s.applyMu.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	st.Files, st.Spaces, st.Libraries, st.FreeBlocks = len(s.files), len(s.spaces), len(s.byLib), s.nfree
	st.Blocks = st.Files*s.geo.perFile - s.nfree
	st.Bytes = int64(st.Blocks) * int64(s.geo.blockSize)
	for _, sp := range s.spaces {
		st.Rows += sp.rows.Load()
	}
	for _, d := range s.limbo {
		st.Waiting += int(d.sp.blocks.Load())
	}
	s.pins.mu.Lock()
	for _, n := range s.pins.active {
		st.Pins += n
	}
	s.pins.mu.Unlock()
	return st
}

// DiskBytes returns the size of a library's blocks: the most that its rows can
// take on disk, as files are sparse.
func (s *Store) DiskBytes(library uint32) (n int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sp := range s.byLib[library] {
		n += sp.blocks.Load() * int64(s.geo.blockSize)
	}
	return n
}

// Rows returns the number of a library's rows in all its spaces.
func (s *Store) Rows(library uint32) (n int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sp := range s.byLib[library] {
		n += sp.rows.Load()
	}
	return n
}
