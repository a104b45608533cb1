package httpd

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

// maxK bounds the results of a plain search; a streamed one has
// engine.MaxResults.
const maxK = 10_000

// maxAnswerBytes bounds the answer of a plain search, which is made in memory.
const maxAnswerBytes = 64 << 20

// A searchCall is a search as it was asked for, checked.
type searchCall struct {
	req engine.SearchRequest
	hit engine.HitOptions
}

// parseSearch reads and checks a search.
func parseSearch(src []byte, most int) (*searchCall, error) {
	in, err := docjson.ParseSearch(src)
	if err != nil {
		return nil, err
	}
	s := &searchCall{hit: engine.HitOptions{Text: true, Metadata: true, Highlight: in.Highlight}}
	r := &s.req
	r.Query, r.Embedding, r.Exact, r.MaxDistance = in.Query, in.Embedding, in.Exact, in.Threshold
	if err := s.mode(in); err != nil {
		return nil, err
	}
	if r.K = engine.DefaultK; in.K != nil {
		if r.K = *in.K; r.K < 1 || r.K > most {
			return nil, change.BadField("k", "k is %d: it must be between 1 and %d", r.K, most)
		}
	}
	if in.Ef != nil {
		if r.Ef = *in.Ef; r.Ef < 1 || r.Ef > engine.MaxResults {
			return nil, change.BadField("ef", "ef is %d: it must be between 1 and %d", r.Ef, engine.MaxResults)
		}
	}
	if err := checkQueryVector(in.Embedding); err != nil {
		return nil, err
	}
	if in.Filter != nil {
		if r.Filter, err = parseFilter(in.Filter); err != nil {
			return nil, err
		}
	}
	return s, s.include(in.Include)
}

func checkQueryVector(v []float32) error {
	if len(v) > engine.MaxDimension {
		return change.BadField("embedding", "the embedding has %d elements, the limit is %d", len(v), engine.MaxDimension)
	}
	for i, f := range v {
		if math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
			return change.BadField("embedding", "element %d is %v: every element is a finite float32", i, f)
		}
	}
	return nil
}

// mode checks the mode, and what belongs to hybrid searches only.
func (s *searchCall) mode(in *docjson.Search) error {
	r := &s.req
	switch r.Mode = engine.SearchMode(in.Mode); r.Mode {
	case "":
		r.Mode = engine.VectorSearch
	case engine.VectorSearch, engine.KeywordSearch, engine.HybridSearch:
	default:
		return change.BadField("mode", "%q is not one of vector, keyword, hybrid", clip(in.Mode))
	}
	if r.Mode != engine.HybridSearch {
		for name, given := range map[string]bool{"fusion": in.Fusion != "", "vector_weight": in.Weight != nil, "rrf_k": in.RRFK != nil} {
			if given {
				return change.BadField(name, "%s belongs to mode \"hybrid\"", name)
			}
		}
		return nil
	}
	switch r.Fusion = engine.Fusion(in.Fusion); r.Fusion {
	case "":
		r.Fusion = engine.RelativeFusion
	case engine.RelativeFusion, engine.RankFusion:
	default:
		return change.BadField("fusion", "%q is neither relative nor rrf", clip(in.Fusion))
	}
	if r.VectorWeight = in.Weight; in.Weight != nil && !(*in.Weight >= 0 && *in.Weight <= 1) {
		return change.BadField("vector_weight", "vector_weight is %v: it must be between 0 and 1", *in.Weight)
	}
	if in.RRFK != nil {
		if r.Fusion != engine.RankFusion {
			return change.BadField("rrf_k", "rrf_k belongs to fusion \"rrf\"")
		}
		if r.RRFK = *in.RRFK; !(r.RRFK >= 1 && r.RRFK <= 1e6) {
			return change.BadField("rrf_k", "rrf_k is %v: it must be between 1 and 1000000", r.RRFK)
		}
	}
	return nil
}

func (s *searchCall) include(words []string) error {
	if words == nil {
		return nil
	}
	s.hit.Text, s.hit.Metadata = false, false
	for i, w := range words {
		switch w {
		case "text":
			s.hit.Text = true
		case "metadata":
			s.hit.Metadata = true
		case "embeddings", "embedding":
			s.hit.Embedding = true
		default:
			return change.BadField("include["+strconv.Itoa(i)+"]", "%q is not one of text, metadata, embeddings", clip(w))
		}
	}
	return nil
}

// search answers one search.
func (c *call) search() error {
	body, err := c.body()
	if err != nil {
		return err
	}
	s, err := parseSearch(body, maxK)
	if err != nil {
		return err
	}
	start := time.Now()
	r, err := c.db.Search(c.s.cut, c.vars[0], &s.req)
	if err != nil {
		return err
	}
	defer r.Close()
	b := append(make([]byte, 0, 512+512*r.Len()), `{"results":[`...)
	for i := range r.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = r.AppendHit(b, i, s.hit, ""); err != nil {
			return err
		}
		if len(b) > maxAnswerBytes {
			return change.Errorf(change.TooLarge, "the first %d of %d hits take more than %d bytes: ask for fewer, leave out text or metadata (include), or use search/stream", i+1, r.Len(), maxAnswerBytes).With("limit", maxAnswerBytes)
		}
	}
	b = append(b, `],"total":`...)
	b = strconv.AppendInt(b, int64(r.Len()), 10)
	b = append(b, `,"took_ms":`...)
	b = appendMillis(b, time.Since(start))
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, r.Seq, 10)
	b = append(b, `,"index":`...)
	b = append(docjson.AppendString(b, r.Index), '}')
	return c.raw(200, b)
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', -1, 64)
}

// searchStreamBytes is how much of a streamed answer goes out in one write, once
// the first hits have gone out.
const searchStreamBytes = 64 << 10

// searchStream answers many searches, each hit a line or an event, as they are
// found.
func (c *call) searchStream() error {
	body, err := c.body("application/json", "application/x-ndjson")
	if err != nil {
		return err
	}
	body = bytes.Clone(body) // it outlives the request
	if !c.db.HasLibrary(c.vars[0]) {
		return change.Errorf(change.LibraryNotFound, "library %q does not exist", clip(c.vars[0]))
	}
	out := &searchWriter{c: c, id: c.requestID(), lib: c.vars[0], sse: acceptsEvents(c)}
	o := hijackOptions{contentType: "application/x-ndjson", chunked: true}
	if out.sse {
		o.contentType, o.headers = "text/event-stream", "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
	}
	head := c.db.Head()
	o.headers += "Arrwdb-Seq: " + strconv.FormatUint(head.Seq, 10) + "\r\nArrwdb-Position: " + head.String() + "\r\n"
	return c.hijack(o, func(st *stream) {
		out.st = st
		n := 0
		for _, q := range searchBodies(body) {
			if !out.one(n, q) {
				return
			}
			n++
		}
		st.end()
	})
}

func acceptsEvents(c *call) bool {
	return strings.Contains(string(c.ctx.Request.Header.Peek("Accept")), "text/event-stream")
}

// searchBodies takes a body apart: one search in any layout, or one a line.
func searchBodies(body []byte) [][]byte {
	if _, err := docjson.Valid(body); err == nil {
		return [][]byte{body}
	}
	var out [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		out = append(out, nil) // its error says what is expected
	}
	return out
}

// A searchWriter writes the answers of a streamed search.
type searchWriter struct {
	c   *call
	st  *stream
	id  string
	lib string
	sse bool
	buf []byte
}

// one answers one search. It reports whether the client is still there.
func (w *searchWriter) one(n int, src []byte) bool {
	start := time.Now()
	s, err := parseSearch(src, engine.MaxResults)
	var r *engine.SearchResult
	if err == nil {
		r, err = w.c.db.Search(w.st.ctx, w.lib, &s.req)
	}
	if err != nil {
		return w.failed(n, err)
	}
	defer r.Close()
	query := strconv.Itoa(n)
	head := `"type":"result","query":` + query + ","
	for i := range r.Len() {
		whole := len(w.buf)
		w.begin("result")
		if w.buf, err = r.AppendHit(w.buf, i, s.hit, head); err != nil {
			w.buf = w.buf[:whole] // the hits before it go out
			return w.failed(n, err)
		}
		w.end()
		// The first hits go out at once.
		if (i == 9 || len(w.buf) >= searchStreamBytes) && !w.flush() {
			return false
		}
	}
	w.begin("done")
	w.buf = append(append(w.buf, `{"type":"done","query":`...), query...)
	w.buf = strconv.AppendInt(append(w.buf, `,"total":`...), int64(r.Len()), 10)
	w.buf = appendMillis(append(w.buf, `,"took_ms":`...), time.Since(start))
	w.buf = strconv.AppendUint(append(w.buf, `,"seq":`...), r.Seq, 10)
	w.buf = docjson.AppendString(append(w.buf, `,"index":`...), r.Index)
	w.buf = append(w.buf, '}')
	w.end()
	return w.flush()
}

func (w *searchWriter) failed(n int, err error) bool {
	w.c.logFault(err)
	w.begin("error")
	w.buf = append(w.buf, problemJSON(asError(err), w.id, map[string]any{"type": "error", "query": n})...)
	w.end()
	return w.flush()
}

func (w *searchWriter) begin(event string) {
	if w.sse {
		w.buf = append(append(append(w.buf, "event: "...), event...), "\ndata: "...)
	}
}

func (w *searchWriter) end() {
	if w.buf = append(w.buf, '\n'); w.sse {
		w.buf = append(w.buf, '\n')
	}
}

func (w *searchWriter) flush() bool {
	ok := w.st.write(w.buf) && !w.st.gone()
	w.buf = w.buf[:0]
	return ok
}
