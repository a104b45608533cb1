package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Server is one that was started to be measured.
type Server struct {
	Addr string
	PID  int // 0 where it is no process of its own
	Stop func()
}

// startTimeout is how long a server on an empty directory may take to be ready.
const startTimeout = 30 * time.Second

// startChild starts a program's serve and waits until it is ready.
func (e *Env) startChild(ctx context.Context, data string) (*Server, error) {
	program := e.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--data", data, "--listen", addr}, e.ServeArgs...)
	cmd := exec.Command(program, args...)
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	// It is found by its address only, and has no configuration but its flags.
	cmd.Env = withoutPrefix(os.Environ(), "ARRWDB_")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	var exit error
	go func() {
		exit = cmd.Wait()
		close(exited)
	}()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			<-exited
		})
	}
	deadline := time.Now().Add(startTimeout)
	for {
		_, err := call(addr, "GET", "/readyz", nil)
		if err == nil {
			break
		}
		select {
		case <-exited:
			return nil, fmt.Errorf("the server ended: %w\n%s", errors.Join(exit), said)
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("the server is not ready after %v: %w\n%s", startTimeout, err, said)
		}
	}
	go func() {
		select {
		case <-ctx.Done():
			stop()
		case <-exited:
		}
	}()
	e.Logger.Debug("bench: server", "program", program, "args", args, "pid", cmd.Process.Pid)
	return &Server{Addr: addr, PID: cmd.Process.Pid, Stop: stop}, nil
}

// freeAddr returns an address of this machine that nobody listens on at the
// moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func withoutPrefix(env []string, prefix string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, prefix) {
			kept = append(kept, v)
		}
	}
	return kept
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}

// resident returns the resident memory of a process in bytes, 0 where that
// cannot be found out.
func resident(pid int) int64 {
	if pid == 0 {
		return 0
	}
	return kilobytes(field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS"))
}

// watchResident samples a process's resident memory until stop is called, which
// returns the most it saw.
func watchResident(pid int) (stop func() int64) {
	over, most := make(chan struct{}), make(chan int64)
	go func() {
		peak := resident(pid)
		t := time.NewTicker(10 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				peak = max(peak, resident(pid))
			case <-over:
				most <- max(peak, resident(pid))
				return
			}
		}
	}()
	return func() int64 {
		close(over)
		return <-most
	}
}

// A target is a server with an empty directory, for one case.
type target struct {
	*Server
	dir  string
	libs int
}

// serve starts a server for a case.
func (e *Env) serve(ctx context.Context) (*target, error) {
	return e.serveLoaded(ctx, func(string) error { return nil })
}

// serveLoaded starts a server on a directory that load has filled.
func (e *Env) serveLoaded(ctx context.Context, load func(data string) error) (*target, error) {
	dir, err := e.subdir()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	var s *Server
	if err = load(data); err == nil {
		s, err = e.Start(ctx, data)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &target{Server: s, dir: dir}, nil
}

// close ends the server and removes what it wrote.
func (t *target) close() {
	t.Stop()
	os.RemoveAll(t.dir)
}

// library creates a library to which the client sends every vector, of that
// dimension, or, with 0, one that has the built-in model make them. It returns its
// path.
func (t *target) library(dimension int) (string, error) {
	t.libs++
	id := fmt.Sprintf("bench-%d", t.libs)
	body := fmt.Sprintf(`{"id":%q,"dimension":%d,"embedding":{"provider":"none"}}`, id, dimension)
	if dimension == 0 {
		body = fmt.Sprintf(`{"id":%q,"embedding":{"provider":"builtin"}}`, id)
	}
	_, err := call(t.Addr, "POST", "/v1/libraries", []byte(body))
	return "/v1/libraries/" + id, err
}
