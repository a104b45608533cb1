package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

type keyMade struct {
	ID, Name, Role, Key string
	Libraries           []string
	ExpiresAt           *time.Time `json:"expires_at"`
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	var admin, read keyMade
	okJSON(t, &admin, "keys", "create", "--role", "admin", "--data", dir, "--name", "root")
	if admin.Key == "" || admin.Name != "root" || admin.Role != "admin" {
		t.Errorf("%+v", admin)
	}
	s := serve(t, dir)
	on := []string{"--server", s.base, "--key", admin.Key}
	okJSON(t, &read, append([]string{"keys", "create", "--role", "read", "--library", "a", "--library", "b", "--expires", "24h"}, on...)...)
	if strings.Join(read.Libraries, " ") != "a b" || read.ExpiresAt == nil || read.Key == "" {
		t.Errorf("%+v", read)
	}
	if _, err := client.New(s.base, read.Key).Status(t.Context()); err != nil {
		t.Error(err)
	}
	list := ok(t, append([]string{"keys", "list"}, on...)...)
	contains(t, list, admin.ID, read.ID, "libraries a, b")
	if strings.Contains(list, read.Key) {
		t.Error("a secret is listed")
	}
	ok(t, append([]string{"keys", "revoke", read.ID}, on...)...)
	if r := do(t, "", append([]string{"keys", "revoke", read.ID}, on...)...); r.code != exitFailed {
		t.Errorf("a key that is gone: exit %d", r.code)
	}
	if r := do(t, "", "keys", "list", "--server", s.base, "--key", "wrong"); r.code != exitFailed {
		t.Errorf("a wrong key: exit %d", r.code)
	}
	s.stop()
	if list := ok(t, "keys", "list", "--data", dir); strings.Contains(list, read.ID) || !strings.Contains(list, admin.ID) {
		t.Errorf("%s", list)
	}
	if out := strings.TrimSpace(ok(t, "keys", "create", "--role", "read", "--data", dir)); strings.ContainsAny(out, " \n") {
		t.Errorf("standard output is more than the key: %q", out)
	}
	ok(t, "keys", "revoke", admin.ID, "--data", dir)
	for _, args := range [][]string{{"--role", "owner"}, {"--expires", "yesterday", "--role", "read"}, {}} {
		if r := do(t, "", append([]string{"keys", "create", "--data", dir}, args...)...); r.code != exitUsage {
			t.Errorf("%v: exit %d, want 2", args, r.code)
		}
	}
	if r := do(t, "", "keys", "list", "--data", t.TempDir()); r.code != exitFailed {
		t.Errorf("no database: exit %d", r.code)
	}
}
