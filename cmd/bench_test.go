package cmd

import (
	"os"
	"testing"
)

// One short repetition of each workload, with this test binary as the server.
func TestBench(t *testing.T) {
	t.Setenv(beProgram, "1")
	dir := t.TempDir()
	for workload, only := range map[string]string{"wal": "writers=8/", "ingest": "stream/ack=batch|put/conns=1$", "feed": "sse", "search": "^http/mode=vector"} {
		var v struct {
			Workload string
			Cases    []struct {
				Name    string
				Metrics []any
			}
			Environment map[string]any
		}
		okJSON(t, &v, "bench", workload, "--only", only, "--reps", "1", "--duration", "50ms", "--docs", "200", "--dir", dir)
		if v.Workload != workload || len(v.Cases) == 0 || len(v.Cases[0].Metrics) == 0 || v.Environment["go"] == nil {
			t.Errorf("%s: %+v", workload, v)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, args := range [][]string{{"bench"}, {"bench", "nonsense"}, {"bench", "wal", "--only", "("}} {
		if r := do(t, "", args...); r.code != exitUsage {
			t.Errorf("%v: exit %d", args, r.code)
		}
	}
	contains(t, ok(t, "bench", "wal", "--only", "writers=1/", "--reps", "1", "--duration", "20ms", "--dir", dir), "raw sync", "records/s")
}
