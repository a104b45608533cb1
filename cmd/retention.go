package cmd

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/arrwdb/arrwdb/engine"
)

// retentionFlags say what of the change log may be trimmed.
type retentionFlags struct {
	age                age
	minBytes, maxBytes int64
}

func (f *retentionFlags) register(fl *pflag.FlagSet) {
	f.age = age(engine.DefaultRetentionAge)
	fl.Var(&f.age, "retention", "how long changes stay in the change log: 7d, 36h, or forever")
	fl.Int64Var(&f.minBytes, "retention-min-bytes", engine.DefaultRetentionMinBytes, "newest bytes of the change log that stay whatever their age")
	fl.Int64Var(&f.maxBytes, "retention-max-bytes", 0, "bytes of the change log beyond which its oldest changes go whatever their age; 0 is no limit")
}

// check refuses what contradicts itself.
func (f *retentionFlags) check() error {
	switch {
	case f.minBytes < 0:
		return usagef("--retention-min-bytes must not be below 0")
	case f.maxBytes < 0:
		return usagef("--retention-max-bytes must not be below 0")
	}
	return nil
}

func (f *retentionFlags) policy() engine.Retention {
	r := engine.Retention{Age: time.Duration(f.age), MinBytes: f.minBytes, MaxBytes: f.maxBytes}
	if r.MinBytes == 0 {
		r.MinBytes = -1
	}
	return r
}

// An age is a duration in which "d" stands for 24 hours, or "forever".
type age time.Duration

const day = 24 * time.Hour

func (a *age) Type() string { return "age" }

func (a *age) String() string {
	switch d := time.Duration(*a); {
	case d == engine.RetainForever:
		return "forever"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	default:
		return d.String()
	}
}

func (a *age) Set(s string) error {
	if s == "forever" {
		*a = age(engine.RetainForever)
		return nil
	}
	var d time.Duration
	rest := s
	if days, more, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > uint64(1<<63-1)/uint64(day) {
			return errors.New(`expected 7d, 36h or "forever"`)
		}
		d, rest = time.Duration(n)*day, more
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil {
			return errors.New(`expected 7d, 36h or "forever"`)
		}
		d += more
	}
	if d <= 0 {
		return errors.New("it must be above 0")
	}
	*a = age(d)
	return nil
}
