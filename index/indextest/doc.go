// Package indextest is the suite that every structure behind [index.Vectors] must
// pass. It feeds one with a story of appends, copies and deaths, asks it and a scan of
// all rows the same questions, and compares: exact structures must give the same hits
// in the same order with the same scores; others must give true scores in the right
// order and find enough.
package indextest
