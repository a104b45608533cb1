package rows

import (
	"fmt"
	"math/bits"
)

// A Pin keeps everything that can be found through it: the blocks of a space
// that is dropped after the pin was taken stay as they are until Unpin. Take one
// for a search, not for a session: pins hold back the reuse of space.
type Pin struct {
	s     *Store
	epoch uint64
}

// Pin returns a pin. Each must be released by Unpin.
func (s *Store) Pin() *Pin { return &Pin{s, s.pins.enter()} }

// Unpin releases the pin. No Space found through it, and no slice that one
// returned, may be used any more.
func (p *Pin) Unpin() {
	if p.s == nil {
		return
	}
	if p.s.pins.leave(p.epoch) {
		p.s.closeFiles()
	}
	p.s = nil
}

// Space finds a space: one that is there, or that was when the pin was taken.
func (p *Pin) Space(key Key) (Space, bool) {
	if p.s.pins.isClosed() {
		return Space{}, false
	}
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	if sp := p.s.spaces[key]; sp != nil {
		return Space{p.s, sp}, true
	}
	for _, d := range p.s.limbo {
		if d.sp.key == key && p.epoch <= d.tag {
			return Space{p.s, d.sp}, true
		}
	}
	return Space{}, false
}

// Spaces returns the keys of a library's spaces.
func (p *Pin) Spaces(library uint32) []Key {
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	var keys []Key
	for _, sp := range p.s.byLib[library] {
		keys = append(keys, sp.key)
	}
	return keys
}

// A Space reads one space, under the pin that it was found through. Its methods
// take no lock. Rows that are appended later are seen.
type Space struct {
	s  *Store
	sp *space
}

// Key returns the key.
func (v Space) Key() Key { return v.sp.key }

// Len returns the number of rows.
func (v Space) Len() int64 { return v.sp.rows.Load() }

// RowsPerBlock returns how many numbers a block spans: block k holds the numbers
// from k × RowsPerBlock on.
func (v Space) RowsPerBlock() int { return int(v.sp.perBlock) }

func (v Space) find(num uint64) (b *block, off int64, ok bool) {
	b = v.sp.block(num / v.sp.perBlock)
	slot := num % v.sp.perBlock
	if b == nil || !b.has(slot) {
		return nil, 0, false
	}
	return b, v.s.geo.offset(b.index) + int64(slot)*int64(v.sp.rowBytes), true
}

func (v Space) noRow(num uint64) error {
	return fmt.Errorf("%w: %v, number %d", ErrNoRow, v.sp.key, num)
}

// Has reports whether there is a row under a number.
func (v Space) Has(num uint64) bool {
	_, _, ok := v.find(num)
	return ok
}

// Row returns a row: in place where the file is mapped, and not to be written
// to; else in buf, grown if it is too short.
func (v Space) Row(num uint64, buf []float32) ([]float32, error) {
	b, off, ok := v.find(num)
	if !ok {
		return nil, v.noRow(num)
	}
	return b.file.floats(buf, int(v.sp.key.Dim), off)
}

// ReadInto copies a row to dst, which must have room for it.
func (v Space) ReadInto(num uint64, dst []float32) error {
	b, off, ok := v.find(num)
	if !ok {
		return v.noRow(num)
	}
	dst = dst[:v.sp.key.Dim]
	if err := b.file.readAt(bytesOf(dst), off); err != nil {
		return err
	}
	fixEndian(dst)
	return nil
}

// ReadMany copies the rows of nums to dst, one after the other; dst must have
// room for them all. Numbers that follow each other are read together.
func (v Space) ReadMany(nums []uint64, dst []float32) error {
	dim := int(v.sp.key.Dim)
	for i := 0; i < len(nums); {
		b, off, ok := v.find(nums[i])
		if !ok {
			return v.noRow(nums[i])
		}
		n := 1
		for i+n < len(nums) && nums[i+n] == nums[i]+uint64(n) && nums[i+n]%v.sp.perBlock != 0 && b.has(nums[i+n]%v.sp.perBlock) {
			n++
		}
		part := dst[i*dim : (i+n)*dim]
		if err := b.file.readAt(bytesOf(part), off); err != nil {
			return err
		}
		fixEndian(part)
		i += n
	}
	return nil
}

// A Block is a whole block for scanning. It may be used again for the next, which
// then overwrites it.
type Block struct {
	Number uint64 // within the space
	First  uint64 // number of its first row
	Len    int    // rows up to the last one present
	Dim    int
	// Rows holds rows First to First+Len-1, one after the other. What stands in
	// a row that is not present is undefined. Not to be written to.
	Rows []float32

	present []uint64
	buf     []float32
}

// Has reports whether row First+i is present.
func (b *Block) Has(i int) bool { return b.present[i/64]&(1<<(i%64)) != 0 }

// Full reports whether all rows of First to First+Len-1 are present.
func (b *Block) Full() bool { return b.Count() == b.Len }

// Count returns the number of rows present.
func (b *Block) Count() (n int) {
	for _, w := range b.present {
		n += bits.OnesCount64(w)
	}
	return n
}

// Row returns row First+i.
func (b *Block) Row(i int) []float32 { return b.Rows[i*b.Dim : (i+1)*b.Dim] }

// Next reads the first block with number k or above into b, or returns false
// where there is none: the loop over a space is
//
//	for ok, err := v.Next(0, &b); ok; ok, err = v.Next(b.Number+1, &b) { … }
func (v Space) Next(k uint64, b *Block) (ok bool, err error) {
	var found *block
	v.sp.each(k, func(x *block) bool {
		b.present = x.words(b.present)
		if high(b.present) == 0 {
			return true // allocated, nothing in it yet
		}
		found = x
		return false
	})
	if found == nil {
		return false, nil
	}
	b.Number, b.First, b.Dim = found.k, found.k*v.sp.perBlock, int(v.sp.key.Dim)
	b.Len = int(high(b.present))
	b.Rows, err = found.file.floats(b.buf, b.Len*b.Dim, v.s.geo.offset(found.index))
	if err != nil {
		return false, err
	}
	if found.file.mapped == nil {
		b.buf = b.Rows
	}
	return true, nil
}

// Block reads block k into b, or returns false where it has no rows.
func (v Space) Block(k uint64, b *Block) (ok bool, err error) {
	x := v.sp.block(k)
	if x == nil {
		return false, nil
	}
	ok, err = v.Next(k, b)
	return ok && b.Number == k, err
}
