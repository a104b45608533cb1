package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A request to the echo: u32 µs of work, u32 bytes that follow, u32 bytes of the
// answer; then those bytes.
const echoHead = 12

// echoMost is how many bytes a request or an answer of the echo has at most.
const echoMost = 64 << 20

// Echo answers every request with as many bytes as it asks for, after as much work:
// what any server would take that does nothing but read, work and write. A process
// of its own serves it, as the time that a sleeping process takes to wake is most of
// what is measured. It returns when ln is closed.
func Echo(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = answerEchoes(c)
		}()
	}
}

func answerEchoes(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	var head [echoHead]byte
	var b []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		work := time.Duration(binary.LittleEndian.Uint32(head[:])) * time.Microsecond
		in, out := int(binary.LittleEndian.Uint32(head[4:])), int(binary.LittleEndian.Uint32(head[8:]))
		if n := max(in, out); n > echoMost {
			return errors.New("bench: an echo of too many bytes")
		} else if n > len(b) {
			b = make([]byte, n)
		}
		if _, err := io.ReadFull(r, b[:in]); err != nil {
			return err
		}
		for start := time.Now(); time.Since(start) < work; {
		}
		if _, err := c.Write(b[:out]); err != nil {
			return err
		}
	}
}

// startEcho starts an echo in a process of its own, which ends with this one.
func (e *Env) startEcho() (addr string, stop func(), err error) {
	program, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(program, "bench", "echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = sync.OnceFunc(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, errors.Join(errors.New("bench: the echo has not started"), err)
	}
	return strings.TrimSpace(addr), stop, nil
}

// echoes makes such requests, one after the other, for that long.
func echoes(c *conn, work time.Duration, in, out int, d time.Duration) (latency, error) {
	hist := newLatency()
	c.SetDeadline(time.Now().Add(d + ioTimeout))
	b := make([]byte, max(echoHead+in, out))
	for start := time.Now(); hist.count() == 0 || time.Since(start) < d; {
		binary.LittleEndian.PutUint32(b, uint32(work.Microseconds()))
		binary.LittleEndian.PutUint32(b[4:], uint32(in))
		binary.LittleEndian.PutUint32(b[8:], uint32(out))
		at := time.Now()
		if _, err := c.Write(b[:echoHead+in]); err != nil {
			return hist, err
		}
		if _, err := io.ReadFull(c.r, b[:out]); err != nil {
			return hist, err
		}
		hist.record(time.Since(at))
	}
	return hist, nil
}
