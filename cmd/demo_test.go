package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The whole tour, with this test binary as the program that it starts.
func TestDemo(t *testing.T) {
	t.Setenv(beProgram, "1")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	cmd := exec.Command(os.Args[0], "demo", "--exit")
	b, err := cmd.CombinedOutput()
	out := string(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, out, "✓ 5,000 documents sent, 5,000 there", "✓ events 1 to 5,001: each once, in order", "kill -9", "connected again", "curl ")
	if strings.Contains(out, "\x1b[") {
		t.Error("colours without a terminal")
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Ctrl-C ends it in good order.
func TestDemoEnds(t *testing.T) {
	t.Setenv(beProgram, "1")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	cmd := exec.Command(os.Args[0], "demo", "--listen", "127.0.0.1:0")
	out := newWatch(regexp.MustCompile(`(Ctrl-C ends it)`))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); out.end() }()
	<-out.found
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out.text())
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDemoWantsANewDirectory(t *testing.T) {
	name := file(t, "something", "")
	if r := do(t, "", "demo", "--exit", "--data", filepath.Dir(name)); r.code != exitFailed || !strings.Contains(r.err, "not empty") {
		t.Errorf("exit %d\n%s", r.code, r.err)
	}
}
