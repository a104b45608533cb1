package cmd

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/cmd/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{Out: a.out, Fancy: terminal(a.out), Line: func(e client.Event) string { return eventLine(&e) }}
	cmd := &cobra.Command{Use: "demo", Short: "A tour in some seconds: a server, real documents, the feed, a crash", Args: cobra.NoArgs,
		Long: "Start a server of its own, load 5,000 real documents, follow the feed, kill the server in the\n" +
			"middle of an upload, and see upload and feed go on. Then the server stays for you to try.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			return demo.Run(cmd.Context(), o)
		}}
	cmd.Flags().StringVar(&o.Data, "data", "", "data directory to keep, new or empty (default: one that goes at the end)")
	cmd.Flags().StringVar(&o.Listen, "listen", defaultListen, "address of the server; where it is taken, a free port")
	cmd.Flags().BoolVar(&o.Exit, "exit", false, "end after the tour instead of serving on")
	return cmd
}
