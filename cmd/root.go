package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/engine"
)

// Exit codes (API, section 11).
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitInUse  = 3
	exitDamage = 4
)

// Version of the program.
const Version = "0.1.0"

// A usageError ends the program with exitUsage.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errDamage ends the program with exitDamage; what was found has been printed.
var errDamage = errors.New("damage found")

// exitCode is the one table of exit codes.
func exitCode(err error) int {
	var usage usageError
	var inUse *engine.InUseError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &inUse):
		return exitInUse
	case errors.Is(err, errDamage), engine.IsDamage(err):
		return exitDamage
	}
	return exitFailed
}

// An app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	config   string
	output   string
	origins  map[string]origin // of the settings that no flag gives
}

// Main runs the program and returns its exit code. SIGINT and SIGTERM end it in
// good order.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, in, out, errOut)
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errDamage) {
		fmt.Fprintf(errOut, "arrwdb: %v\n", err)
	}
	return exitCode(err)
}

// commands is the list of verbs.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.serveCommand(), a.demoCommand(), a.importCommand(), a.exportCommand(), a.searchCommand(), a.tailCommand(), a.statusCommand(),
		a.keysCommand(), a.logCommand(), a.verifyCommand(), a.benchCommand(), a.versionCommand(),
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{Use: "arrwdb", Short: "A durable vector and document database with one change log", SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; `arrwdb --help` lists the commands", args[0])
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: a.settings,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true}}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().StringVar(&a.config, "config", "", "settings file: a JSON object of flag names and values")
	root.PersistentFlags().StringVar(&a.output, "output", "text", "text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.commands()...)
	for _, c := range root.Commands() {
		wrapArgs(c)
	}
	return root
}

// wrapArgs makes wrong arguments a usage error everywhere.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// json prints one JSON value on standard output.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (a *app) wantsJSON() bool { return a.output == "json" }
