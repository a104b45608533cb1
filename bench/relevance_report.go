package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A JudgedSet says what the cases "set=NAME/…" were judged by.
type JudgedSet struct {
	Name      string `json:"name"`
	Documents int    `json:"documents"`
	Queries   int    `json:"queries"`
	Tuning    int    `json:"queries_tuning"`   // that the weight was chosen by
	HeldOut   int    `json:"queries_held_out"` // that the figures are of
	// Digest is the same for the same documents and queries.
	Digest string `json:"digest"`
	// Measure is what the weight was chosen by.
	Measure string        `json:"measure"`
	Weights []WeightTried `json:"weights,omitempty"`
	Weight  *float64      `json:"weight,omitempty"` // the chosen one
	// Reference is what BM25 alone has reached, on all queries of a like set.
	Reference map[string]float64 `json:"reference,omitempty"`
}

// A WeightTried is what a weight reached on the tuning half.
type WeightTried struct {
	Weight float64 `json:"weight"`
	Tuning float64 `json:"tuning"`
}

// writeRelevance writes a table for each set.
func (r *Report) writeRelevance(w io.Writer) error {
	env := r.Environment
	fmt.Fprintf(w, "%s: seed %d, %s, commit %s, %s\n", r.Workload, r.Options.Seed, env.Date, orUnknown(env.Commit), env.Go)
	fmt.Fprintln(w, "Figures are of the queries that were held out when the weight was chosen; \"all\" is of all queries.")
	for _, s := range r.Sets {
		fmt.Fprintf(w, "\n%s: %s documents, %s queries: %s to choose the weight by, %s held out; data %s\n", s.Name, figure(float64(s.Documents)), figure(float64(s.Queries)),
			figure(float64(s.Tuning)), figure(float64(s.HeldOut)), s.Digest)
		if err := r.writeSet(w, s); err != nil {
			return err
		}
	}
	if r.Weight != nil {
		fmt.Fprintf(w, "\nThe weight that is best for all sets together, on the queries to choose by: %v\n", *r.Weight)
	}
	return nil
}

func (r *Report) writeSet(w io.Writer, s JudgedSet) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	var head []string // the measures, without those that are about other queries
	prefix := "set=" + s.Name + "/"
	for _, c := range r.Cases {
		if strings.HasPrefix(c.Name, prefix) && head == nil {
			for _, m := range c.Metrics {
				if _, of, more := strings.Cut(m.Name, " "); m.Name != "refused" && (!more || of == "all") {
					head = append(head, m.Name)
				}
			}
		}
	}
	fmt.Fprintf(t, "ranking\t%s\t%s above keyword\t\n", strings.Join(head, "\t"), s.Measure)
	for _, c := range r.Cases {
		name, ok := strings.CutPrefix(c.Name, prefix)
		if !ok {
			continue
		}
		fmt.Fprintf(t, "%s", name)
		for _, h := range head {
			m, _ := c.Metric(h)
			fmt.Fprintf(t, "\t%.3f", m.Value)
		}
		above := ""
		if m, ok := c.Metric(s.Measure + " above keyword"); ok {
			off, _ := c.Metric(m.Name + " ±")
			above = fmt.Sprintf("%+.3f ± %.3f", m.Value, off.Value)
		}
		fmt.Fprintf(t, "\t%s\t%s\n", above, s.remark(c))
	}
	if slices.ContainsFunc(head, func(h string) bool { return s.reference(h) != "" }) {
		fmt.Fprint(t, "BM25 (README)")
		for _, h := range head {
			fmt.Fprintf(t, "\t%s", s.reference(h))
		}
		fmt.Fprintln(t, "\t\t")
	}
	return t.Flush()
}

// remark says what is special about a case.
func (s JudgedSet) remark(c Case) string {
	var out []string
	if s.Weight != nil && len(s.Weights) > 1 && strings.HasSuffix(c.Name, "/weight="+strconv.FormatFloat(*s.Weight, 'g', -1, 64)) {
		out = append(out, "chosen")
	}
	if m, ok := c.Metric("refused"); ok {
		out = append(out, figure(m.Value)+" queries refused")
	}
	return strings.Join(out, ", ")
}

// reference is the known figure for a column, "" where there is none.
func (s JudgedSet) reference(column string) string {
	measure, ok := strings.CutSuffix(column, " all")
	if v, known := s.Reference[measure]; ok && known {
		return fmt.Sprintf("%.3f", v)
	}
	return ""
}
