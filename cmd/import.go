package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/engine/ingest"
)

type importFlags struct {
	*place
	library       string
	create        bool
	embedding     string
	mode, onError string
	source        string
	patience      time.Duration
	in            *input
}

func (a *app) importCommand() *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{Use: "import LIB FILE…|-", Short: "Import documents, one JSON object a line",
		Long: "Import documents from files or standard input (-), one JSON object a line; gzip and zstd\n" +
			"are unpacked. Several files are taken as one. What failed for a reason that may pass is\n" +
			"tried again, and every line is taken once.",
		Args: cobra.MinimumNArgs(2)}
	f.place = a.placeFlags(cmd, false)
	fl := cmd.Flags()
	fl.BoolVar(&f.create, "create", false, "create the library where there is none")
	fl.StringVar(&f.embedding, "embedding", "builtin", "who makes the vectors of a library that --create makes: builtin, or none where each chunk comes with its own")
	fl.StringVar(&f.mode, "mode", "upsert", "what happens to an existing document: upsert replaces it, insert fails the line, skip leaves it")
	fl.StringVar(&f.onError, "on-error", "continue", "what a bad line does: continue passes over it, abort ends the import")
	fl.StringVar(&f.source, "source", "", "name of what is imported: a later run under the same name goes on behind the lines that were taken")
	fl.DurationVar(&f.patience, "patience", time.Minute, "how long to try again while the server takes nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.library, f.in = args[0], &input{names: args[1:], stdin: a.in}
		return a.importFiles(cmd.Context(), f)
	}
	return cmd
}

// errLinesFailed ends an import that passed over lines.
var errLinesFailed = errors.New("some lines failed")

func (a *app) importFiles(ctx context.Context, f *importFlags) error {
	if _, ok := putModes[f.mode]; !ok {
		return usagef("--mode %q is not upsert, insert or skip", f.mode)
	}
	if f.onError != "continue" && f.onError != "abort" {
		return usagef("--on-error %q is neither continue nor abort", f.onError)
	}
	offline, err := f.offline()
	if err != nil {
		return err
	}
	bar := a.bar(f.in.size(), "importing")
	f.in.read = func(n int) { _ = bar.Add(n) }
	var sum *client.ImportSummary
	if offline {
		sum, err = a.importOffline(ctx, f)
	} else {
		sum, err = a.importServer(ctx, f, bar)
	}
	_ = bar.Finish()
	if sum == nil {
		return err
	}
	for _, e := range sum.Errors {
		name, line := f.in.where(e.Line)
		a.message("%s, line %d: %s: %s", name, line, e.Code, e.Detail)
	}
	if a.wantsJSON() {
		err = errors.Join(err, a.json(sum))
	} else {
		fmt.Fprintf(a.out, "lines %d, documents %d, chunks %d, failed %d, skipped %d\n", sum.Lines, sum.Successful, sum.NumChunks, sum.Failed, sum.Skipped)
	}
	if err == nil && sum.Failed > 0 {
		err = errLinesFailed
	}
	return err
}

// bar is a progress bar of bytes where somebody looks, and nothing elsewhere.
func (a *app) bar(size int64, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.err), progressbar.OptionSetVisibility(terminal(a.err)),
		progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true), progressbar.OptionThrottle(65*time.Millisecond),
		progressbar.OptionShowCount(), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
}

func (a *app) importServer(ctx context.Context, f *importFlags, bar *progressbar.ProgressBar) (*client.ImportSummary, error) {
	c := f.client()
	if f.create {
		_, err := c.CreateLibrary(ctx, client.LibrarySpec{ID: f.library, Embedding: &client.Embedding{Provider: f.embedding}})
		if err != nil && !client.IsCode(err, string(change.AlreadyExists)) {
			return nil, err
		}
	}
	resumed, told := false, uint64(0)
	sum, err := c.Import(ctx, f.library, f.in.open, client.ImportOptions{Mode: f.mode, OnError: f.onError, Source: f.source, Patience: f.patience,
		Resumed: func(err error, lines uint64) {
			if resumed && lines == told {
				return // the same break, another attempt
			}
			resumed, told = true, lines
			_ = bar.Clear()
			bar.Reset()
			a.message("%v; going on behind line %d as soon as it can be", err, lines)
		}})
	if resumed && sum != nil {
		a.message("the import was resumed: the counts are those of its last part")
	}
	return sum, err
}

var putModes = map[string]engine.PutMode{"upsert": engine.Upsert, "insert": engine.Insert, "skip": engine.Skip}

// importOffline takes the lines into a directory as a server would.
func (a *app) importOffline(ctx context.Context, f *importFlags) (*client.ImportSummary, error) {
	var sum *client.ImportSummary
	err := a.withDirectory(f.data, f.create, func(db *engine.DB) error {
		if f.create {
			made := engine.EmbeddingSettings{Provider: f.embedding}
			_, _, err := db.CreateLibrary(ctx, &engine.LibrarySpec{ID: &f.library, Embedding: &made}, nil)
			if e := (*change.Error)(nil); err != nil && !(errors.As(err, &e) && e.Code == change.AlreadyExists) {
				return err
			}
		}
		snap := db.Snapshot()
		lib, err := snap.Library(f.library)
		snap.Close()
		if err != nil {
			return err
		}
		body, err := f.in.open()
		if err != nil {
			return err
		}
		defer body.Close()
		s, err := ingest.Run(ctx, db, body, ingest.Options{Library: lib, Mode: putModes[f.mode], Abort: f.onError == "abort", Source: f.source}, nil)
		if err != nil {
			return err
		}
		sum = summaryOf(s)
		if s.Problem != nil {
			return s.Problem
		}
		return nil
	})
	return sum, err
}

// summaryOf is what a server would have answered.
func summaryOf(s *ingest.Summary) *client.ImportSummary {
	out := &client.ImportSummary{Successful: s.Successful, Failed: s.Failed, Skipped: s.Skipped, NumChunks: s.NumChunks, Lines: s.Lines,
		Complete: s.Complete, Errors: make([]client.LineError, 0, len(s.Errors)), ErrorsTruncated: s.ErrorsTruncated,
		TookMS: float64(s.Took.Microseconds()) / 1000}
	if s.LastSeq > 0 {
		out.FirstSeq, out.LastSeq = &s.FirstSeq, &s.LastSeq
	}
	for _, e := range s.Errors {
		out.Errors = append(out.Errors, client.LineError{Line: e.Line, Code: string(e.Code), Detail: e.Detail})
	}
	return out
}
