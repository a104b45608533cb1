package cmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/index/filter"
	"github.com/arrwdb/arrwdb/internal/docjson"
)

type exportFlags struct {
	*place
	library    string
	to         string
	filter     string
	embeddings bool
}

func (a *app) exportCommand() *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{Use: "export LIB", Short: "Export one consistent state of a library, one document a line", Args: cobra.ExactArgs(1),
		Long: "Export one consistent state of a library to standard output or a file. With --embeddings,\n" +
			"an import of what was exported gives the same library. --output json prints one array."}
	f.place = a.placeFlags(cmd, false)
	cmd.Flags().StringVar(&f.to, "to", "-", "file to write; .gz and .zst pack it. It appears once it is whole")
	cmd.Flags().StringVar(&f.filter, "filter", "", "only documents whose metadata match, for example {\"year\":{\"$gte\":2017}}")
	cmd.Flags().BoolVar(&f.embeddings, "embeddings", false, "with the vectors")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.library = args[0]
		return a.export(cmd.Context(), f)
	}
	return cmd
}

func (a *app) export(ctx context.Context, f *exportFlags) error {
	offline, err := f.offline()
	if err != nil {
		return err
	}
	get := func(w io.Writer) (client.ExportInfo, error) {
		return f.client().Export(ctx, f.library, w, client.ExportOptions{Embeddings: f.embeddings, Filter: f.filter})
	}
	if offline {
		get = func(w io.Writer) (client.ExportInfo, error) { return a.exportOffline(f, w) }
	}
	if f.to != "-" {
		info, err := exportFile(f.to, get)
		if err != nil {
			return err
		}
		if a.wantsJSON() {
			return a.json(map[string]any{"documents": info.Documents, "seq": info.Seq, "position": info.Position, "file": f.to})
		}
		a.message("%d documents, the state at seq %d, in %s", info.Documents, info.Seq, f.to)
		return nil
	}
	out := bufio.NewWriterSize(a.out, 256<<10)
	var w io.Writer = out
	var array *arrayWriter
	if a.wantsJSON() {
		array = &arrayWriter{w: out}
		w = array
	}
	info, err := get(w)
	if err == nil && array != nil {
		err = array.close()
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	a.message("%d documents, the state at seq %d", info.Documents, info.Seq)
	return nil
}

func (a *app) exportOffline(f *exportFlags, w io.Writer) (info client.ExportInfo, err error) {
	err = a.withDirectory(f.data, false, func(db *engine.DB) error {
		var match *filter.Filter
		if f.filter != "" {
			if match, err = filter.Parse([]byte(f.filter)); err != nil {
				return usagef("--filter: %v", err)
			}
		}
		snap := db.Snapshot()
		defer snap.Close()
		lib, err := snap.Library(f.library)
		if err != nil {
			return err
		}
		at, err := snap.Position()
		if err != nil {
			return err
		}
		info.Seq, info.Position = at.Seq, at.String()
		var line []byte
		var failed error
		err = snap.Documents(lib, "", match, engine.ReadOptions{Embeddings: f.embeddings}, func(v *docjson.View) bool {
			line = append(docjson.AppendView(line[:0], v, f.embeddings), '\n')
			_, failed = w.Write(line)
			info.Documents++
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return info, err
}

// exportFile writes a file that is whole or not there.
func exportFile(name string, get func(io.Writer) (client.ExportInfo, error)) (info client.ExportInfo, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return info, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	packed, err := packer(name, tmp)
	if err != nil {
		return info, err
	}
	if info, err = get(packed); err != nil {
		return info, err
	}
	if err = errors.Join(packed.Close(), tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return info, err
	}
	return info, os.Rename(tmp.Name(), name)
}

// packer packs as the name says. Its Close leaves w open.
func packer(name string, w io.Writer) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w)
	}
	return plainWriter{bufio.NewWriterSize(w, 256<<10)}, nil
}

type plainWriter struct{ *bufio.Writer }

func (w plainWriter) Close() error { return w.Flush() }

// An arrayWriter makes one JSON array of lines. Each Write is whole lines.
type arrayWriter struct {
	w    io.Writer
	some bool
}

func (a *arrayWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		sep := "[\n"
		if a.some {
			sep = ",\n"
		}
		a.some = true
		if _, err := io.WriteString(a.w, sep); err != nil {
			return 0, err
		}
		if _, err := a.w.Write(bytes.TrimRight(line, "\n")); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (a *arrayWriter) close() error {
	end := "\n]\n"
	if !a.some {
		end = "[]\n"
	}
	_, err := io.WriteString(a.w, end)
	return err
}
