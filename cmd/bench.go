package cmd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/bench"
)

// benchCommand returns "arrwdb bench", with a command for each workload.
func (a *app) benchCommand() *cobra.Command {
	e := &bench.Env{}
	var only string
	var uploadMB int64
	var verbose bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the log, ingest, the feed, searches and their quality",
		Long: "Each workload runs in a directory of its own below --dir, which is removed afterwards;\n" +
			"ingest, feed and search start a server of their own there. The raw sync time of the same\n" +
			"directory is measured in alternation with the repetitions and printed beside them.\n" +
			"relevance needs no device: it judges the answers of searches, on data that apt fetches, as for search --texts debian.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("bench wal, bench ingest, bench feed, bench search, bench recover or bench relevance")
		},
	}
	f := c.PersistentFlags()
	f.StringVar(&e.Dir, "dir", ".", "directory on the device to be measured")
	f.Uint64Var(&e.Seed, "seed", 1, "seed of the documents")
	f.IntVar(&e.Reps, "reps", 10, "repetitions of each case")
	f.DurationVar(&e.Warmup, "warmup", 0, "warm-up of each case (default half of --duration)")
	f.DurationVar(&e.Duration, "duration", 0, "length of a repetition (default 1s)")
	f.IntVar(&e.Docs, "docs", 30_000, "documents of one upload; a replay has four times as many; of each data set of relevance (default there all)")
	f.Int64Var(&uploadMB, "upload-mb", 300, "MB of the upload whose memory is measured")
	f.StringVar(&e.Texts, "texts", "", "NDJSON file with members \"text\", that search finds by words; \"debian\": descriptions and definitions that apt fetches (default made up)")
	f.StringVar(&e.Data, "data", "", "directory where relevance keeps what it fetches (default arrwdb-bench-data below --dir)")
	f.IntVar(&e.Queries, "queries", 1000, "queries that relevance samples of a data set; debtags has as many as there are tags")
	f.StringVar(&only, "only", "", "regular expression: run only the cases whose names match")
	f.StringVar(&e.Program, "program", "", "measure the serve of this program (default this one)")
	f.StringArrayVar(&e.ServeArgs, "serve-arg", nil, "further argument of serve; may be repeated")
	f.BoolVarP(&verbose, "verbose", "v", false, "say more on standard error")
	c.AddCommand(a.echoCommand())
	for _, w := range bench.Workloads() {
		c.AddCommand(&cobra.Command{
			Use:   w.Name(),
			Short: w.Doc(),
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				if only != "" {
					re, err := regexp.Compile(only)
					if err != nil {
						return usagef("--only: %v", err)
					}
					e.Only = re
				}
				if c.Flags().Changed("docs") {
					e.DocLimit = e.Docs
				}
				e.UploadBytes = uploadMB * 1_000_000
				level := slog.LevelInfo
				if verbose {
					level = slog.LevelDebug
				}
				e.Logger = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
				report, err := bench.Run(c.Context(), w, e)
				switch {
				case report == nil || len(report.Cases) == 0:
					return err
				case a.wantsJSON():
					return errors.Join(err, a.json(report))
				}
				return errors.Join(err, report.WriteTable(a.out))
			},
		})
	}
	return c
}

// echoCommand is for the benchmarks themselves: a process beside which a server is
// measured. It ends with its standard input.
func (a *app) echoCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "echo",
		Short:  "Answer with as many bytes as are asked for, after as much work",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, ln.Addr())
			go func() {
				_, _ = io.Copy(io.Discard, a.in)
				ln.Close()
			}()
			return bench.Echo(ln)
		},
	}
}
