// Package openai is the embedding provider that calls any service which speaks
// OpenAI's POST {base_url}/embeddings: a hosted one, or a program on the machine.
//
// A [Client] is one for the whole server: it bounds how many requests are under way,
// and holds the guard that keeps requests away from private addresses. A [Model] is
// what one library embeds with.
package openai
