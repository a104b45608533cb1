package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is one running process of the program.
type server struct {
	dir  string
	addr string
	args []string
	env  []string

	cmd    *exec.Cmd
	output *syncBuffer
	exited chan struct{}
	code   int // valid once exited is closed
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startServer starts the program on dir and waits until it is ready. It is
// killed at the end of the test if it still runs.
func startServer(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	s := &server{dir: dir, args: args}
	t.Cleanup(s.kill)
	s.start(t)
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	if err := s.tryStart(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) tryStart() error {
	if s.addr == "" {
		addr, err := freePort()
		if err != nil {
			return err
		}
		s.addr = addr
	}
	args := append([]string{"serve", "--data", s.dir, "--listen", s.addr}, s.args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(cleanEnv(), s.env...)
	s.output, s.exited = &syncBuffer{}, make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		s.code = exitCode(cmd.Wait())
		close(exited)
	}(s.cmd, s.exited)
	return s.waitReady()
}

// waitReady polls /readyz: there is no other signal from a process that comes up.
func (s *server) waitReady() error {
	hc := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.Now().Add(patience)
	for {
		res, err := hc.Get(s.base() + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v (last: %v)\n%s", patience, err, s.log())
		}
		select {
		case <-s.exited:
			return fmt.Errorf("exited %d before it was ready\n%s", s.code, s.log())
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func (s *server) base() string { return "http://" + s.addr }

func (s *server) log() string {
	text := s.output.String()
	if len(text) > 8<<10 {
		text = "…" + text[len(text)-8<<10:]
	}
	return text
}

// kill ends the process as a power cut would, and waits for its end.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // fails only where it has ended
	<-s.exited
}

// stop sends SIGTERM and returns the exit code, or -1 after patience.
func (s *server) stop() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return s.code
	case <-time.After(patience):
		s.kill()
		return -1
	}
}

// restart kills or stops the process and starts it again on the same address.
func (s *server) restart(t testing.TB, hard bool) {
	t.Helper()
	if hard {
		s.kill()
	} else if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d on SIGTERM\n%s", code, s.log())
	}
	s.start(t)
}

// residentBytes reads VmRSS of the process.
func (s *server) residentBytes(t testing.TB) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, line := range strings.Split(string(raw), "\n") {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	t.Fatal("no VmRSS in /proc/<pid>/status")
	return 0
}

func exitCode(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode() // -1 when killed
	default:
		return -1
	}
}

// cleanEnv is the environment without the program's own variables.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ARRWDB_") {
			env = append(env, kv)
		}
	}
	return env
}

// A result is how one command ended.
type result struct {
	code           int
	stdout, stderr string
}

// cli runs one command of the program to its end.
func cli(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = cleanEnv()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	code := exitCode(cmd.Run())
	if ctx.Err() != nil {
		t.Fatalf("arrwdb %s did not end\n%s", strings.Join(args, " "), errs.String())
	}
	return result{code, out.String(), errs.String()}
}

// cliOK runs a command that must exit 0 and returns its standard output.
func cliOK(t testing.TB, args ...string) string {
	t.Helper()
	r := cli(t, "", args...)
	if r.code != 0 {
		t.Fatalf("arrwdb %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// cliJSON runs a command with --output json and decodes its one value.
func cliJSON(t testing.TB, args ...string) any {
	t.Helper()
	return decodeOne(t, cliOK(t, append(args, "--output", "json")...))
}

func decodeOne(t testing.TB, text string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("standard output is not JSON: %v\n%s", err, text)
	}
	if dec.More() {
		t.Fatalf("more than one JSON value on standard output:\n%s", text)
	}
	return v
}

// createKey makes a key on a directory and returns its id and secret.
func createKey(t testing.TB, dir string, args ...string) (id, secret string) {
	t.Helper()
	v := cliJSON(t, append([]string{"keys", "create", "--data", dir}, args...)...)
	for _, field := range []string{"id", "name", "role", "libraries", "key"} {
		if _, ok := v.(J)[field]; !ok {
			t.Fatalf("keys create --output json has no %q: %v", field, v)
		}
	}
	return str(v, "id"), str(v, "key")
}
