// Package deps holds the test of the direction of imports. The picture is in the
// README; this is the same as a table, with the reason for each line.
package deps
