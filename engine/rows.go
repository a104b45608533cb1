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
	runs  []rows.Run
}

func (v *rowsView) name() string        { return "the row files" }
func (v *rowsView) stamp() change.Stamp { return v.at }

func (v *rowsView) apply(c *commit) error {
	v.runs = v.runs[:0]
	doc := 0
	for i := range c.records {
		r := &c.records[i]
		if r.Kind == change.LibraryDeleted {
			if err := v.flush(); err != nil {
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
				v.runs = append(v.runs, rows.Run{Key: rowKey(r.Library, vec), Num: ch.Num, Raw: vec.Raw})
			}
		}
	}
	if err := v.flush(); err != nil {
		return err
	}
	v.at = c.stamp
	return nil
}

func (v *rowsView) flush() error {
	if len(v.runs) == 0 {
		return nil
	}
	err := v.store.Append(v.runs...)
	clear(v.runs)
	v.runs = v.runs[:0]
	return err
}

func rowKey(lib uint32, v change.Vector) rows.Key {
	return rows.Key{Library: lib, Space: v.Space, Generation: v.Generation, Dim: uint32(v.Dim())}
}
