// Command arrwdb is the arrwDB server and its tools.
package main
