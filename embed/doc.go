// Package embed turns texts into vectors. It knows no log, no store and no HTTP.
//
// The built-in model needs no network and no key: static word vectors (GloVe,
// Pennington, Socher and Manning, EMNLP 2014), and for a text their weighted mean
// with the common direction taken out (SIF: Arora, Liang and Ma, "A Simple but
// Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017, section 3). It is a
// bag of English words: it finds texts that say the same in other words, and
// knows neither order nor negation. DESIGN.md says what that gives and what not.
//
// A model's name and the hash of its data are pinned by the library that uses it,
// so that vectors of different models never meet.
package embed
