package bench

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// An Environment is where a report was measured. What cannot be found out is
// left empty.
type Environment struct {
	Date        string `json:"date"`
	Commit      string `json:"commit"`
	Go          string `json:"go"`
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	Kernel      string `json:"kernel"`
	Filesystem  string `json:"filesystem"`
}

func describe(dir string, at time.Time) Environment {
	return Environment{
		Date: at.UTC().Format(time.RFC3339), Commit: commit(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPU:         field("/proc/cpuinfo", "model name"),
		Cores:       runtime.GOMAXPROCS(0),
		MemoryBytes: kilobytes(field("/proc/meminfo", "MemTotal")),
		Kernel:      kernel(),
		Filesystem:  filesystem(dir),
	}
}

// commit is the one that the program was built from, or else the one that the
// working directory is at.
func commit() string {
	rev, dirty := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				rev = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	if rev == "" {
		out, err := exec.Command("git", "rev-parse", "HEAD").Output()
		if err != nil {
			return ""
		}
		return short(strings.TrimSpace(string(out))) + " (working directory)"
	}
	return short(rev) + dirty
}

func short(rev string) string { return rev[:min(len(rev), 12)] }

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

// field returns the value of the first line "name : value" of a file.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// kilobytes reads "123 kB", as /proc writes sizes, and returns bytes, 0 where it
// is something else.
func kilobytes(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}
