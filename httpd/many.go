package httpd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Limits of requests on many documents.
const (
	maxMany  = 10_000
	maxBatch = 1_000

	// maxAnswer bounds an answer that is made in memory.
	maxAnswer = 256 << 20
)

func (c *call) listDocuments() error {
	limit, err := c.queryInt("limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	after, err := c.cursor("documents/" + c.vars[0])
	if err != nil {
		return err
	}
	f, err := c.filterParam()
	if err != nil {
		return err
	}
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return err
	}
	b, n, last, more := []byte(`{"documents":[`), 0, "", false
	err = snap.Documents(lib, after, f, engine.ReadOptions{Embeddings: embeddings}, func(v *docjson.View) bool {
		if n == limit || len(b) > int(c.s.o.MaxBodyBytes) {
			more = true
			return false
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = docjson.AppendView(b, v, embeddings)
		n, last = n+1, v.ID
		return true
	})
	if err != nil {
		return err
	}
	b = append(b, `],"next_cursor":`...)
	if more {
		b = docjson.AppendString(b, makeCursor("documents/"+c.vars[0], last))
	} else {
		b = append(b, "null"...)
	}
	return c.raw(200, append(b, '}'))
}

func (c *call) count() error {
	f, err := c.filterParam()
	if err != nil {
		return err
	}
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return err
	}
	n, err := snap.Count(lib, f)
	if err != nil {
		return err
	}
	return c.json(200, struct {
		Count uint64 `json:"count"`
	}{n})
}

func (c *call) getDocuments() error {
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	var req struct {
		IDs *[]string `json:"ids"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}
	if req.IDs == nil {
		return change.BadField("ids", "\"ids\" is missing: an array of document ids")
	}
	if len(*req.IDs) > maxMany {
		return change.BadField("ids", "%d ids, the limit is %d", len(*req.IDs), maxMany).With("limit", maxMany)
	}
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return err
	}
	b := []byte(`{"documents":[`)
	for i, id := range *req.IDs {
		if i > 0 {
			b = append(b, ',')
		}
		v, err := snap.Document(lib, id, embeddings)
		if e := (*change.Error)(nil); asCode(err, change.DocumentNotFound, &e) {
			b = append(b, "null"...)
			continue
		}
		if err != nil {
			return err
		}
		if b = docjson.AppendView(b, v, embeddings); len(b) > maxAnswer {
			return change.Errorf(change.TooLarge, "the answer is larger than %d bytes: ask for fewer documents at once, or export them", maxAnswer).With("limit", maxAnswer)
		}
	}
	return c.raw(200, append(b, "]}"...))
}

func (c *call) deleteDocuments() error {
	var req struct {
		IDs    *[]string       `json:"ids"`
		Filter json.RawMessage `json:"filter"`
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := decodeStrict(body, &req); err != nil {
		return err
	}
	if (req.IDs == nil) == (req.Filter == nil) {
		return change.BadField("ids", "send either \"ids\" or \"filter\"")
	}
	ids, err := c.matching(req.IDs, req.Filter)
	if err != nil {
		return err
	}
	if len(ids) > maxMany {
		return change.BadField("ids", "more than %d documents would be deleted at once; delete them in parts", maxMany).With("limit", maxMany)
	}
	g := &engine.Group{}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			g.Ops = append(g.Ops, engine.Op{Kind: engine.OpDelete, Library: c.vars[0], ID: id})
		}
	}
	answer := func(out []engine.Outcome) (int, []byte) {
		n, last := 0, uint64(0)
		for i := range out {
			if out[i].Result == engine.Deleted {
				n, last = n+1, out[i].Seq
			}
		}
		if last == 0 {
			return 200, fmt.Appendf(nil, `{"deleted":%d,"last_seq":null}`, n)
		}
		return 200, fmt.Appendf(nil, `{"deleted":%d,"last_seq":%d}`, n, last)
	}
	if g.Once, err = c.once(body, answer); err != nil {
		return err
	}
	r, err := c.db.Commit(c.s.cut, g)
	if err != nil {
		return err
	}
	if r.Replayed != nil {
		return c.replay(r)
	}
	for i := range r.Outcomes {
		if e := r.Outcomes[i].Err; e != nil && e.Code != change.DocumentNotFound && e.Code != change.InvalidArgument {
			return e
		}
	}
	c.saw(r.Position)
	status, b := answer(r.Outcomes)
	return c.raw(status, b)
}

// matching returns the ids that a request on many documents means.
func (c *call) matching(ids *[]string, raw json.RawMessage) ([]string, error) {
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return nil, err
	}
	if ids != nil {
		return *ids, nil
	}
	f, err := parseFilter(raw)
	if err != nil {
		return nil, err
	}
	var out []string
	err = snap.IDs(lib, f, func(id string, _ uint64) bool {
		out = append(out, id)
		return len(out) <= maxMany
	})
	return out, err
}

type batchOperation struct {
	Op       string          `json:"op"`
	ID       string          `json:"id"`
	Document json.RawMessage `json:"document"`
	IfMatch  json.RawMessage `json:"if_match"`
}

func (c *call) batch() error {
	var req struct {
		Operations *[]json.RawMessage `json:"operations"`
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := decodeStrict(body, &req); err != nil {
		return err
	}
	if req.Operations == nil || len(*req.Operations) == 0 || len(*req.Operations) > maxBatch {
		return change.BadField("operations", "\"operations\" is an array of 1 to %d operations", maxBatch).With("limit", maxBatch)
	}
	g := &engine.Group{Atomic: true}
	for i := range *req.Operations {
		op, err := c.batchOp((*req.Operations)[i])
		if err != nil {
			e := *asError(err)
			if e.Field != "" {
				e.Field = fmt.Sprintf("operations[%d].%s", i, e.Field)
			}
			e.Detail = fmt.Sprintf("operation %d: %s", i, e.Detail)
			return (&e).With("operation", i)
		}
		g.Ops = append(g.Ops, *op)
	}
	answer := func(out []engine.Outcome) (int, []byte) {
		b := []byte(`{"results":[`)
		for i := range out {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(docjson.AppendString(append(b, `{"id":`...), out[i].ID), `,"seq":`...)
			b = append(strconv.AppendUint(b, out[i].Seq, 10), '}')
		}
		b = append(b, `],"last_seq":`...)
		return 200, append(strconv.AppendUint(b, out[len(out)-1].Seq, 10), '}')
	}
	if g.Once, err = c.once(body, answer); err != nil {
		return err
	}
	r, err := c.db.Commit(c.s.cut, g)
	if err != nil {
		e := asError(err)
		if _, named := e.Extra["operation"]; !named && len(g.Ops) == 1 {
			e = &change.Error{Code: e.Code, Detail: "operation 0: " + e.Detail, Field: e.Field, Extra: e.Extra, Err: e.Err}
			return e.With("operation", 0)
		}
		return e
	}
	if r.Replayed != nil {
		return c.replay(r)
	}
	c.saw(r.Position)
	status, b := answer(r.Outcomes)
	return c.raw(status, b)
}

func (c *call) batchOp(raw json.RawMessage) (*engine.Op, error) {
	o := new(batchOperation)
	if err := decodeStrict(raw, o); err != nil {
		return nil, err
	}
	op := &engine.Op{Library: c.vars[0], ID: o.ID}
	if len(o.IfMatch) > 0 && string(o.IfMatch) != "null" {
		seq, err := parseETag("if_match", strings.ReplaceAll(string(bytes.Trim(o.IfMatch, `"`)), `\"`, ""))
		if err != nil {
			return nil, err
		}
		op.IfMatch = seq
	}
	if o.Op != "delete" && len(o.Document) == 0 {
		return nil, change.BadField("document", "\"document\" is missing")
	}
	if o.Op != "put" && o.ID == "" {
		return nil, change.BadField("id", "\"id\" is missing")
	}
	switch o.Op {
	case "put":
		op.Kind, op.Doc = engine.OpPut, new(docjson.Document)
		if err := docjson.Parse(op.Doc, o.Document, docjson.Limits{}); err != nil {
			return nil, err
		}
		if op.Doc.ID != "" && o.ID != "" && op.Doc.ID != o.ID {
			return nil, change.BadField("id", "the operation says id %q, its document %q", clip(o.ID), op.Doc.ID)
		}
	case "patch":
		title, metadata, err := docjson.ParseMergePatch(o.Document, "id")
		if err != nil {
			return nil, err
		}
		op.Kind, op.Patch = engine.OpPatch, &engine.Patch{Title: title, Metadata: metadata}
	case "delete":
		if len(o.Document) > 0 {
			return nil, change.BadField("document", "a delete takes no document")
		}
		op.Kind = engine.OpDelete
	default:
		return nil, change.BadField("op", "op %q is not one of put, patch, delete", clip(o.Op))
	}
	return op, nil
}
