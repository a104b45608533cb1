package e2e_test

import (
	"syscall"
	"testing"
)

// available returns how many bytes are free where dir is.
func available(t testing.TB, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}
