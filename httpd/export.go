package httpd

import (
	"strconv"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// exportBytes is how much of an export goes out in one write.
const exportBytes = 256 << 10

// export streams one consistent state of a library as lines.
func (c *call) export() error {
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	f, err := c.filterParam()
	if err != nil {
		return err
	}
	snap := c.db.Snapshot()
	lib, n, head, err := c.exportHead(snap, f)
	if err != nil {
		snap.Close()
		return err
	}
	if c.ctx.IsHead() {
		snap.Close()
		c.ctx.Response.Header.SetContentType("application/x-ndjson")
		c.ctx.Response.Header.Set("Arrwdb-Documents", strconv.FormatUint(n, 10))
		return nil
	}
	id := c.requestID()
	err = c.hijack(hijackOptions{contentType: "application/x-ndjson", headers: head, chunked: true}, func(st *stream) {
		defer snap.Close()
		buf := make([]byte, 0, exportBytes+64<<10)
		alive := true
		err := snap.Documents(lib, "", f, engine.ReadOptions{Embeddings: embeddings}, func(v *docjson.View) bool {
			buf = append(docjson.AppendView(buf, v, embeddings), '\n')
			if len(buf) >= exportBytes {
				alive = st.write(buf) && !st.gone()
				buf = buf[:0]
			}
			return alive
		})
		if !alive {
			return
		}
		if err != nil {
			buf = append(buf, problemJSON(asError(err), id, map[string]any{"type": "error", "fatal": true})...)
			st.write(append(buf, '\n'))
			return
		}
		if len(buf) > 0 && !st.write(buf) {
			return
		}
		st.end()
	})
	if err != nil {
		snap.Close()
	}
	return err
}

// exportHead says what the export will hold: the exact seq, and how many
// documents.
func (c *call) exportHead(snap *engine.Snapshot, f *filter.Filter) (*engine.Library, uint64, string, error) {
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return nil, 0, "", err
	}
	n, err := snap.Count(lib, f)
	if err != nil {
		return nil, 0, "", err
	}
	at, err := snap.Position()
	if err != nil {
		return nil, 0, "", err
	}
	c.saw(at)
	head := "Arrwdb-Seq: " + strconv.FormatUint(at.Seq, 10) + "\r\nArrwdb-Position: " + at.String() + "\r\nArrwdb-Documents: " + strconv.FormatUint(n, 10) + "\r\n"
	return lib, n, head, nil
}
