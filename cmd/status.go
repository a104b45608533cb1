package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/engine"
)

func (a *app) statusCommand() *cobra.Command {
	var p *place
	cmd := &cobra.Command{Use: "status", Short: "Say how a server, or a directory, does", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		raw, err := p.status(cmd.Context())
		if err != nil {
			return err
		}
		if a.wantsJSON() {
			return a.json(raw)
		}
		var v map[string]any
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
		for _, line := range flatten(nil, "", v) {
			fmt.Fprintln(w, line)
		}
		return w.Flush()
	}}
	p = a.placeFlags(cmd, false)
	return cmd
}

func (p *place) status(ctx context.Context) (json.RawMessage, error) {
	offline, err := p.offline()
	if err != nil {
		return nil, err
	}
	if !offline {
		return p.client().Status(ctx)
	}
	var raw json.RawMessage
	err = p.a.withDirectory(p.data, false, func(db *engine.DB) error {
		raw, err = json.Marshal(struct {
			Version string `json:"version"`
			engine.Status
		}{Version, db.Status()})
		return err
	})
	return raw, err
}

// flatten lists what an object holds, one "path<tab>value" each: plain values
// first, then what lies deeper.
func flatten(lines []string, path string, v map[string]any) []string {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, deep := range []bool{false, true} {
		for _, name := range names {
			inner, isObject := v[name].(map[string]any)
			switch {
			case isObject && deep:
				lines = flatten(lines, path+name+".", inner)
			case !isObject && !deep:
				lines = append(lines, path+name+"\t"+plainValue(v[name]))
			}
		}
	}
	return lines
}

func plainValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	case float64:
		if v == float64(int64(v)) {
			return fmt.Sprint(int64(v))
		}
		return fmt.Sprintf("%.3f", v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
