package httpd

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
)

// Page sizes of lists.
const (
	defaultPage = 100
	maxPage     = 1000
)

// libraryView is a library as the API shows it.
type libraryView struct {
	ID          string                   `json:"id"`
	Name        string                   `json:"name"`
	Description string                   `json:"description"`
	Metadata    json.RawMessage          `json:"metadata"`
	Dimension   engine.Dimension         `json:"dimension"`
	Metric      string                   `json:"metric"`
	Index       engine.IndexSettings     `json:"index"`
	Embedding   engine.EmbeddingSettings `json:"embedding"`
	Chunking    engine.ChunkingSettings  `json:"chunking"`
	Analyzer    engine.AnalyzerSettings  `json:"analyzer"`
	CreatedAt   string                   `json:"created_at"`
	UpdatedAt   string                   `json:"updated_at"`
	Seq         uint64                   `json:"seq"`
	Stats       engine.LibraryStats      `json:"stats"`
}

func viewLibrary(l *engine.Library) *libraryView {
	return &libraryView{ID: l.ID, Name: l.Name, Description: l.Description, Metadata: l.Metadata, Dimension: l.Dimension, Metric: l.Metric, Index: l.Index, Embedding: l.Embedding,
		Chunking: l.Chunking, Analyzer: l.Analyzer, CreatedAt: timeText(l.CreatedAt), UpdatedAt: timeText(l.UpdatedAt), Seq: l.Seq, Stats: l.Stats}
}

func timeText(micros int64) string {
	return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano)
}

func (c *call) createLibrary() error {
	var spec engine.LibrarySpec
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := decodeStrict(body, &spec); err != nil {
		return err
	}
	// A service costs money, and is told the texts.
	if e := spec.Embedding; e != nil && e.Provider == "openai" && c.key != nil && c.key.Role != engine.RoleAdmin {
		return change.Errorf(change.PermissionDenied, "a library with embedding provider \"openai\" needs an admin key")
	}
	if c.scope() != nil && (spec.ID == nil || !c.allows(*spec.ID)) {
		return change.Errorf(change.PermissionDenied, "your key is limited to some libraries; it can create those only, by their \"id\"")
	}
	var answer []byte
	once, err := c.once(body, func(out []engine.Outcome) (int, []byte) {
		answer, _ = json.Marshal(viewLibrary(out[0].Library))
		return 201, answer
	})
	if err != nil {
		return err
	}
	lib, receipt, err := c.db.CreateLibrary(c.s.cut, &spec, once)
	if err != nil {
		return err
	}
	if receipt.Replayed != nil {
		return c.replay(receipt)
	}
	c.saw(receipt.Position)
	c.ctx.Response.Header.Set("Location", "/v1/libraries/"+lib.ID)
	return c.json(201, viewLibrary(lib))
}

func (c *call) patchLibrary() error {
	var patch engine.LibraryPatch
	if err := c.decode(&patch, "application/json", "application/merge-patch+json"); err != nil {
		return err
	}
	lib, receipt, err := c.db.UpdateLibrary(c.s.cut, c.vars[0], &patch, nil)
	if err != nil {
		return err
	}
	c.saw(receipt.Position)
	return c.json(200, viewLibrary(lib))
}

func (c *call) deleteLibrary() error {
	receipt, err := c.db.DeleteLibrary(c.s.cut, c.vars[0])
	if err != nil {
		return err
	}
	return c.deleted(c.vars[0], receipt)
}

func (c *call) deleted(id string, r *engine.Receipt) error {
	c.saw(r.Position)
	return c.json(200, struct {
		ID  string `json:"id"`
		Seq uint64 `json:"seq"`
	}{id, r.LastSeq})
}

func (c *call) getLibrary() error {
	snap := c.db.Snapshot()
	defer snap.Close()
	lib, err := snap.Library(c.vars[0])
	if err != nil {
		return err
	}
	return c.json(200, viewLibrary(lib))
}

func (c *call) listLibraries() error {
	limit, err := c.queryInt("limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	after, err := c.cursor("libraries")
	if err != nil {
		return err
	}
	snap := c.db.Snapshot()
	defer snap.Close()
	libs, err := snap.Libraries(after, limit+1, c.scope())
	if err != nil {
		return err
	}
	out := struct {
		Libraries []*libraryView `json:"libraries"`
		Next      *string        `json:"next_cursor"`
	}{Libraries: []*libraryView{}}
	for i, l := range libs {
		if i == limit {
			next := makeCursor("libraries", libs[limit-1].ID)
			out.Next = &next
			break
		}
		out.Libraries = append(out.Libraries, viewLibrary(l))
	}
	return c.json(200, out)
}

// makeCursor makes an opaque cursor: what is listed, and the last id shown.
func makeCursor(list, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + "\n" + last))
}

// cursor reads the cursor of a list, "" where there is none.
func (c *call) cursor(list string) (after string, err error) {
	if !c.has("cursor") {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(c.query("cursor"))
	got, last, ok := strings.Cut(string(b), "\n")
	if err != nil || !ok || got != list || last == "" {
		return "", change.Errorf(change.InvalidCursor, "the cursor is not one that this list gave; start without a cursor")
	}
	return last, nil
}
