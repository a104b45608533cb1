package cdc_test

import (
	"strings"
	"testing"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/index/filter"
)

// The filter of searches is the filter of the feed, on documents and on chunks,
// with and without metadata.
func TestRealFilter(t *testing.T) {
	log := newLog()
	log.commit(one(added("a", "x", ``, "t")))                            // 1
	log.commit(one(patched("a", "x", ``, `{"year":2017}`)))              // 2
	log.commit(one(patched("a", "x", `{"year":2017}`, `{"year":2018}`))) // 3
	log.commit(one(patched("a", "x", `{"year":2018}`, `{"year":2016}`))) // 4
	log.commit(one(record(change.ChunkAdded, &change.DocumentChange{LibraryID: "a", ID: "x", NumChunks: 2, Metadata: []byte(`{"year":2016}`),
		Prev: &change.Image{Seq: 4, Metadata: []byte(`{"year":2016}`)}, Added: []change.Chunk{{ID: "1", Metadata: []byte(`{"year":2019}`)}}}))) // 5
	for src, want := range map[string]string{
		`{"year":{"$gte":2017}}`:       "2enter 3stay 4leave 5enter",
		`{"year":{"$exists":false}}`:   "1enter 2leave",
		`{"$not":{"year":2016}}`:       "1enter 2stay 3stay 4leave 5enter",
		`{"year":2019,"other":"none"}`: "",
	} {
		f, err := filter.Parse([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, cdc.NewHub(log, cdc.Options{}), cdc.Query{From: fromStart, Filter: f})
		var got []string
		for _, e := range drain(t, c, cdc.Limits{}) {
			_, m, _ := strings.Cut(string(e.Data), `"match":"`)
			got = append(got, e.Sequence+strings.TrimSuffix(m, `"}`))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %s, want %s", src, s, want)
		}
	}
}
