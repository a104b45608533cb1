// Package analysis turns texts into terms: Unicode words (UAX #29, section 4),
// lower case, without the stop words of a language, and reduced to stems
// (Snowball). Indexing and queries use the same analyzer, so that forms of a word
// find each other.
//
// Terms are data of the keyword index: a change to what an analyzer gives needs
// another [Version], which makes indexes be built anew.
package analysis
