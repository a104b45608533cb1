// Command mkcorpus makes the demo's corpus from the files of WordNet 3.0 (Debian
// package wordnet-base):
//
//	go run ./cmd/demo/mkcorpus -dict /usr/share/wordnet -out cmd/demo/wordnet.ndjson.gz
//
// It takes the synsets of nouns, verbs and adjectives whose words are most
// frequent in WordNet's own tagged texts, one document each. The same input
// gives the same bytes.
package main
