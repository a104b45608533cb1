package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

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

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("keys create, keys list or keys revoke") }}
	cmd.AddCommand(a.keysCreate(), a.keysList(), a.keysRevoke())
	return cmd
}

func (a *app) keysCreate() *cobra.Command {
	var data, role, name, expires string
	var libraries []string
	cmd := &cobra.Command{Use: "create", Short: "Create an API key; it is shown this once", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if role != engine.RoleRead && role != engine.RoleWrite && role != engine.RoleAdmin {
			return usagef("--role %q is not read, write or admin", role)
		}
		spec := engine.KeySpec{Name: name, Role: role, Libraries: libraries}
		if expires != "" {
			at, err := httpd.ParseExpiry(expires, time.Now())
			if err != nil {
				return usagef("--expires: %v", err)
			}
			spec.ExpiresAt = &at
		}
		return a.withDirectory(data, true, func(db *engine.DB) error { return a.createKey(cmd.Context(), db, spec) })
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory; a database is made where there is none")
	cmd.Flags().StringVar(&role, "role", "", "read, write or admin")
	cmd.Flags().StringVar(&name, "name", "", "what the key is for")
	cmd.Flags().StringVar(&expires, "expires", "", "a duration from now, or an RFC 3339 time")
	cmd.Flags().StringArrayVar(&libraries, "library", nil, "limit the key to a library; may be repeated")
	return cmd
}

func (a *app) createKey(ctx context.Context, db *engine.DB, spec engine.KeySpec) error {
	key, secret, err := db.CreateKey(ctx, spec)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.json(struct {
			engine.Key
			Secret string `json:"key"`
		}{key, secret})
	}
	fmt.Fprintln(a.out, secret)
	fmt.Fprintf(a.err, "key %s, role %s, %s; it is not shown again\n", key.ID, key.Role, librariesText(key.Libraries))
	return nil
}

func librariesText(libs []string) string {
	if len(libs) == 0 {
		return "all libraries"
	}
	return "libraries " + strings.Join(libs, ", ")
}

func (a *app) keysList() *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "list", Short: "List the API keys", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return a.withDirectory(data, false, func(db *engine.DB) error {
			if a.wantsJSON() {
				return a.json(map[string]any{"keys": db.Keys()})
			}
			for _, k := range db.Keys() {
				expires := "never expires"
				if k.ExpiresAt != nil {
					expires = "expires " + k.ExpiresAt.Format(time.RFC3339)
				}
				fmt.Fprintf(a.out, "%s  %-5s  %s  %s  %s\n", k.ID, k.Role, librariesText(k.Libraries), expires, k.Name)
			}
			return nil
		})
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory")
	return cmd
}

func (a *app) keysRevoke() *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "revoke ID", Short: "End an API key for good", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		return a.withDirectory(data, false, func(db *engine.DB) error {
			if err := db.RevokeKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			if a.wantsJSON() {
				return a.json(map[string]string{"id": args[0]})
			}
			fmt.Fprintln(a.out, args[0])
			return nil
		})
	}}
	cmd.Flags().StringVar(&data, "data", defaultData, "data directory")
	return cmd
}
