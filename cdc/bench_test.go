package cdc_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
)

// loop is a log that hands out the same frame again and again under new seqs, so
// that a benchmark measures the feed and not the fake.
type loop struct {
	*memLog
	frame cdc.Frame
}

type loopReader struct {
	l    *loop
	next uint64
	out  cdc.Frame
}

func (l *loop) ReadLog(from uint64) (cdc.FrameReader, error) {
	n := uint64(len(l.frame.Records))
	r := &loopReader{l: l, next: (from-1)/n*n + 1, out: cdc.Frame{Chain: 7}}
	r.out.Records = append(r.out.Records, l.frame.Records...)
	return r, nil
}

func (r *loopReader) Next() (*cdc.Frame, error) {
	if r.next > r.l.head {
		return nil, io.EOF
	}
	for i := range r.out.Records {
		r.out.Records[i].Seq = r.next
		r.next++
	}
	return &r.out, nil
}

func (r *loopReader) Close() error { return nil }

func newLoop(perFrame, size int) *loop {
	l := &loop{memLog: newLog()}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range perFrame {
		vector := make([]float32, 128)
		for k := range vector {
			vector[k] = float32(r.NormFloat64() * 0.1)
		}
		rec := record(change.DocumentAdded, &change.DocumentChange{Time: 1_700_000_000_000_000, CreatedAt: 1_700_000_000_000_000, NumChunks: 1,
			LibraryID: "papers", ID: fmt.Sprintf("doc-%d", i), Title: "On the measurement of things", Metadata: []byte(`{"year":2017,"tags":["nlp","ir"]}`),
			Added: []change.Chunk{{ID: "0", Text: strings.Repeat("lorem ipsum ", size/12), Vectors: []change.Vector{{Raw: change.AppendRaw(nil, vector)}}}}})
		rec.Flags = change.GroupFirst | change.GroupLast
		l.frame.Records = append(l.frame.Records, rec)
	}
	l.head = uint64(perFrame) << 40
	return l
}

// BenchmarkReplay is one reader that reads the log far from the head.
func BenchmarkReplay(b *testing.B) {
	for _, c := range []struct {
		name string
		q    cdc.Query
		f    cdc.Format
	}{
		{"ndjson", cdc.Query{}, cdc.NDJSON},
		{"sse", cdc.Query{}, cdc.SSE},
		{"websocket", cdc.Query{}, cdc.WebSocket},
		{"embeddings", cdc.Query{Include: cdc.IncludeEmbeddings}, cdc.NDJSON},
		{"none", cdc.Query{Include: cdc.IncludeNone}, cdc.NDJSON},
		{"library", cdc.Query{Libraries: []string{"papers"}}, cdc.NDJSON},
		{"otherlibrary", cdc.Query{Libraries: []string{"other"}}, cdc.NDJSON},
	} {
		for _, perFrame := range []int{1, 64} {
			b.Run(fmt.Sprintf("read=%s/size=1k/frame=%d", c.name, perFrame), func(b *testing.B) {
				c.q.From = fromStart
				cur, err := cdc.NewHub(newLoop(perFrame, 1024), cdc.Options{}).Open(&c.q)
				if err != nil {
					b.Fatal(err)
				}
				defer cur.Close()
				var buf []byte
				b.ReportAllocs()
				bytes, events := 0, 0
				for events < b.N {
					var n cdc.Batch
					var err error
					if buf, n, err = cur.AppendBatch(buf[:0], c.f, cdc.Limits{}); err != nil {
						b.Fatal(err)
					}
					bytes += len(buf)
					events += n.Scanned
				}
				b.SetBytes(int64(bytes / events))
				b.ReportMetric(float64(events)/b.Elapsed().Seconds()/1000, "kevents/s")
			})
		}
	}
}

// BenchmarkFanOut is many readers at the head, who share the ring: the cost of an
// event for each of them.
func BenchmarkFanOut(b *testing.B) {
	for _, readers := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("readers=%d/size=1k/frame=8", readers), func(b *testing.B) {
			l := newLoop(8, 1024)
			l.head = 0
			h := cdc.NewHub(l, cdc.Options{})
			var all []*cdc.Cursor
			for range readers {
				c, err := h.Open(&cdc.Query{})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				all = append(all, c)
			}
			var buf []byte
			b.ReportAllocs()
			for events := 0; events < b.N; {
				l.head += 8
				for _, c := range all {
					var n cdc.Batch
					var err error
					if buf, n, err = c.AppendBatch(buf[:0], cdc.SSE, cdc.Limits{}); err != nil || n.Events != 8 {
						b.Fatal(n, err)
					}
					events += n.Events
				}
			}
		})
	}
}
