// Package repo holds tests of the repository as a whole: that every file is
// formatted and vetted, and that the README says what is so.
package repo
