package cmd

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arrwdb/arrwdb/client"
)

func TestServe(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, path := range []string{"/livez", "/readyz", "/v1/status"} {
		res, err := http.Get(s.base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	r := do(t, "", "serve", "--data", s.data, "--listen", "127.0.0.1:0")
	if r.code != exitInUse {
		t.Errorf("a second server: exit %d, want 3\n%s", r.code, r.err)
	}
	contains(t, r.err, fmt.Sprint(os.Getpid()))
	begin := time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, s.said.text())
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if _, err := http.Get(s.base + "/livez"); err == nil {
		t.Error("somebody answers after the end")
	}
}

func TestServeNeedsKeys(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		r := do(t, "", "serve", "--data", t.TempDir(), "--listen", listen)
		if r.code != exitUsage || !strings.Contains(r.err, "keys create") {
			t.Errorf("%s: exit %d, want 2\n%s", listen, r.code, r.err)
		}
	}
}

func TestServeTakesTheAdminKey(t *testing.T) {
	secret := strings.Repeat("s3cret-", 8)
	t.Setenv("ARRWDB_ADMIN_KEY_FILE", file(t, "key", secret+"\n"))
	s := serve(t, t.TempDir())
	if err := client.New(s.base, secret).RevokeKey(t.Context(), "none"); !client.IsCode(err, "not_found") {
		t.Errorf("with the key: %v", err)
	}
	if _, err := client.New(s.base, "").Status(t.Context()); !client.IsCode(err, "unauthenticated") {
		t.Errorf("without: %v", err)
	}
	t.Setenv("ARRWDB_ADMIN_KEY_FILE", "/none/such")
	if r := do(t, "", "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"); r.code != exitUsage {
		t.Errorf("no such file: exit %d\n%s", r.code, r.err)
	}
}

func TestServeEndsWithStdin(t *testing.T) {
	in, parent := io.Pipe()
	said := newWatch(regexp.MustCompile(`listening on (http://\S+),`))
	code := make(chan int, 1)
	data := t.TempDir()
	go func() {
		code <- run(t.Context(), []string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--end-with-stdin"}, in, io.Discard, said)
	}()
	<-said.found
	parent.Close()
	if got := <-code; got != 0 {
		t.Errorf("exit %d\n%s", got, said.text())
	}
}

func TestServeRefusesLimitsThatAllowNothing(t *testing.T) {
	for _, flag := range []string{"--max-uploads", "--max-conns", "--max-streams", "--max-line-bytes", "--receipt-spool", "--log-segment-size", "--recovery-target"} {
		r := do(t, "", "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", flag, "0")
		if r.code != exitUsage || !strings.Contains(r.err, flag) {
			t.Errorf("%s 0: exit %d, want 2\n%s", flag, r.code, r.err)
		}
	}
}
