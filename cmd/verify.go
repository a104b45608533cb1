package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/engine"
)

func (a *app) verifyCommand() *cobra.Command {
	var data string
	var full bool
	cmd := &cobra.Command{Use: "verify", Short: "Check the log, the store and the row files; never writes", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		rep, err := engine.Verify(nil, data, engine.VerifyOptions{Full: full})
		if err != nil {
			return err
		}
		if a.wantsJSON() {
			if err := a.json(rep); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(a.out, "log      %d segments, %d frames, %d records, %d bytes, up to seq %d\n", rep.Segments, rep.Frames, rep.Records, rep.LogBytes, rep.LastSeq)
			fmt.Fprintf(a.out, "store    durable up to seq %d: %d libraries, %d documents, %d chunks\n", rep.StoreSeq, rep.Libraries, rep.Documents, rep.Chunks)
			fmt.Fprintf(a.out, "vectors  durable up to seq %d, %d blocks checked\n", rep.RowsSeq, rep.RowBlocks)
			if rep.TornBytes > 0 {
				fmt.Fprintf(a.out, "the log ends in %d bytes of a torn frame that was never acknowledged\n", rep.TornBytes)
			}
			for _, p := range rep.Problems {
				fmt.Fprintln(a.out, "DAMAGE  ", p)
			}
			if len(rep.Problems) == 0 {
				fmt.Fprintln(a.out, "no damage found")
			}
		}
		if len(rep.Problems) > 0 {
			return errDamage
		}
		return nil
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory")
	cmd.Flags().BoolVar(&full, "full", false, "also read every table of the store and every block of vectors")
	return cmd
}
