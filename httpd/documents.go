package httpd

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
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
