package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	// Not used: it tells the go command that a result of these tests is out of date
	// once any part of the program has changed.
	_ "github.com/arrwdb/arrwdb/cmd"
)

// patience bounds every wait for something that must happen. It is long because
// the machine may be slow; nothing waits that long when all is well.
const patience = 20 * time.Second

var (
	binary  string // the program under test
	tempDir string // removed at the end
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if tempDir, err = os.MkdirTemp("", "arrwdb-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tempDir)
	if binary = os.Getenv("ARRWDB_E2E_BIN"); binary == "" {
		binary = filepath.Join(tempDir, "arrwdb")
		if err := build(binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	for _, s := range []*server{openWorld.srv, keyedWorld.srv} {
		if s == nil {
			continue
		}
		if got := s.stop(); got != 0 {
			fmt.Fprintf(os.Stderr, "a shared server exited %d on SIGTERM:\n%s\n", got, s.log())
			code = 1
		}
	}
	return code
}

func build(out string) error {
	args, cgo := []string{"build", "-o", out}, "CGO_ENABLED=0"
	if os.Getenv("ARRWDB_E2E_RACE") != "" {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(args, "./cmd/arrwdb")...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), cgo)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/arrwdb: %w\n%s", err, output)
	}
	return nil
}
