package httpd

import (
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

func (c *call) getSource() error {
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return err
	}
	if !docjson.ValidID(c.vars[1]) {
		return change.BadField("source", "a source's name matches %s", docjson.IDPattern)
	}
	lines, seq, err := snap.Source(lib, c.vars[1])
	if err != nil {
		return err
	}
	return c.json(200, struct {
		Lines uint64 `json:"lines"`
		Seq   uint64 `json:"seq"`
	}{lines, seq})
}

func (c *call) deleteSource() error {
	r, err := c.db.DeleteSource(c.s.cut, c.vars[0], c.vars[1])
	if err != nil {
		return err
	}
	c.saw(r.Position)
	return c.json(200, struct {
		ID string `json:"id"`
	}{c.vars[1]})
}
