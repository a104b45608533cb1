package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
)

const defaultServer = "http://" + defaultListen

// A place is where a command finds its database: behind a server, or in a
// directory that no server holds.
type place struct {
	server, key, data string

	a   *app
	cmd *cobra.Command
	dir bool // a directory unless a server is named; otherwise the other way round
}

// placeFlags adds --server, --key and --data to a command that works on either.
func (a *app) placeFlags(cmd *cobra.Command, dir bool) *place {
	p := &place{a: a, cmd: cmd, dir: dir}
	f := cmd.Flags()
	f.StringVar(&p.key, "key", "", "API key for the server")
	if dir {
		f.StringVar(&p.server, "server", "", "work through the server at this URL")
		f.StringVar(&p.data, "data", defaultData, "data directory that no server holds")
	} else {
		f.StringVar(&p.server, "server", defaultServer, "URL of the server")
		f.StringVar(&p.data, "data", "", "work on this data directory, which no server may hold")
	}
	return p
}

// offline reports whether the command works on a directory. What stands closer
// to the user wins: a flag over a variable, that over the settings file.
func (p *place) offline() (bool, error) {
	data, server := p.a.origin("data", p.cmd), p.a.origin("server", p.cmd)
	switch {
	case data == fromFlag && server == fromFlag:
		return false, usagef("--data and --server are two different places: give one of them")
	case data == server:
		return p.dir, nil
	}
	return data > server, nil
}

// client returns a client of the server.
func (p *place) client() *client.Client { return client.New(p.server, p.key) }

// openDirectory opens a database that no server holds.
func (a *app) openDirectory(data string, create bool) (*engine.DB, error) {
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return engine.Open(data, engine.Options{Create: create, Logger: logger, CheckpointInterval: -1})
}

// withDirectory runs fn on a database that no server holds.
func (a *app) withDirectory(data string, create bool, fn func(*engine.DB) error) error {
	db, err := a.openDirectory(data, create)
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.Close())
}

// interrupted reports whether the user ended the command.
func interrupted(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) && ctx.Err() != nil
}

// terminal reports whether somebody looks at w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// message prints something for the user who waits, on standard error.
func (a *app) message(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
