package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCLIUsage(t *testing.T) {
	if out := cliOK(t, "version"); strings.TrimSpace(out) == "" {
		t.Error("version prints nothing")
	}
	if v := cliJSON(t, "version"); str(v, "version") == "" {
		t.Errorf("version --output json: %v", v)
	}
	for _, args := range [][]string{{"nonsense"}, {"serve", "--no-such-flag"}, {"keys", "create"}, {"keys", "create", "--role", "owner", "--data", t.TempDir()}, {"export"}, {"import"}, {"verify", "--output", "nonsense", "--data", t.TempDir()}, {"serve", "surplus"}} {
		if r := cli(t, "", args...); r.code != 2 {
			t.Errorf("arrwdb %s: exit %d, want 2\n%s", strings.Join(args, " "), r.code, r.stderr)
		} else if r.stderr == "" {
			t.Errorf("arrwdb %s says nothing on standard error", strings.Join(args, " "))
		}
	}
	if r := cli(t, "", "status", "--server", "http://127.0.0.1:1"); r.code != 1 {
		t.Errorf("status of nobody: exit %d, want 1", r.code)
	}
	if r := cli(t, "", "verify", "--data", filepath.Join(t.TempDir(), "none")); r.code != 1 && r.code != 2 {
		t.Errorf("verify of no database: exit %d", r.code)
	}
}

func TestCLIAgainstAServer(t *testing.T) {
	dir := t.TempDir()
	_, key := createKey(t, dir, "--role", "admin")
	s := startServer(t, dir)
	c := newClient(s.base(), key)
	at2 := func(args ...string) []string { return append(args, "--server", s.base(), "--key", key) }
	for _, lib := range []string{"l", "m", "n"} {
		c.post(t, "/v1/libraries", J{"id": lib, "embedding": J{"provider": "none"}}).is(201)
	}
	if v := cliJSON(t, at2("status")...); str(v, "version") == "" {
		t.Errorf("status --output json: %v", v)
	}
	cliOK(t, at2("status")...)

	file := filepath.Join(t.TempDir(), "docs.ndjson")
	if err := os.WriteFile(file, []byte(ndjson(simple("a", J{"n": 1}), simple("b", nil))), 0o600); err != nil {
		t.Fatal(err)
	}
	cliOK(t, at2("import", "l", file)...)
	if r := cli(t, ndjson(simple("c", nil)), at2("import", "l", "-")...); r.code != 0 {
		t.Fatalf("import from standard input: exit %d\n%s", r.code, r.stderr)
	}
	exported := cliOK(t, at2("export", "l")...)
	if n := strings.Count(exported, "\n"); n != 3 {
		t.Errorf("%d lines exported, want 3\n%s", n, exported)
	}
	for _, line := range strings.Split(strings.TrimSpace(exported), "\n") {
		mustMatch(t, "Document", []byte(line))
	}
	if r := cli(t, "", at2("export", "none")...); r.code != 1 || r.stdout != "" {
		t.Errorf("export of a library that is not there: exit %d, %q", r.code, r.stdout)
	}
	if r := cli(t, "", "export", "l", "--server", s.base(), "--key", "wrong"); r.code != 1 {
		t.Errorf("export with a wrong key: exit %d, want 1", r.code)
	}
	// An export carries what an import needs.
	if r := cli(t, exported, at2("import", "m", "-")...); r.code == 0 {
		same(t, "count of m", c.get(t, "/v1/libraries/m/count").obj()["count"], 3)
	} else if strings.Contains(exported, `"embedding"`) {
		t.Errorf("import of an export with vectors: exit %d\n%s", r.code, r.stderr)
	}
	// Lines that fail are a failure.
	if r := cli(t, ndjson(simple("x", nil), "broken"), at2("import", "n", "-")...); r.code != 1 {
		t.Errorf("import with a bad line: exit %d, want 1", r.code)
	}
}

func TestCLITail(t *testing.T) {
	e := alone(t)
	lib := e.lib2(t)
	cmd := exec.Command(binary, "tail", "--server", e.srv.base())
	cmd.Env = cleanEnv()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "tail subscribes", func() bool { return num(e.get(t, "/v1/events/stats").obj(), "subscribers") > 0 })
	e.put(t, doc(lib, "seen-by-tail"), simple("", nil)).is(201)
	found := make(chan bool, 1)
	go func() {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if strings.Contains(sc.Text(), "seen-by-tail") {
				found <- true
				return
			}
		}
		found <- false
	}()
	select {
	case ok := <-found:
		if !ok {
			t.Error("tail ended without the event")
		}
	case <-time.After(patience):
		t.Error("tail did not show the event")
	}
}

// fingerprint is names, sizes and contents of a directory.
func fingerprint(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(h, path)
			return err
		}
		raw, err := os.ReadFile(path)
		fmt.Fprintln(h, path, len(raw))
		h.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func chmodTree(t testing.TB, dir string, dirs, files fs.FileMode) {
	t.Helper()
	var paths []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			paths = append(paths, path)
		} else if err == nil {
			err = os.Chmod(path, files)
		}
		return err
	})
	for i := len(paths) - 1; i >= 0; i-- {
		if err := os.Chmod(paths[i], dirs); err != nil {
			t.Fatal(err)
		}
	}
}

// verify, log dump and log stat never write, also where the database was not
// closed and the directory may not be written to.
func TestCLIReadsAnUnclosedDirectory(t *testing.T) {
	e := alone(t, "--log-segment-size", "65536")
	lib := e.lib2(t)
	for i := range 150 {
		e.put(t, doc(lib, fmt.Sprint("d", i)), simple("", J{"pad": strings.Repeat("p", 1000)})).is(201)
	}
	head := e.head(t)
	e.srv.kill()
	dir := e.srv.dir
	chmodTree(t, dir, 0o555, 0o444)
	t.Cleanup(func() { chmodTree(t, dir, 0o755, 0o644) })
	before := fingerprint(t, dir)
	for _, args := range [][]string{{"verify"}, {"verify", "--full"}, {"log", "dump"}, {"log", "stat"}} {
		args = append(args, "--data", dir)
		out := cliOK(t, args...)
		if strings.TrimSpace(out) == "" {
			t.Errorf("arrwdb %s prints nothing", strings.Join(args, " "))
		}
		if args[1] == "dump" && !strings.Contains(out, "d149") {
			t.Errorf("log dump does not show the last document:\n%s", clip([]byte(out)))
		}
		if got := fingerprint(t, dir); got != before {
			t.Fatalf("arrwdb %s wrote to the directory", strings.Join(args, " "))
		}
	}
	cliJSON(t, "verify", "--data", dir)
	stat := cliJSON(t, "log", "stat", "--data", dir)
	if !strings.Contains(jsonText(stat), fmt.Sprint(head)) {
		t.Errorf("log stat does not show the head %d: %s", head, jsonText(stat))
	}
	if got := fingerprint(t, dir); got != before {
		t.Fatal("a command with --output json wrote to the directory")
	}
	chmodTree(t, dir, 0o755, 0o644)
	e.srv.start(t)
	same(t, "head after all that", e.head(t), head)
}

func TestCLIFindsDamage(t *testing.T) {
	e := alone(t)
	lib := e.lib2(t)
	for i := range 50 {
		e.put(t, doc(lib, fmt.Sprint("d", i)), J{"title": fmt.Sprintf("needle-%02d", i), "embedding": []int{1, 2, 3}}).is(201)
	}
	if code := e.srv.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	cliOK(t, "verify", "--data", e.srv.dir)
	segments, err := filepath.Glob(filepath.Join(e.srv.dir, "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	hit := false
	for _, path := range segments {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(raw, []byte("needle-20")); i >= 0 {
			raw[i+7] ^= 1
			hit = true
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !hit {
		t.Skip("the text is not in the log as it is")
	}
	if r := cli(t, "", "verify", "--data", e.srv.dir); r.code != 4 {
		t.Errorf("verify of a damaged log: exit %d, want 4\n%s%s", r.code, r.stdout, r.stderr)
	}
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: e.srv.dir, addr: addr}
	t.Cleanup(s.kill)
	if err := s.tryStart(); err == nil {
		// Closed cleanly, the server need not read that part; but who reads it is told.
		c := newClient(s.base(), "")
		r := c.get(t, "/v1/events?from=1&limit=10000")
		if r.status == 200 && strings.Contains(string(r.body), "needle-30") && !strings.Contains(string(r.body), "needle-20") {
			t.Error("the feed passed over a damaged change in silence")
		}
	} else if s.code != 4 {
		t.Errorf("serve on a damaged log: exit %d, want 4\n%s", s.code, s.log())
	}
}

func TestCLIKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new") // made where there is none
	id, secret := createKey(t, dir, "--role", "write", "--name", "robot", "--library", "a", "--library", "b", "--expires", "24h")
	listed := cliOK(t, "keys", "list", "--data", dir)
	if !strings.Contains(listed, id) || !strings.Contains(listed, "robot") || strings.Contains(listed, secret) {
		t.Errorf("keys list:\n%s", listed)
	}
	if v := jsonText(cliJSON(t, "keys", "list", "--data", dir)); !strings.Contains(v, id) || strings.Contains(v, secret) {
		t.Errorf("keys list --output json: %s", v)
	}
	s := startServer(t, dir)
	c := newClient(s.base(), secret)
	c.post(t, "/v1/keys", J{"role": "read"}).problem(403, "permission_denied")
	c.get(t, "/v1/libraries").is(200)
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if r := cli(t, "", "keys", "revoke", "no-such-key", "--data", dir); r.code != 1 {
		t.Errorf("revoking what is not there: exit %d, want 1", r.code)
	}
	cliOK(t, "keys", "revoke", id, "--data", dir)
	if strings.Contains(cliOK(t, "keys", "list", "--data", dir), id) && !strings.Contains(cliOK(t, "keys", "list", "--data", dir), "revoked") {
		t.Error("a revoked key is listed as if it were valid")
	}
	if r := cli(t, "", "keys", "revoke", "--data", dir); r.code != 2 {
		t.Errorf("keys revoke without an id: exit %d, want 2", r.code)
	}
	_, admin := createKey(t, dir, "--role", "admin")
	s.start(t)
	c.get(t, "/v1/libraries").problem(401, "unauthenticated")
	newClient(s.base(), admin).get(t, "/v1/libraries").is(200)
}

func TestEnvironmentNamesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "by-env")
	cmd := exec.Command(binary, "keys", "create", "--role", "admin", "--output", "json")
	cmd.Env, cmd.Dir = append(cleanEnv(), "ARRWDB_DATA="+dir), t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("ARRWDB_DATA was not used: %v", err)
	}
}
