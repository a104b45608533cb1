package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

// A child is a server process of the demo's own.
type child struct {
	program, data, listen string

	cmd    *exec.Cmd
	stdin  io.Closer // its end tells the server that the demo is gone
	said   *bytes.Buffer
	exited chan struct{} // closed once said may be read
	err    error
}

// listenAddress returns an address to listen on: want, or where that is taken,
// a free port.
func listenAddress(want string) (string, error) {
	l, err := net.Listen("tcp", want)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	addr := l.Addr().String()
	return addr, l.Close()
}

func (c *child) base() string { return "http://" + c.listen }

// start starts the server and returns once it takes requests.
func (c *child) start(ctx context.Context) error {
	cmd := exec.Command(c.program, "serve", "--data", c.data, "--listen", c.listen, "--end-with-stdin")
	// The settings of whoever runs the demo are for other servers.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ARRWDB_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	c.said = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = c.said, c.said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.stdin, c.exited = cmd, in, make(chan struct{})
	go func(done chan struct{}) {
		c.err = cmd.Wait()
		close(done)
	}(c.exited)
	return c.ready(ctx)
}

// startTimeout is how long a small database may take to recover.
const startTimeout = 30 * time.Second

func (c *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.New(c.base(), "").Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			return fmt.Errorf("the server ended at its start: %w\n%s", errors.Join(c.err), c.said)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the process as kill -9 does.
func (c *child) kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill() // fails only where it has ended
	<-c.exited
}

// stop ends the server in good order.
func (c *child) stop() error {
	if c.cmd == nil {
		return nil
	}
	c.stdin.Close()
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		c.kill()
		return errors.New("the server did not end in 10 s and was killed")
	}
	if c.err != nil {
		return fmt.Errorf("the server: %w\n%s", c.err, c.said)
	}
	return nil
}
