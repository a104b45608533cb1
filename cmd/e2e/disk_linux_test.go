package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// smallDisk mounts an ext4 file system of its own.
func smallDisk(t *testing.T, megabytes int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(megabytes << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, mount}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return mount
}

// fillDisk writes a file until bytes are free, or with 0 until nothing more goes in.
func fillDisk(t *testing.T, name string, free int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	junk := make([]byte, 256<<10)
	for available(t, filepath.Dir(name)) > free {
		if _, err := f.Write(junk); err != nil {
			break
		}
	}
	_ = f.Sync()
}

// TestFullDisk fills a disk under a server at work, again and again: writes get
// disk_full, reads and deletes go on, and when there is room again writes do too,
// without a restart. Nothing that was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	mount := smallDisk(t, 200)
	rounds := 2
	if os.Getenv("ARRWDB_E2E_LONG") != "" {
		rounds = 100
	}
	s := startServer(t, filepath.Join(mount, "data"), "--log-segment-size", "8388608", "--recovery-target", "50ms", "--retention-max-bytes", "16777216")
	c := newClient(s.base(), "")
	e := &env{client: c, srv: s, root: c, names: envNames()}
	lib := e.lib2(t)
	r := rand.New(rand.NewPCG(1, 1))
	var mu sync.Mutex
	acked := map[string]bool{}
	write := func(id string) bool {
		res := e.put(t, doc(lib, id), J{"chunks": []J{{"text": strings.Repeat("full of words ", 700), "embedding": []float64{1, 0.5, 0.25}}}})
		if res.status == 507 {
			same(t, "code", res.problem(507, "disk_full")["code"], "disk_full")
			return false
		}
		res.is(200, 201)
		mu.Lock()
		defer mu.Unlock()
		acked[id] = true
		return true
	}
	for round := range rounds {
		fillDisk(t, filepath.Join(mount, "other"), int64(28+r.IntN(16))<<20)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; write(fmt.Sprintf("%d-%d-%d", round, w, i)); i++ {
				}
			})
		}
		wg.Wait()
		if round%2 == 1 {
			fillDisk(t, filepath.Join(mount, "more"), 0)
		}
		mu.Lock()
		some := ""
		for id := range acked {
			some = id
			break
		}
		mu.Unlock()
		e.get(t, doc(lib, some)).is(200)
		if n := len(list(e.post(t, "/v1/libraries/"+lib+"/search", J{"query": "words", "mode": "keyword"}).is(200).obj(), "results")); n == 0 {
			t.Error("a search on a full disk finds nothing")
		}
		e.del(t, doc(lib, some)).is(200)
		delete(acked, some)
		same(t, "state", e.get(t, "/v1/status").is(200).obj()["disk"].(J)["state"], "full")
		for _, name := range []string{"other", "more"} {
			_ = os.Remove(filepath.Join(mount, name))
		}
		eventually(t, "writes go on", func() bool { return write(fmt.Sprintf("%d-after", round)) })
		if round%3 == 1 {
			e.srv.restart(t, true)
		}
	}
	for id := range acked {
		e.get(t, doc(lib, id)).is(200)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.log())
	}
	v := cliJSON(t, "verify", "--full", "--data", s.dir, "--output", "json").(J)
	same(t, "problems", len(list(v, "problems")), 0)
	t.Logf("%d documents in %d rounds", len(acked), rounds)
}
