package httpd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// Limits of requests on many documents.
const (
	maxMany  = 10_000
	maxBatch = 1_000

	// maxAnswer bounds an answer that is made in memory.
	maxAnswer = 256 << 20
)

var documentPool = sync.Pool{New: func() any { return new(docjson.Document) }}

// parseDocument parses the body as a document. The document aliases the body and
// goes back to the pool with release.
func (c *call) parseDocument() (doc *docjson.Document, body []byte, release func(), err error) {
	if body, err = c.body(); err != nil {
		return nil, nil, nil, err
	}
	doc = documentPool.Get().(*docjson.Document)
	release = func() { documentPool.Put(doc) }
	if err := docjson.Parse(doc, body, docjson.Limits{}); err != nil {
		release()
		return nil, nil, nil, err
	}
	return doc, body, release, nil
}

// viewOutcome is the document that a put has made.
func viewOutcome(lib string, out *engine.Outcome, doc *docjson.Document) *docjson.View {
	return &docjson.View{LibraryID: lib, ID: out.ID, Title: out.Title, Metadata: out.Metadata, Seq: out.Seq, CreatedAt: out.CreatedAt,
		UpdatedAt: out.UpdatedAt, NumChunks: out.NumChunks, Chunks: doc.Chunks}
}

func (c *call) postDocument() error {
	upsert, err := c.queryBool("upsert")
	if err != nil {
		return err
	}
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	doc, body, release, err := c.parseDocument()
	if err != nil {
		return err
	}
	defer release()
	op := engine.Op{Kind: engine.OpPut, Library: c.vars[0], Doc: doc, Mode: engine.Insert}
	if upsert {
		op.Mode = engine.Upsert
	}
	g := &engine.Group{Ops: []engine.Op{op}, Atomic: true}
	answer := func(out []engine.Outcome) (int, []byte) {
		status := 201
		if out[0].Result == engine.Updated {
			status = 200
		}
		return status, docjson.AppendView(nil, viewOutcome(c.vars[0], &out[0], doc), embeddings)
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
	c.ctx.Response.Header.Set("Location", "/v1/libraries/"+c.vars[0]+"/documents/"+r.Outcomes[0].ID)
	return c.document(r, answer)
}

// document answers a write with the document.
func (c *call) document(r *engine.Receipt, answer func([]engine.Outcome) (int, []byte)) error {
	c.saw(r.Position)
	c.setETag(r.Outcomes[0].Seq)
	status, body := answer(r.Outcomes)
	return c.raw(status, body)
}

func (c *call) putDocument() error {
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	ifMatch, err := c.ifMatch()
	if err != nil {
		return err
	}
	op := engine.Op{Kind: engine.OpPut, Library: c.vars[0], ID: c.vars[1], IfMatch: ifMatch}
	if v := string(c.ctx.Request.Header.Peek("If-None-Match")); v == "*" {
		op.Mode = engine.Insert
	} else if v != "" {
		return change.BadField("If-None-Match", "%q is not *", clip(v))
	}
	doc, _, release, err := c.parseDocument()
	if err != nil {
		return err
	}
	defer release()
	if doc.ID != "" && doc.ID != op.ID {
		return change.BadField("id", "the body says id %q, the path %q", doc.ID, clip(op.ID))
	}
	op.Doc = doc
	r, err := c.db.Commit(c.s.cut, &engine.Group{Ops: []engine.Op{op}, Atomic: true})
	if e := (*change.Error)(nil); op.Mode == engine.Insert && asCode(err, change.AlreadyExists, &e) {
		return change.Errorf(change.PreconditionFailed, "document %q exists, If-None-Match: * asked for it not to", op.ID).With("seq", e.Extra["seq"])
	}
	if err != nil {
		return err
	}
	return c.document(r, func(out []engine.Outcome) (int, []byte) {
		status := 200
		if out[0].Result == engine.Added {
			status = 201
		}
		return status, docjson.AppendView(nil, viewOutcome(c.vars[0], &out[0], doc), embeddings)
	})
}

func asCode(err error, code change.Code, e **change.Error) bool {
	if err == nil {
		return false
	}
	*e = asError(err)
	return (*e).Code == code
}

// ifMatch reads If-Match: a seq as an ETag; nil where it is absent. A * asks for
// the document to exist, which PATCH and DELETE do anyway.
func (c *call) ifMatch() (*uint64, error) {
	v := string(c.ctx.Request.Header.Peek("If-Match"))
	if v == "" || v == "*" && !c.ctx.IsPut() {
		return nil, nil
	}
	return parseETag("If-Match", v)
}

func parseETag(field, v string) (*uint64, error) {
	n, err := strconv.ParseUint(strings.Trim(v, `"`), 10, 64)
	if err != nil {
		return nil, change.BadField(field, "%q is not the ETag of a document, which is its seq in quotes", clip(v))
	}
	return &n, nil
}

func (c *call) patchDocument() error {
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	ifMatch, err := c.ifMatch()
	if err != nil {
		return err
	}
	body, err := c.body("application/json", "application/merge-patch+json")
	if err != nil {
		return err
	}
	title, metadata, err := docjson.ParseMergePatch(body)
	if err != nil {
		return err
	}
	r, err := c.db.Commit(c.s.cut, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpPatch, Library: c.vars[0], ID: c.vars[1], IfMatch: ifMatch,
		Patch: &engine.Patch{Title: title, Metadata: metadata}}}})
	if err != nil {
		return err
	}
	return c.readBack(r, 200, embeddings)
}

// readBack answers a write that left the chunks alone, or changed some of them,
// with the document as it was read after the write. A write that came between
// shows in its seq.
func (c *call) readBack(r *engine.Receipt, status int, embeddings bool) error {
	out := &r.Outcomes[0]
	v, err := c.readDocument(c.vars[0], out.ID, embeddings)
	if e := (*change.Error)(nil); asCode(err, change.DocumentNotFound, &e) || asCode(err, change.LibraryNotFound, &e) {
		v, err = viewOutcome(c.vars[0], out, &docjson.Document{}), nil
	}
	if err != nil {
		return err
	}
	c.saw(r.Position)
	c.setETag(v.Seq)
	return c.raw(status, docjson.AppendView(nil, v, embeddings))
}

func (c *call) readDocument(lib, id string, embeddings bool) (*docjson.View, error) {
	snap := c.db.Snapshot()
	defer snap.Close()
	l, err := snap.Library(lib)
	if err != nil {
		return nil, err
	}
	return snap.Document(l, id, embeddings)
}

// documentPath returns the library and the document of a route, which may have
// the library in the query.
func (c *call) documentPath() (lib, doc string, err error) {
	if len(c.vars) == 2 {
		return c.vars[0], c.vars[1], nil
	}
	if lib = c.query("library_id"); lib == "" {
		return "", "", change.BadField("library_id", "say in which library the document is: ?library_id=")
	}
	if !c.allows(lib) {
		return "", "", libraryNotFound(lib)
	}
	return lib, c.vars[0], nil
}

func (c *call) getDocument() error {
	lib, id, err := c.documentPath()
	if err != nil {
		return err
	}
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	v, err := c.readDocument(lib, id, embeddings)
	if err != nil {
		return err
	}
	c.setETag(v.Seq)
	if etag := string(c.ctx.Request.Header.Peek("If-None-Match")); etag != "" && etag == fmt.Sprintf("%q", strconv.FormatUint(v.Seq, 10)) {
		c.ctx.Response.SetStatusCode(304)
		return nil
	}
	return c.raw(200, docjson.AppendView(nil, v, embeddings))
}

func (c *call) deleteDocument() error {
	lib, id, err := c.documentPath()
	if err != nil {
		return err
	}
	ifMatch, err := c.ifMatch()
	if err != nil {
		return err
	}
	r, err := c.db.Commit(c.s.cut, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpDelete, Library: lib, ID: id, IfMatch: ifMatch}}})
	if err != nil {
		return err
	}
	return c.deleted(id, r)
}

// filterParam reads filter=, nil where it is absent.
func (c *call) filterParam() (*filter.Filter, error) {
	if !c.has("filter") {
		return nil, nil
	}
	return parseFilter([]byte(c.query("filter")))
}

func parseFilter(b []byte) (*filter.Filter, error) {
	f, err := filter.Parse(b)
	if err != nil {
		return nil, change.Errorf(change.InvalidFilter, "%v", err)
	}
	return f, nil
}

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

func (c *call) addChunks() error {
	embeddings, err := c.includeEmbeddings()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	doc := new(docjson.Document)
	if err := docjson.ParseChunks(doc, body, docjson.Limits{}); err != nil {
		return err
	}
	g := &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpAddChunks, Library: c.vars[0], ID: c.vars[1], Doc: doc}}}
	// The answer that is remembered has the chunks that were added: the whole
	// document is not known where the order is decided.
	g.Once, err = c.once(body, func(out []engine.Outcome) (int, []byte) {
		return 201, docjson.AppendView(nil, viewOutcome(c.vars[0], &out[0], doc), embeddings)
	})
	if err != nil {
		return err
	}
	r, err := c.db.Commit(c.s.cut, g)
	if err != nil {
		return err
	}
	if r.Replayed != nil {
		return c.replay(r)
	}
	return c.readBack(r, 201, embeddings)
}

func (c *call) deleteChunk() error {
	r, err := c.db.Commit(c.s.cut, &engine.Group{Atomic: true, Ops: []engine.Op{{Kind: engine.OpDeleteChunk, Library: c.vars[0], ID: c.vars[1], Chunk: c.vars[2]}}})
	if err != nil {
		return err
	}
	return c.deleted(c.vars[2], r)
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
