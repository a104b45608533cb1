package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/internal/docjson"
)

func TestPercentiles(t *testing.T) {
	if v := Median([]float64{5, 1, 3}); v != 3 {
		t.Errorf("median of three: %v", v)
	}
	if v := Median([]float64{4, 1, 3, 2}); v != 2.5 {
		t.Errorf("median of four: %v", v)
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Percentile(nil, 50)) {
		t.Error("nothing has a median")
	}
	var v []float64
	for i := range 100 {
		v = append(v, float64(100-i))
	}
	for p, want := range map[float64]float64{0: 1, 1: 1, 50: 50, 99: 99, 99.5: 100, 100: 100} {
		if got := Percentile(v, p); got != want {
			t.Errorf("p%v: %v, want %v", p, got, want)
		}
	}
	a, b := newLatency(), newLatency()
	for i := range 1000 {
		a.record(time.Duration(i+1) * time.Microsecond)
		b.record(time.Hour) // taken as a minute
	}
	both := merged([]latency{a, b})
	if both.count() != 2000 {
		t.Errorf("count: %d", both.count())
	}
	if p := a.micros(50); p < 499 || p > 501 {
		t.Errorf("p50: %v", p)
	}
	if p := both.micros(99); p < 59.9e6 || p > 60.1e6 {
		t.Errorf("p99: %v", p)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	p, err := NewProbe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "probe")); err != nil || st.Size() != probeBytes {
		t.Fatal(st, err)
	}
	for _, size := range []int{1, 1104, probeBytes} {
		s, err := p.Measure(size, time.Microsecond)
		if err != nil {
			t.Fatal(err)
		}
		if s.Bytes != size || s.Writes < 1 || s.Mean <= 0 || s.P50 <= 0 || s.P99 < s.P50 {
			t.Errorf("%+v", s)
		}
	}
	p.at = probeBytes - 10 // it goes round, and the file does not grow
	if _, err := p.Measure(100, 0); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "probe")); err != nil || st.Size() != probeBytes {
		t.Fatal(st, err)
	}
	for _, size := range []int{0, probeBytes + 1} {
		if _, err := p.Measure(size, 0); err == nil {
			t.Errorf("a probe of %d bytes", size)
		}
	}
	p.Close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDocs(t *testing.T) {
	a, b, other := newDocs(1, streamDoc), newDocs(1, streamDoc), newDocs(2, streamDoc)
	seen := map[string]bool{}
	same := 0
	for i := range docPool + 10 {
		line := a.appendNext(nil)
		if !bytes.Equal(line, b.appendNext(nil)) {
			t.Fatalf("document %d of one seed differs", i)
		}
		if bytes.Equal(line, other.appendNext(nil)) {
			same++
		}
		d := new(docjson.Document)
		if err := docjson.Parse(d, line, docjson.Limits{}); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seen[d.ID] {
			t.Fatalf("%s comes twice", d.ID)
		}
		seen[d.ID] = true
		var doc struct {
			Chunks []struct {
				Text      string
				Embedding []float64
			}
		}
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatal(err)
		}
		if c := doc.Chunks[0]; len(strings.Fields(c.Text)) != 100 || len(c.Embedding) != 128 {
			t.Fatalf("%d words, %d floats", len(strings.Fields(c.Text)), len(c.Embedding))
		}
	}
	if same > 0 {
		t.Errorf("%d documents are the same with another seed", same)
	}
	if id := string(appendID(nil, 1234567)); id != "d000001234567" {
		t.Error(id)
	}
	if got := newWords(3).text([]byte("x"), 1024); len(got) != 1025 {
		t.Errorf("%d bytes of text", len(got))
	}
}

func TestReport(t *testing.T) {
	c := Case{Name: "size=1k/writers=1/sync=on", Reps: 3, Metrics: []Metric{
		{Name: "rate", Unit: "docs/s", Samples: []float64{3000, 1000, 2000}, Goal: atLeast(1500)},
		{Name: "p99", Unit: "µs", Samples: []float64{3, 5, 4}, Goal: atMost(3.5)},
		{Name: "unmeasured", Unit: "MB"},
	}}
	if err := c.finish([]Sync{{Bytes: 10, Writes: 1, Mean: 1, P50: 3, P99: 9}, {Bytes: 10, Writes: 2, Mean: 2, P50: 2, P99: 8}, {Bytes: 10, Writes: 3, Mean: 9, P50: 1, P99: 7}}); err != nil {
		t.Fatal(err)
	}
	if m, ok := c.Metric("rate"); !ok || m.Value != 2000 || m.Min != 1000 || m.Max != 3000 {
		t.Errorf("%+v", m)
	}
	if _, ok := c.Metric("unmeasured"); ok {
		t.Error("a metric without samples is kept")
	}
	if want := (Sync{Bytes: 10, Writes: 6, Mean: 2, P50: 2, P99: 8}); *c.RawSync != want {
		t.Errorf("%+v", *c.RawSync)
	}
	r := &Report{Workload: "wal", Cases: []Case{c}, Environment: describe(t.TempDir(), time.Unix(0, 0))}
	var table, js bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{c.Name, "2,000 docs/s", "≥ 1,500 met", "≤ 3.50 MISSED", "raw sync beside", "1970-01-01T00:00:00Z"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	if err := json.NewEncoder(&js).Encode(r); err != nil {
		t.Fatal(err)
	}
	var back Report
	d := json.NewDecoder(&js)
	d.DisallowUnknownFields()
	if err := d.Decode(&back); err != nil || back.Cases[0].RawSync.P50 != 2 || len(back.Cases[0].RawSamples) != 3 {
		t.Errorf("%v: %+v", err, back)
	}
	bad := Case{Metrics: []Metric{{Name: "rate", Samples: []float64{math.Inf(1)}}}}
	if bad.finish(nil) == nil {
		t.Error("an infinite figure is no fault")
	}
	for v, want := range map[float64]string{1234567: "1,234,567", -1234: "-1,234", 999: "999", 12.345: "12.3", 1.5: "1.50", 0.1234: "0.123", 0: "0", 60: "60"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
}

// quick is an Env in which everything is over soon.
func quick(t *testing.T, only string) *Env {
	return &Env{Dir: t.TempDir(), Seed: 1, Reps: 2, Warmup: time.Millisecond, Duration: 20 * time.Millisecond, Docs: 300, UploadBytes: 2_000_000,
		Only: regexp.MustCompile(only), Start: startHere(t), probeFor: 5 * time.Millisecond}
}

// cases runs a workload and checks that every case has all its figures and that
// nothing is left behind.
func cases(t *testing.T, w string, e *Env) []Case {
	t.Helper()
	work, ok := Find(w)
	if !ok {
		t.Fatalf("no workload %q", w)
	}
	r, err := Run(context.Background(), work, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		if syncs := w != "search" || strings.HasPrefix(c.Name, "ingest/"); syncs && (c.RawSync == nil || c.RawSync.P50 <= 0) {
			t.Errorf("%s: no raw sync time", c.Name)
		}
		for _, m := range c.Metrics {
			if len(m.Samples) != c.Reps {
				t.Errorf("%s: %d samples of %s", c.Name, len(m.Samples), m.Name)
			}
		}
		if m, ok := c.Metric("rate"); !ok || m.Value <= 0 {
			t.Errorf("%s: rate %v", c.Name, m.Value)
		}
	}
	if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return r.Cases
}

func TestWAL(t *testing.T) {
	if r, err := Run(context.Background(), walWorkload{}, quick(t, "read=")); err != nil || len(r.Cases) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := cases(t, "wal", quick(t, "writers=(1|8)/")); len(got) != 2 {
		t.Errorf("%d cases", len(got))
	}
}

func TestRunFaults(t *testing.T) {
	e := quick(t, "no such case")
	w, _ := Find("wal")
	if _, err := Run(context.Background(), w, e); err == nil || !strings.Contains(err.Error(), "no such case") {
		t.Error(err)
	}
	e.Only = nil
	e.Duration = time.Hour
	e.Warmup = time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, w, e); err == nil {
		t.Error("a run whose context has ended has no fault")
	}
	if left, _ := os.ReadDir(e.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	e.Dir = filepath.Join(e.Dir, "missing")
	if _, err := Run(context.Background(), w, e); err == nil {
		t.Error("a missing directory is no fault")
	}
	if _, ok := Find("nothing"); ok {
		t.Error("found nothing")
	}
}
