package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/change"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/wal"
)

func (a *app) logCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "Look into the change log, and trim it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("log dump, log stat or log trim") }}
	cmd.AddCommand(a.logDump(), a.logStat(), a.logTrim())
	return cmd
}

// inspect reads the log of a directory, which need not have been closed.
func inspect(data string, each func(*wal.FrameInfo) error) (*wal.Inspection, error) {
	dir := filepath.Join(data, "log")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", data, engine.ErrNoDatabase)
	}
	return wal.Inspect(nil, dir, each)
}

// A dumpedRecord is a record as log dump prints it.
type dumpedRecord struct {
	Segment  string    `json:"segment"`
	Offset   int64     `json:"offset"`
	Frame    string    `json:"frame"` // commit, mark or seal
	Commit   uint64    `json:"commit,omitempty"`
	Time     time.Time `json:"time"`
	Chain    string    `json:"chain"`
	Seq      uint64    `json:"seq,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Library  string    `json:"library,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Bytes    int       `json:"bytes,omitempty"`
	GroupEnd bool      `json:"group_end,omitempty"`
}

func (a *app) logDump() *cobra.Command {
	var data string
	var from, to uint64
	cmd := &cobra.Command{Use: "dump", Short: "Print every record of the log; never writes", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		enc := json.NewEncoder(a.out)
		ins, err := inspect(data, func(f *wal.FrameInfo) error {
			for _, d := range describe(f) {
				if d.Seq != 0 && (d.Seq < from || to != 0 && d.Seq > to) || d.Seq == 0 && (from > 1 || to != 0) {
					continue
				}
				if a.wantsJSON() {
					if err := enc.Encode(d); err != nil {
						return err
					}
					continue
				}
				if d.Kind == "" {
					fmt.Fprintf(a.out, "%s %10d  %s\n", d.Segment, d.Offset, d.Frame)
					continue
				}
				fmt.Fprintf(a.out, "%s %10d  commit %d  seq %-8d %s  %-22s %s %s (%d bytes, chain %s)\n", d.Segment, d.Offset, d.Commit, d.Seq,
					d.Time.Format(time.RFC3339Nano), d.Kind, d.Library, d.Subject, d.Bytes, d.Chain)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return a.problems(ins)
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory")
	cmd.Flags().Uint64Var(&from, "from", 0, "first seq to print")
	cmd.Flags().Uint64Var(&to, "to", 0, "last seq to print")
	return cmd
}

func describe(f *wal.FrameInfo) []dumpedRecord {
	base := dumpedRecord{Segment: f.Segment, Offset: f.Offset, Frame: f.Kind, Commit: f.Commit, Time: time.UnixMicro(f.Time).UTC(), Chain: fmt.Sprintf("%08x", f.Chain)}
	if len(f.Records) == 0 {
		return []dumpedRecord{base}
	}
	out := make([]dumpedRecord, 0, len(f.Records))
	for i := range f.Records {
		r := &f.Records[i]
		d := base
		d.Seq, d.Kind, d.Bytes, d.GroupEnd = r.Seq, r.Kind.String(), len(r.Body)+len(r.Raw), r.Flags&change.GroupLast != 0
		switch {
		case r.Kind >= change.DocumentAdded && r.Kind <= change.ChunkDeleted:
			if c, err := change.DecodeDocument(r); err == nil {
				d.Library, d.Subject = c.LibraryID, c.ID
			}
		case r.Kind <= change.LibraryDeleted:
			if c, err := change.DecodeLibrary(r); err == nil {
				d.Library = c.ID
			}
		case r.Kind == change.ControlSource || r.Kind == change.ControlSourceDeleted:
			if c, err := change.DecodeSource(r); err == nil {
				d.Library, d.Subject = c.LibraryID, fmt.Sprintf("%s at line %d", c.Name, c.Lines)
			}
		}
		out = append(out, d)
	}
	return out
}

func (a *app) logStat() *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "stat", Short: "Print what the log holds; never writes", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		ins, err := inspect(data, nil)
		if err != nil {
			return err
		}
		if a.wantsJSON() {
			problems := make([]string, 0)
			for _, p := range ins.Problems {
				problems = append(problems, p.Error())
			}
			if err := a.json(map[string]any{"log_id": fmt.Sprintf("%x", ins.ID), "lineage": ins.Lineage, "segments": ins.Segments, "frames": ins.Frames, "records": ins.Records,
				"bytes": ins.Bytes, "last_seq": ins.End.Seq, "last_commit": ins.End.Commit, "chain": fmt.Sprintf("%08x", ins.End.Chain), "torn_bytes": ins.TornBytes,
				"clean": ins.Clean, "problems": problems}); err != nil {
				return err
			}
			if len(problems) > 0 {
				return errDamage
			}
			return nil
		}
		for _, s := range ins.Segments {
			state := "open"
			if s.Sealed {
				state = "sealed"
			}
			fmt.Fprintf(a.out, "%s  seq %d to %d  %d bytes  %s\n", s.Name, s.FirstSeq, s.LastSeq, s.Bytes, state)
		}
		fmt.Fprintf(a.out, "%d segments, %d frames, %d records, %d bytes; ends at seq %d, commit %d\n", len(ins.Segments), ins.Frames, ins.Records, ins.Bytes, ins.End.Seq, ins.End.Commit)
		return a.problems(ins)
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory")
	return cmd
}

// problems tells of a torn end, which is no fault, and of damage, which is.
func (a *app) problems(ins *wal.Inspection) error {
	if ins.TornBytes > 0 {
		fmt.Fprintf(a.err, "the log ends in %d bytes of a torn frame that was never acknowledged; the next start keeps them aside\n", ins.TornBytes)
	}
	for _, p := range ins.Problems {
		fmt.Fprintln(a.err, p)
	}
	if len(ins.Problems) > 0 {
		return errDamage
	}
	return nil
}
