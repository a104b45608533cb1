package main

import (
	"os"

	"github.com/arrwdb/arrwdb/cmd"
)

func main() { os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
