package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envName is the variable that sets a flag.
func envName(flag string) string {
	return "ARRWDB_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// An origin says where a setting comes from; the higher one wins.
type origin int

const (
	fromDefault origin = iota
	fromFile
	fromEnvironment
	fromFlag
)

// origin returns where a setting of the command comes from.
func (a *app) origin(flag string, cmd *cobra.Command) origin {
	if cmd.Flags().Changed(flag) {
		return fromFlag
	}
	return a.origins[flag]
}

// settings fills in what flags do not say: from ARRWDB_* variables, then from
// the settings file.
func (a *app) settings(cmd *cobra.Command, _ []string) error {
	if a.config == "" {
		a.config = os.Getenv(envName("config"))
	}
	file, err := readSettings(a.config)
	if err != nil {
		return err
	}
	a.origins = map[string]origin{}
	known := map[string]bool{}
	allFlags(cmd.Root(), known)
	names := make([]string, 0, len(file))
	for name := range file {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !known[name] || name == "config" {
			return usagef("%s, line %d: there is no setting %q", a.config, file[name].line, name)
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || f.Name == "config" || f.Name == "help" {
			return
		}
		if v, ok := os.LookupEnv(envName(f.Name)); ok {
			if e := set(f.Value, v); e != nil {
				err = usagef("%s: %v", envName(f.Name), e)
			}
			a.origins[f.Name] = fromEnvironment
			return
		}
		if s, ok := file[f.Name]; ok {
			if e := set(f.Value, s.value); e != nil {
				err = usagef("%s, line %d: %s: %v", a.config, s.line, f.Name, e)
			}
			a.origins[f.Name] = fromFile
		}
	})
	if err == nil && a.output != "text" && a.output != "json" {
		return usagef("--output %q is neither text nor json", a.output)
	}
	return err
}

// set sets a flag; a list's elements are separated by commas.
func set(v pflag.Value, s string) error {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.Replace(strings.Split(s, ","))
	}
	return v.Set(s)
}

func allFlags(cmd *cobra.Command, names map[string]bool) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	for _, sub := range cmd.Commands() {
		allFlags(sub, names)
	}
}

type setting struct {
	value string
	line  int
}

// readSettings reads a settings file: one JSON object, whose values are strings,
// numbers, booleans or arrays of strings.
func readSettings(name string) (map[string]setting, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{err}
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	line := func() int { return 1 + bytes.Count(b[:dec.InputOffset()], []byte("\n")) }
	bad := func(format string, args ...any) error {
		return usagef("%s, line %d: %s", name, line(), fmt.Sprintf(format, args...))
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, bad("a settings file is one JSON object")
	}
	out := map[string]setting{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, bad("%v", err)
		}
		key := t.(string)
		at := line()
		if _, twice := out[key]; twice {
			return nil, bad("%q stands twice", key)
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, bad("%s: %v", key, err)
		}
		switch v := v.(type) {
		case string, bool, json.Number:
			out[key] = setting{fmt.Sprint(v), at}
		case []any:
			var parts []string
			for _, e := range v {
				s, ok := e.(string)
				if !ok {
					return nil, bad("%s: an array of strings is expected", key)
				}
				parts = append(parts, s)
			}
			out[key] = setting{strings.Join(parts, ","), at}
		default:
			return nil, bad("%s: a string, a number, true, false or an array of strings is expected", key)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad("%v", err)
	}
	return out, nil
}
