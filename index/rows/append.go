package rows

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Run is a row, or several with consecutive numbers.
type Run struct {
	Key Key
	Num uint64 // of the first row
	// Raw is the rows as little-endian float32, one after the other. It is read
	// only during the call.
	Raw []byte
}

// Append adds runs. When it returns they can be read by everyone; they are
// durable after the next checkpoint. Runs that follow each other in number are
// written together, so the rows of a group of changes belong in one call.
//
// A number may come once in a space, in any order. One that comes again with the
// same bytes is passed over (replay from an older stamp does that); with other
// bytes it is a *ConflictError, and nothing is overwritten.
func (s *Store) Append(runs ...Run) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	for i := range runs {
		if err := s.checkRun(&runs[i]); err != nil {
			return err
		}
	}
	w := writer{s: s}
	for i := range runs {
		if err := w.run(&runs[i]); err != nil {
			return err
		}
	}
	return w.flush()
}

func (s *Store) checkRun(r *Run) error {
	if d := r.Key.Dim; d < 1 || d > MaxDim || 4*int(d) > s.geo.blockSize {
		return fmt.Errorf("rows: %v: want a dimension from 1 to %d", r.Key, min(MaxDim, s.geo.blockSize/4))
	}
	row := 4 * int(r.Key.Dim)
	if len(r.Raw) == 0 || len(r.Raw)%row != 0 {
		return fmt.Errorf("rows: %v: %d bytes are no rows of %d", r.Key, len(r.Raw), row)
	}
	if _, over := bits.Add64(r.Num, uint64(len(r.Raw)/row)-1, 0); over != 0 {
		return fmt.Errorf("rows: %v: numbers from %d on overflow", r.Key, r.Num)
	}
	return nil
}

// writer gathers rows that lie side by side in one block into one write.
type writer struct {
	s    *Store
	b    *block
	slot uint64
	n    int
	raw  []byte // the caller's while there is one piece, then s.scratch
	own  bool
}

func (w *writer) run(r *Run) error {
	sp := w.s.space(r.Key)
	num, raw := r.Num, r.Raw
	for len(raw) > 0 {
		slot := num % sp.perBlock
		n := min(int(sp.perBlock-slot), len(raw)/sp.rowBytes)
		b := sp.block(num / sp.perBlock)
		if b == nil {
			var err error
			if b, err = w.s.allocate(sp, num/sp.perBlock); err != nil {
				return err
			}
		}
		if err := w.piece(b, slot, raw[:n*sp.rowBytes]); err != nil {
			return err
		}
		num += uint64(n)
		raw = raw[n*sp.rowBytes:]
	}
	return nil
}

// piece takes rows of one block; those that are there are compared, not written.
func (w *writer) piece(b *block, slot uint64, raw []byte) error {
	row := b.sp.rowBytes
	if w.b != b || w.slot+uint64(w.n) != slot {
		if err := w.flush(); err != nil { // so that presence says all
			return err
		}
	}
	for len(raw) > 0 {
		n := 0
		for n*row < len(raw) && !b.has(slot+uint64(n)) {
			n++
		}
		if n == 0 {
			if err := w.flush(); err != nil {
				return err
			}
			if err := w.s.compare(b, slot, raw[:row]); err != nil {
				return err
			}
			n = 1
		} else {
			w.take(b, slot, n, raw[:n*row])
		}
		slot += uint64(n)
		raw = raw[n*row:]
	}
	return nil
}

func (w *writer) take(b *block, slot uint64, n int, raw []byte) {
	if w.n == 0 {
		w.b, w.slot, w.n, w.raw, w.own = b, slot, n, raw, false
		return
	}
	if !w.own {
		w.s.scratch = append(w.s.scratch[:0], w.raw...)
		w.own = true
	}
	w.s.scratch = append(w.s.scratch, raw...)
	w.raw = w.s.scratch
	w.n += n
}

// flush writes what was gathered and only then marks it as present.
func (w *writer) flush() error {
	if w.n == 0 {
		return nil
	}
	b, s := w.b, w.s
	off := s.geo.offset(b.index) + int64(w.slot)*int64(b.sp.rowBytes)
	if _, err := b.file.wr.WriteAt(w.raw, off); err != nil {
		return s.fail("write "+b.file.path, err)
	}
	for i := range w.n {
		b.sum += rowSum(w.raw[i*b.sp.rowBytes:(i+1)*b.sp.rowBytes], w.slot+uint64(i))
	}
	b.count += w.n
	b.mark(w.slot, w.n)
	b.sp.rows.Add(int64(w.n))
	s.touch(b)
	w.b, w.n = nil, 0
	return nil
}

// touch notes that b differs from the last checkpoint.
func (s *Store) touch(b *block) {
	if !b.dirty {
		b.dirty = true
		s.dirty = append(s.dirty, b)
	}
	if !b.file.dirty {
		b.file.dirty = true
		s.dirtyFiles = append(s.dirtyFiles, b.file)
	}
}

func (s *Store) compare(b *block, slot uint64, raw []byte) error {
	old := make([]byte, len(raw))
	if err := b.file.readAt(old, s.geo.offset(b.index)+int64(slot)*int64(len(raw))); err != nil {
		return err
	}
	if !bytes.Equal(old, raw) {
		return &ConflictError{b.sp.key, b.k*b.sp.perBlock + slot}
	}
	return nil
}

// allocate gives a space a block: the lowest that is free, so that the arena
// stays dense.
func (s *Store) allocate(sp *space, k uint64) (*block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nfree == 0 {
		s.reclaim()
	}
	if s.nfree == 0 {
		if err := s.addFile(); err != nil {
			return nil, s.fail("add a row file", err)
		}
	}
	for _, f := range s.files {
		if f.nfree == 0 {
			continue
		}
		if err := f.openWriter(s.fs); err != nil {
			return nil, s.fail("open "+f.path, err)
		}
		for w, free := range f.free {
			if free != 0 {
				b := newBlock(sp, k, f, uint32(w*64+bits.TrailingZeros64(free)))
				f.take(b.index)
				s.nfree--
				sp.put(b)
				return b, nil
			}
		}
	}
	panic("rows: blocks are counted as free, but no file has one")
}

// addFile makes a row file. It is durable with the next checkpoint, before
// anything in it is.
func (s *Store) addFile() error {
	f := newFile(s.nextFile, s.fs.PathJoin(s.dir, fileName(s.nextFile)), s.geo.perFile)
	var err error
	if f.wr, err = s.fs.OpenReadWrite(f.path, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	if f.rd, err = s.fs.Open(f.path); err == nil && s.opts.Map {
		err = f.tryMap(s.geo.fileSize(), true)
	}
	if err != nil {
		f.close()
		return err
	}
	s.nextFile++
	s.files = append(s.files, f)
	s.nfree += s.geo.perFile
	s.newFiles = true
	return nil
}
