package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Report is what one workload measured.
type Report struct {
	Workload    string      `json:"workload"`
	Cases       []Case      `json:"cases"`
	Environment Environment `json:"environment"`
	Options     Options     `json:"options"`
	TookSeconds float64     `json:"took_seconds"`
	// Of relevance: what it judges by, and the weight that is best over all of it.
	Sets   []JudgedSet `json:"sets,omitempty"`
	Weight *float64    `json:"weight,omitempty"`
}

// Options are those that the figures depend on.
type Options struct {
	Seed        uint64   `json:"seed"`
	Reps        int      `json:"reps"`
	WarmupMS    float64  `json:"warmup_ms"`
	DurationMS  float64  `json:"duration_ms"`
	Docs        int      `json:"docs"`
	UploadBytes int64    `json:"upload_bytes"`
	Texts       string   `json:"texts,omitempty"`
	DocLimit    int      `json:"doc_limit,omitempty"`
	Queries     int      `json:"queries,omitempty"`
	ServeArgs   []string `json:"serve_args,omitempty"`
	Only        string   `json:"only,omitempty"`
}

// A Case is one combination of parameters, which its name spells out.
type Case struct {
	Name    string   `json:"name"`
	Reps    int      `json:"reps"`
	Metrics []Metric `json:"metrics"`
	// RawSync is the median of the raw probes that were run in alternation with
	// the repetitions, field by field.
	RawSync *Sync `json:"raw_sync,omitempty"`
	// RawSamples are those probes.
	RawSamples []Sync `json:"raw_samples,omitempty"`
}

// A Metric is one figure: the median of its samples, one a repetition.
type Metric struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Value   float64   `json:"value"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"`
	Goal    *Goal     `json:"goal,omitempty"`
}

// A Goal is a bound that the project has set itself.
type Goal struct {
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
}

func atLeast(v float64) *Goal { return &Goal{AtLeast: &v} }
func atMost(v float64) *Goal  { return &Goal{AtMost: &v} }

// Met reports whether v is within the goal.
func (g *Goal) Met(v float64) bool {
	return (g.AtLeast == nil || v >= *g.AtLeast) && (g.AtMost == nil || v <= *g.AtMost)
}

func (g *Goal) String() string {
	switch {
	case g.AtLeast != nil:
		return "≥ " + figure(*g.AtLeast)
	case g.AtMost != nil:
		return "≤ " + figure(*g.AtMost)
	}
	return ""
}

// Metric returns the metric of that name.
func (c *Case) Metric(name string) (Metric, bool) {
	for _, m := range c.Metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}

// finish computes the medians, and drops metrics that were not measured.
func (c *Case) finish(raws []Sync) error {
	kept := c.Metrics[:0]
	for _, m := range c.Metrics {
		if len(m.Samples) == 0 {
			continue
		}
		m.Value = Median(m.Samples)
		m.Min, m.Max = m.Samples[0], m.Samples[0]
		for _, v := range m.Samples {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%s: %s is %v", c.Name, m.Name, v)
			}
			m.Min, m.Max = min(m.Min, v), max(m.Max, v)
		}
		kept = append(kept, m)
	}
	c.Metrics = kept
	if len(raws) == 0 {
		return nil
	}
	var mean, p50, p99 []float64
	n := 0
	for _, s := range raws {
		mean, p50, p99 = append(mean, s.Mean), append(p50, s.P50), append(p99, s.P99)
		n += s.Writes
	}
	c.RawSync = &Sync{Bytes: raws[0].Bytes, Writes: n, Mean: Median(mean), P50: Median(p50), P99: Median(p99)}
	c.RawSamples = raws
	return nil
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	if len(r.Sets) > 0 {
		return r.writeRelevance(w)
	}
	env := r.Environment
	fmt.Fprintf(w, "%s: %d repetitions, seed %d, %s\n", r.Workload, r.Options.Reps, r.Options.Seed, env.Date)
	fmt.Fprintf(w, "commit %s, %s, %s/%s, %s, %d cores, %s memory, kernel %s, %s\n\n", orUnknown(env.Commit), env.Go,
		env.OS, env.Arch, orUnknown(env.CPU), env.Cores, sizeOf(env.MemoryBytes), orUnknown(env.Kernel), orUnknown(env.Filesystem))
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "case\tfigure\tmedian\tmin … max\tgoal")
	for _, c := range r.Cases {
		name := c.Name
		for _, m := range c.Metrics {
			goal := ""
			if m.Goal != nil {
				goal = m.Goal.String() + " met"
				if !m.Goal.Met(m.Value) {
					goal = m.Goal.String() + " MISSED"
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%s %s\t%s … %s\t%s\n", name, m.Name, figure(m.Value), m.Unit, figure(m.Min), figure(m.Max), goal)
			name = ""
		}
		if s := c.RawSync; s != nil {
			fmt.Fprintf(t, "%s\traw sync beside\t%s µs\tmean %s, p99 %s\t%d B + fdatasync\n", name, figure(s.P50), figure(s.Mean), figure(s.P99), s.Bytes)
		}
	}
	return t.Flush()
}

// figure prints three digits at least, and no more than are of use.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func sizeOf(b int64) string {
	if b == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(b)/(1<<30))
}
