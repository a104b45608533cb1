package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
)

type searchFlags struct {
	*place
	library, query string
	mode           string
	k              int
	filter         string
}

func (a *app) searchCommand() *cobra.Command {
	f := &searchFlags{}
	cmd := &cobra.Command{Use: "search LIB QUERY", Short: "Search a library by meaning and by word", Args: cobra.MinimumNArgs(2),
		Long: "Search a library by meaning and by word. Words in \"quotes\" must stand so in the text. A library\n" +
			"without an embedding provider is searched by word, unless --mode says otherwise."}
	f.place = a.placeFlags(cmd, false)
	fl := cmd.Flags()
	fl.StringVar(&f.mode, "mode", "", "hybrid, vector (by meaning) or keyword (default: hybrid, or keyword where nothing embeds the query)")
	fl.IntVarP(&f.k, "k", "k", engine.DefaultK, "how many hits, at most 10,000")
	fl.StringVar(&f.filter, "filter", "", "only chunks whose metadata match, for example {\"year\":{\"$gte\":2017}}")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.library, f.query = args[0], strings.Join(args[1:], " ")
		return a.search(cmd.Context(), f)
	}
	return cmd
}

func (a *app) search(ctx context.Context, f *searchFlags) error {
	switch f.mode {
	case "", "hybrid", "vector", "keyword":
	default:
		return usagef("--mode %q is not hybrid, vector or keyword", f.mode)
	}
	if f.k < 1 || f.k > 10_000 {
		return usagef("-k %d is not between 1 and 10000", f.k)
	}
	offline, err := f.offline()
	if err != nil {
		return err
	}
	var answer *client.SearchAnswer
	if offline {
		answer, err = a.searchOffline(ctx, f)
	} else {
		answer, err = f.searchServer(ctx)
	}
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.json(answer)
	}
	writeHits(a.out, answer, terminal(a.out))
	a.message("%d hits in %.1f ms, the state at seq %d", answer.Total, answer.TookMS, answer.Seq)
	return nil
}

// modeFor is the mode for a library with a provider, where none was asked for.
func (f *searchFlags) modeFor(provider string) string {
	switch {
	case f.mode != "":
		return f.mode
	case provider == "none":
		return "keyword"
	}
	return "hybrid"
}

func (f *searchFlags) searchServer(ctx context.Context) (*client.SearchAnswer, error) {
	c := f.client()
	lib, err := c.Library(ctx, f.library)
	if err != nil {
		return nil, err
	}
	return c.Search(ctx, f.library, client.Search{Query: f.query, K: f.k, Mode: f.modeFor(lib.Embedding.Provider), Filter: json.RawMessage(f.filter), Highlight: true})
}

// searchOffline searches in a directory as a server would.
func (a *app) searchOffline(ctx context.Context, f *searchFlags) (*client.SearchAnswer, error) {
	out := &client.SearchAnswer{Results: []client.Hit{}}
	flt, err := filter.Parse([]byte(f.filter))
	if err != nil {
		return nil, usagef("--filter: %v", err)
	}
	return out, a.withDirectory(f.data, false, func(db *engine.DB) error {
		snap := db.Snapshot()
		lib, err := snap.Library(f.library)
		snap.Close()
		if err != nil {
			return err
		}
		mode := engine.SearchMode(f.modeFor(lib.Embedding.Provider))
		r, err := db.Search(ctx, f.library, &engine.SearchRequest{Query: f.query, K: f.k, Mode: mode, Filter: flt})
		if err != nil {
			return err
		}
		defer r.Close()
		out.Total, out.Seq, out.Index, out.TookMS = r.Len(), r.Seq, r.Index, float64(r.Took.Microseconds())/1000
		for i := range r.Len() {
			raw, err := r.AppendHit(nil, i, engine.HitOptions{Text: true, Metadata: true, Highlight: true}, "")
			if err != nil {
				return err
			}
			var h client.Hit
			if err := json.Unmarshal(raw, &h); err != nil {
				return err
			}
			out.Results = append(out.Results, h)
		}
		return nil
	})
}

// writeHits writes hits for people: a line with rank, score, title and ids, and the
// parts of the text that the query's words stand in.
func writeHits(w io.Writer, answer *client.SearchAnswer, fancy bool) {
	for _, h := range answer.Results {
		title := h.Title
		if h.Highlight != nil && len(h.Highlight.Title) > 0 {
			title = strings.Join(h.Highlight.Title, " … ")
		}
		fmt.Fprintf(w, "%3d  %.3f  %s  %s\n", h.Rank, h.Score, emphasise(title, fancy), dim(h.DocumentID+"/"+h.ChunkID, fancy))
		text := ""
		if h.Highlight != nil && len(h.Highlight.Text) > 0 {
			text = strings.Join(h.Highlight.Text, " … ")
		} else if h.Text != nil {
			text = *h.Text
		}
		if text != "" {
			fmt.Fprintf(w, "            %s\n", emphasise(text, fancy))
		}
	}
}

// emphasise shows what stands between <em> and </em> in bold, or between stars where
// there is no terminal. Control characters of texts stay out of terminals.
func emphasise(s string, fancy bool) string {
	on, off := "*", "*"
	if fancy {
		on, off = "\x1b[1m", "\x1b[0m"
	}
	return strings.NewReplacer("<em>", on, "</em>", off).Replace(clipText(s, maxShown))
}

// maxShown bounds what is shown of a text; what is highlighted is shorter.
const maxShown = 400

func dim(s string, fancy bool) string {
	if fancy {
		return "\x1b[2m" + s + "\x1b[0m"
	}
	return s
}
