// Package cmd is the command line: it wires the parts, and flags, environment,
// output and exit codes live here. One verb, one file.
package cmd
