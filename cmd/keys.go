package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arrwdb/arrwdb/client"
	"github.com/arrwdb/arrwdb/engine"
	"github.com/arrwdb/arrwdb/httpd"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("keys create, keys list or keys revoke") }}
	cmd.AddCommand(a.keysCreate(), a.keysList(), a.keysRevoke())
	return cmd
}

func (a *app) keysCreate() *cobra.Command {
	var role, name, expires string
	var libraries []string
	var p *place
	cmd := &cobra.Command{Use: "create", Short: "Create an API key; it is shown this once", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if role != engine.RoleRead && role != engine.RoleWrite && role != engine.RoleAdmin {
			return usagef("--role %q is not read, write or admin", role)
		}
		offline, err := p.offline()
		if err != nil {
			return err
		}
		if !offline {
			return a.createKeyOnServer(cmd.Context(), p, client.KeySpec{Name: name, Role: role, Libraries: libraries, Expires: expires})
		}
		spec := engine.KeySpec{Name: name, Role: role, Libraries: libraries}
		if expires != "" {
			at, err := httpd.ParseExpiry(expires, time.Now())
			if err != nil {
				return usagef("--expires: %v", err)
			}
			spec.ExpiresAt = &at
		}
		return a.withDirectory(p.data, true, func(db *engine.DB) error { return a.createKey(cmd.Context(), db, spec) })
	}}
	p = a.placeFlags(cmd, true)
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
	return a.showKey(createdKey{key, secret})
}

// A createdKey is a key with its secret.
type createdKey struct {
	engine.Key
	Secret string `json:"key"`
}

func (a *app) showKey(k createdKey) error {
	if a.wantsJSON() {
		return a.json(k)
	}
	fmt.Fprintln(a.out, k.Secret)
	a.message("key %s, role %s, %s; it is not shown again", k.ID, k.Role, librariesText(k.Libraries))
	return nil
}

func (a *app) createKeyOnServer(ctx context.Context, p *place, spec client.KeySpec) error {
	raw, err := p.client().CreateKey(ctx, spec)
	if err != nil {
		return err
	}
	var k createdKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return err
	}
	return a.showKey(k)
}

func librariesText(libs []string) string {
	if len(libs) == 0 {
		return "all libraries"
	}
	return "libraries " + strings.Join(libs, ", ")
}

func (a *app) keysList() *cobra.Command {
	var p *place
	cmd := &cobra.Command{Use: "list", Short: "List the API keys", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		keys, err := p.keys(cmd.Context())
		if err != nil {
			return err
		}
		if a.wantsJSON() {
			return a.json(map[string]any{"keys": keys})
		}
		for _, k := range keys {
			expires := "never expires"
			if k.ExpiresAt != nil {
				expires = "expires " + k.ExpiresAt.Format(time.RFC3339)
			}
			fmt.Fprintf(a.out, "%s  %-5s  %s  %s  %s\n", k.ID, k.Role, librariesText(k.Libraries), expires, k.Name)
		}
		return nil
	}}
	p = a.placeFlags(cmd, true)
	return cmd
}

func (p *place) keys(ctx context.Context) ([]engine.Key, error) {
	offline, err := p.offline()
	if err != nil {
		return nil, err
	}
	if offline {
		var keys []engine.Key
		err := p.a.withDirectory(p.data, false, func(db *engine.DB) error {
			keys = db.Keys()
			return nil
		})
		return keys, err
	}
	raw, err := p.client().Keys(ctx)
	if err != nil {
		return nil, err
	}
	var list struct{ Keys []engine.Key }
	err = json.Unmarshal(raw, &list)
	return list.Keys, err
}

func (a *app) keysRevoke() *cobra.Command {
	var p *place
	cmd := &cobra.Command{Use: "revoke ID", Short: "End an API key for good", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		offline, err := p.offline()
		if err != nil {
			return err
		}
		revoke := p.client().RevokeKey
		if offline {
			revoke = func(ctx context.Context, id string) error {
				return a.withDirectory(p.data, false, func(db *engine.DB) error { return db.RevokeKey(ctx, id) })
			}
		}
		if err := revoke(cmd.Context(), args[0]); err != nil {
			return err
		}
		if a.wantsJSON() {
			return a.json(map[string]string{"id": args[0]})
		}
		fmt.Fprintln(a.out, args[0])
		return nil
	}}
	p = a.placeFlags(cmd, true)
	return cmd
}
