package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// ExportOptions says what is exported; its zero value is every document, without
// vectors.
type ExportOptions struct {
	Embeddings bool
	Filter     string
	// Begin is called before the first document.
	Begin func(ExportInfo)
}

// ExportInfo says what an export holds.
type ExportInfo struct {
	Seq       uint64 // the state that was exported: exactly the changes up to here
	Position  string // the same as a position, from which the feed goes on
	Documents uint64
}

// Export writes one consistent state of a library to w, one document a line, in
// the order of their ids. On an error w holds whole lines, but not all of them.
func (c *Client) Export(ctx context.Context, lib string, w io.Writer, o ExportOptions) (ExportInfo, error) {
	q := url.Values{}
	if o.Embeddings {
		q.Set("include", "embeddings")
	}
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	res, err := c.Do(ctx, "GET", libraryPath(lib)+"/documents/stream", q, nil, nil)
	if err != nil {
		return ExportInfo{}, err
	}
	defer res.Body.Close()
	info := ExportInfo{Seq: seqHeader(res.Header), Position: res.Header.Get("Arrwdb-Position")}
	info.Documents, _ = strconv.ParseUint(res.Header.Get("Arrwdb-Documents"), 10, 64)
	if o.Begin != nil {
		o.Begin(info)
	}
	r := bufio.NewReaderSize(res.Body, 256<<10)
	var n uint64
	for line := []byte(nil); ; n++ {
		line, err = readLine(r, line[:0])
		if err == io.EOF {
			break
		}
		if err != nil {
			return info, err
		}
		if bytes.HasPrefix(line, []byte(`{"type":"error"`)) || bytes.Contains(line, []byte(`"fatal":true`)) && !bytes.HasPrefix(line, []byte(`{"id":`)) {
			return info, parseProblem(line)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return info, err
		}
	}
	if n != info.Documents {
		return info, fmt.Errorf("%d documents came of the %d that were announced", n, info.Documents)
	}
	return info, nil
}
