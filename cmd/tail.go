package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/cdc"
	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/wal"
)

type tailFlags struct {
	*place
	from, after, filter, include string
	to                           uint64
	types, libraries             []string
}

func (a *app) tailCommand() *cobra.Command {
	f := &tailFlags{}
	cmd := &cobra.Command{Use: "tail", Short: "Follow the changes as they happen", Args: cobra.NoArgs,
		Long: "Follow the feed of changes, one line for each; --output json prints each event as it is\n" +
			"sent. A lost connection or a restart of the server does not end it: it goes on after the\n" +
			"last event, without a gap. With --data it prints what the log of a directory holds, from\n" +
			"its beginning, and ends."}
	f.place = a.placeFlags(cmd, false)
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "first seq wanted, or start, or now (default now, with --data start)")
	fl.StringVar(&f.after, "after", "", "position to go on after; wins over --from")
	fl.Uint64Var(&f.to, "to", 0, "end behind this seq")
	fl.StringSliceVar(&f.types, "types", nil, "event types, for example document.*,library.created")
	fl.StringSliceVar(&f.libraries, "library", nil, "only events of these libraries")
	fl.StringVar(&f.filter, "filter", "", "only documents whose metadata match before or after the change")
	fl.StringVar(&f.include, "include", "", "none, document or embeddings: how much of a document an event holds")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.tail(cmd.Context(), f) }
	return cmd
}

func (a *app) tail(ctx context.Context, f *tailFlags) error {
	offline, err := f.offline()
	if err != nil {
		return err
	}
	if offline {
		return a.tailDirectory(f)
	}
	last, broken := "", false
	o := client.EventOptions{From: f.from, After: f.after, Types: f.types, Libraries: f.libraries, Filter: f.filter, Include: f.include, Marks: true,
		Connected: func(position string) {
			if broken {
				a.message("connected again, going on after %s", position)
			}
			last, broken = position, false
		},
		Lost: func(err error, _ string) {
			if !broken {
				a.message("connection lost (%v); trying again", err)
			}
			broken = true
		},
	}
	for e, err := range f.client().Events(ctx, o) {
		if err != nil {
			if interrupted(ctx, err) {
				a.message("resume with: arrwdb tail --after %s", last)
				return nil
			}
			return err
		}
		last = e.Position
		if f.to != 0 && e.Seq > f.to {
			return nil
		}
		if !strings.HasPrefix(e.Type, "stream.") {
			if err := a.printEvent(&e); err != nil {
				return err
			}
		}
		if f.to != 0 && e.Seq >= f.to {
			return nil
		}
	}
	return nil
}

// printEvent prints an event on a line.
func (a *app) printEvent(e *client.Event) error {
	if a.wantsJSON() {
		_, err := a.out.Write(append(bytes.Clone(e.Raw), '\n'))
		return err
	}
	_, err := fmt.Fprintln(a.out, eventLine(e))
	return err
}

// eventLine is an event for people: seq, time, type, library/document, title,
// texts.
func eventLine(e *client.Event) string {
	var data struct {
		Title    string `json:"title"`
		Document struct {
			Chunks []struct {
				Text string `json:"text"`
			} `json:"chunks"`
		} `json:"document"`
	}
	_ = json.Unmarshal(e.Data, &data) // an event that looks otherwise has no title to show
	name := e.LibraryID
	if e.Subject != "" && e.Subject != e.LibraryID {
		name += "/" + e.Subject
	}
	line := fmt.Sprintf("%8d  %s  %-17s %s", e.Seq, e.Time.Local().Format("15:04:05.000"), e.Type, name)
	if data.Title != "" {
		line += "  " + strconv.Quote(data.Title)
	}
	if c := data.Document.Chunks; len(c) > 0 && c[0].Text != "" {
		line += "  " + clipText(c[0].Text, 60)
	}
	return line
}

// clipText makes one short line of a text. What a terminal would act on is
// replaced: texts come from whoever wrote the document.
func clipText(s string, n int) string {
	r := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.Join(strings.Fields(s), " ")))
	if len(r) > n {
		r = append(r[:n-1], '…')
	}
	return string(r)
}

// directoryLog is a database as the feed needs it.
type directoryLog struct{ *engine.DB }

func (l directoryLog) ReadLog(from uint64) (cdc.FrameReader, error) {
	return cdc.Adapt(l.DB.ReadLog(from))(func(f *wal.Frame) cdc.Frame { return cdc.Frame{Chain: f.Chain, Records: f.Records} })
}

// tailDirectory prints what the log of a directory holds.
func (a *app) tailDirectory(f *tailFlags) error {
	if f.from == "" {
		f.from = "start"
	}
	params := map[string]string{"from": f.from, "after": f.after, "filter": f.filter, "include": f.include,
		"types": strings.Join(f.types, ","), "library": strings.Join(f.libraries, ",")}
	q, qerr := cdc.ParseQuery(func(name string) string { return params[name] }, "", func(s string) (cdc.Matcher, error) { return filter.Parse([]byte(s)) })
	if qerr != nil {
		return usageError{qerr}
	}
	return a.withDirectory(f.data, false, func(db *engine.DB) error {
		hub := cdc.NewHub(directoryLog{db}, cdc.Options{})
		defer hub.Close()
		cur, cerr := hub.Open(q)
		if cerr != nil {
			return cerr
		}
		defer cur.Close()
		for buf := []byte(nil); ; {
			out, batch, err := cur.AppendBatch(buf[:0], cdc.NDJSON, cdc.Limits{})
			for line := range bytes.Lines(out) {
				e := client.Event{Raw: bytes.TrimRight(line, "\n")}
				if err := json.Unmarshal(e.Raw, &e); err != nil {
					return err
				}
				if f.to != 0 && e.Seq > f.to {
					return nil
				}
				if err := a.printEvent(&e); err != nil {
					return err
				}
			}
			if err != nil || batch.Caught || f.to != 0 && cur.NextSeq() > f.to {
				return err
			}
			buf = out
		}
	})
}
