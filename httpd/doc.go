// Package httpd serves the wire contract over HTTP: one route table, from which
// dispatch, authorisation, 404 and 405, and the test against /openapi.json all
// derive. It is the only package that knows HTTP.
//
// Live streams (SSE, following NDJSON, flowing ingest answers) run on the
// hijacked connection: fasthttp's own body streams have one write deadline for
// the whole answer and cannot see that a client has gone.
package httpd
