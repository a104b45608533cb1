package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A console writes for people: colours only where somebody looks.
type console struct {
	mu    sync.Mutex
	w     io.Writer
	fancy bool
	n     int // of the step
}

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"
)

func (c *console) line(style, before, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if c.fancy {
		text = style + text + plain
	}
	fmt.Fprintln(c.w, before+text)
}

func (c *console) step(n int) { c.n = n }

func (c *console) head(format string, args ...any) {
	c.line(bold, "\n", "%d  "+format, append([]any{c.n}, args...)...)
}
func (c *console) title(format string, args ...any) { c.line(bold, "\n", format, args...) }
func (c *console) say(format string, args ...any)   { c.line("", "   ", format, args...) }
func (c *console) good(format string, args ...any)  { c.line(green, "   ", "✓ "+format, args...) }
func (c *console) alarm(format string, args ...any) { c.line(red+bold, "   ", format, args...) }
func (c *console) event(text string)                { c.line(cyan, "   ", "feed    %s", text) }
func (c *console) code(format string, args ...any)  { c.line(dim, "   ", format, args...) }

// hit shows what a search has found; <em> marks the query's words.
func (c *console) hit(rank int, score float64, title, text string) {
	on, off := "*", "*"
	if c.fancy {
		on, off = bold, plain
	}
	if r := []rune(text); len(r) > 120 && !strings.Contains(text, "<em>") {
		text = string(r[:120]) + "…" // what is highlighted is short
	}
	text = strings.NewReplacer("<em>", on, "</em>", off).Replace(text)
	c.line("", "     ", "%d  %.2f  %s: %s", rank, score, title, text)
}

// bar is a bar that moves where somebody looks.
func (c *console) bar(n int) *progressbar.ProgressBar {
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(c.w), progressbar.OptionSetVisibility(c.fancy),
		progressbar.OptionSetDescription("   importing"), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
}

// number writes 12,345.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func millis(since time.Time) string {
	return fmt.Sprintf("%.1f ms", float64(time.Since(since).Microseconds())/1000)
}
