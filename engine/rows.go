package engine

import (
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/rows"
)

// rowsView applies commits to the row files: the vectors of the chunks that a
// change adds are appended, a deleted library's are dropped. Dead rows stay.
type rowsView struct {
	store *rows.Store
	at    change.Stamp
	run   []byte
}

func (v *rowsView) name() string        { return "row files" }
func (v *rowsView) stamp() change.Stamp { return v.at }

func (v *rowsView) apply(c *commit) error {
	doc := 0
	var (
		key  rows.Key
		next uint64 // the number that would continue the run
		n    int
	)
	v.run = v.run[:0]
	flush := func() error {
		if n == 0 {
			return nil
		}
		err := v.store.Append(key, next-uint64(n), v.run, n)
		v.run, n = v.run[:0], 0
		return err
	}
	for i := range c.records {
		r := &c.records[i]
		if r.Kind == change.LibraryDeleted {
			if err := flush(); err != nil {
				return err
			}
			if err := v.store.DropLibrary(r.Library); err != nil {
				return err
			}
		}
		if !isDocument(r.Kind) {
			continue
		}
		d := &c.docs[doc]
		doc++
		for j := range d.Added {
			ch := &d.Added[j]
			for _, vec := range ch.Vectors {
				k := rows.Key{Library: r.Library, Space: vec.Space, Generation: vec.Generation, Dim: vec.Dim()}
				if n > 0 && (k != key || ch.Num != next) {
					if err := flush(); err != nil {
						return err
					}
				}
				key, next = k, ch.Num+1
				v.run = append(v.run, vec.Raw...)
				n++
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	v.at = c.stamp
	return nil
}
