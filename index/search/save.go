package search

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/arrwdb/arrwdb/change"
)

// A Cut is what has to be saved of a library, as of the commit at which it was made.
type Cut struct {
	l       *Library
	dir     *Dir
	parts   []*part
	dead    []uint64
	high    uint32
	dim     int
	vectors vectors
	// extents are the names of the files of the vectors' full extents; those that
	// are not saved yet are "".
	extents []string
}

// Cut seals what is being filled and returns what has to be saved. No commit may be
// in the middle of being applied.
func (l *Library) Cut(d *Dir) *Cut {
	l.Lock()
	defer l.Unlock()
	l.seal()
	c := &Cut{l: l, dir: d, parts: l.parts[: len(l.parts)-1 : len(l.parts)-1], high: l.high, dim: l.dim}
	c.dead = append(c.dead, l.dead...)
	if l.vectors != nil {
		for len(l.extents) < l.vectors.FullExtents() {
			l.extents = append(l.extents, "")
		}
		c.vectors, c.extents = l.vectors, append(c.extents, l.extents...)
	}
	return c
}

// Save writes what has not been saved before and returns the library's entry in the
// manifest. It goes on beside writes and searches.
func (c *Cut) Save() (Entry, error) {
	e := Entry{Num: c.l.cfg.Num, Metric: c.l.cfg.Metric.String(), Language: c.l.cfg.Language, Slots: c.high, Dim: c.dim}
	for _, w := range c.dead {
		e.Dead = binary.LittleEndian.AppendUint64(e.Dead, w)
	}
	for _, p := range c.parts {
		name, err := c.savePart(p)
		if err != nil {
			return e, err
		}
		e.Parts = append(e.Parts, name)
	}
	for i, name := range c.extents {
		if name == "" {
			var err error
			if name, err = c.dir.write("vec", c.vectors.AppendExtent(nil, i)); err != nil {
				return e, err
			}
			c.l.Lock()
			c.l.extents[i] = name
			c.l.Unlock()
		}
		e.Extents = append(e.Extents, name)
	}
	return e, nil
}

// savePart writes a part's segment, and puts the saved one, mapped where that can
// be, into the part's place.
func (c *Cut) savePart(p *part) (name string, err error) {
	if p.saved != "" {
		return p.saved, nil
	}
	made := p
	if p.seg == nil {
		if made, err = build(p); err != nil {
			return "", err
		}
	}
	if name, err = c.dir.write("seg", made.seg.bytes); err != nil {
		return "", err
	}
	b, mapped, err := c.dir.read(name)
	if err != nil {
		return "", errors.Join(err, c.dir.discard(name))
	}
	if !mapped {
		b = made.seg.bytes
	}
	saved, err := open(p, b, p.last)
	if err != nil {
		if mapped {
			err = errors.Join(err, unmapFile(b))
		}
		return "", errors.Join(fmt.Errorf("%s, just written: %w", name, err), c.dir.discard(name))
	}
	if mapped {
		unmapWith(saved.seg)
	}
	saved.saved, saved.purged = name, p.purged
	c.l.Lock()
	c.l.install([]*part{p}, saved)
	c.l.Unlock()
	return name, nil
}

// Load makes a library of its snapshot, which stands at a stamp. rows reads the vectors that are in no full
// extent; has says whether a chunk has one.
func Load(cfg Config, d *Dir, e *Entry, at change.Stamp, has func(num uint64) bool, rows Rows) (*Library, error) {
	l, err := New(cfg)
	if err != nil {
		return nil, err
	}
	l.stamp = at
	if err := l.loadParts(d, e); err != nil {
		return nil, err
	}
	if e.Dim > 0 {
		if err := l.loadVectors(d, e, has, rows); err != nil {
			return nil, err
		}
	}
	l.begin()
	return l, nil
}

func (l *Library) loadParts(d *Dir, e *Entry) error {
	l.parts = nil
	var last uint64
	for _, name := range e.Parts {
		b, mapped, err := d.read(name)
		if err != nil {
			return err
		}
		seg, next, err := openSegment(b, last)
		if err != nil {
			if mapped {
				_ = unmapFile(b)
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		if mapped {
			unmapWith(seg)
		}
		if uint64(l.high)+uint64(seg.n) > uint64(e.Slots) {
			break
		}
		last = next
		l.parts = append(l.parts, &part{first: l.high, last: last, words: seg.words, seg: seg, saved: name})
		l.high += seg.n
	}
	if l.high != e.Slots || len(e.Dead) != int(e.Slots+63)/64*8 {
		return fmt.Errorf("the segments of library number %d hold %d slots and %d bytes of deaths, the manifest says %d slots", e.Num, l.high, len(e.Dead), e.Slots)
	}
	for i := 0; i < len(e.Dead); i += 8 {
		l.dead = append(l.dead, binary.LittleEndian.Uint64(e.Dead[i:]))
	}
	for range (int(l.high) + diedExtentSlots - 1) / diedExtentSlots {
		l.died = append(l.died, new(diedExtent))
	}
	for _, p := range l.parts {
		l.loadDeaths(p)
	}
	return nil
}

// loadDeaths brings a loaded part up to what has died in it, and finds the copies.
func (l *Library) loadDeaths(p *part) {
	for local := range p.seg.n {
		slot := p.first + local
		if l.isDead(slot) {
			p.words.Kill(local)
			l.died[slot/diedExtentSlots][slot%diedExtentSlots].Store(1)
			continue
		}
		l.live++
		if raw := p.seg.raw(local); raw&copied != 0 {
			l.moved[raw&^copied] = slot
		}
	}
}

func (l *Library) loadVectors(d *Dir, e *Entry, has func(num uint64) bool, rows Rows) error {
	if err := l.fix(e.Dim); err != nil {
		return err
	}
	for i, name := range e.Extents {
		b, err := readAll(d.fs, d.fs.PathJoin(d.path, name))
		if err == nil {
			err = l.vectors.LoadExtent(i, b)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	l.extents = append(l.extents, e.Extents...)
	row := make([]float32, e.Dim)
	for slot := l.vectors.Len(); slot < l.high; slot++ {
		p := partOf(l.parts, slot)
		num := p.num(slot - p.first)
		if !has(num) {
			continue
		}
		if err := rows([]uint64{num}, row); err != nil {
			return err
		}
		l.vectors.Append(slot, row)
	}
	for slot := range l.high {
		if l.isDead(slot) {
			l.vectors.Kill(slot)
		}
	}
	return nil
}
