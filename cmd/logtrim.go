package cmd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/engine"
)

// logTrim removes what a policy lets go of a log that no server holds. It may be
// interrupted anywhere: the plan is durable before the first file goes, and the next
// start completes it.
func (a *app) logTrim() *cobra.Command {
	var data string
	var f retentionFlags
	cmd := &cobra.Command{
		Use:   "trim",
		Short: "Remove old changes from the log of a directory that no server holds",
		Long: "Makes everything else durable first, and then removes the segments that the retention\n" +
			"lets go: older than --retention and not among the newest --retention-min-bytes, and the\n" +
			"oldest while the log is larger than --retention-max-bytes. Readers of the feed that have\n" +
			"not come so far are told offset_expired.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.withDirectory(data, false, func(db *engine.DB) error {
				if err := db.Checkpoint(); err != nil {
					return err
				}
				before := db.LogStats().Bytes
				r, err := db.Trim(f.policy())
				if err != nil {
					return err
				}
				if a.wantsJSON() {
					return json.NewEncoder(a.out).Encode(map[string]any{"segments": r.Segments, "bytes": r.Bytes, "bytes_before": before, "bytes_after": before - r.Bytes, "earliest_seq": r.Earliest, "holders": r.Holders})
				}
				fmt.Fprintf(a.out, "removed %d segments, %d of %d bytes; the log begins at seq %d\n", r.Segments, r.Bytes, before, r.Earliest)
				for _, h := range r.Holders {
					if h.Bytes > 0 {
						fmt.Fprintf(a.out, "%d bytes stay for: %s, which has come to seq %d\n", h.Bytes, h.Name, h.Seq)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&data, "data", "data", "data directory")
	f.register(cmd.Flags())
	return cmd
}
