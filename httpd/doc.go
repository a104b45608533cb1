// Package httpd serves the wire contract over HTTP: one route table, from which
// dispatch, authorisation, 404 and 405, and the test against /openapi.json all
// derive. It is the only package that knows HTTP.
//
// A Server can be made before its database is open: /livez and /readyz answer
// from the first moment, everything else is 503 until SetDB.
//
// Live streams (SSE, following NDJSON, exports, flowing ingest answers) run on the
// hijacked connection: fasthttp's own body streams have one write deadline for
// the whole answer and cannot see that a client has gone. DESIGN.md beside this
// file lists what fasthttp does and what is done about it.
package httpd
