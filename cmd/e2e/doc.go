// Package e2e holds the end-to-end suite: it builds the real binary, starts it
// on a loopback port, talks to it as a stranger would, kills it and starts it
// again. It knows the wire contract and the OpenAPI document, and nothing of the
// server's insides.
//
// Every answer is checked against httpd/openapi.json. The functional tests run
// twice: against an open server, and with a key that sees only its own
// libraries, beside a foreign one that must never show.
//
//	go test ./cmd/e2e                          the fast suite
//	ARRWDB_E2E_LONG=1 go test ./cmd/e2e        with uploads of 300 MB
//	ARRWDB_E2E_KILLS=100 go test -run Kill ./cmd/e2e -timeout 30m
//	ARRWDB_E2E_SEED=7 go test -run Kill ./cmd/e2e
//	ARRWDB_E2E_RACE=1 go test ./cmd/e2e        the binary built with -race
//	ARRWDB_E2E_BIN=path go test ./cmd/e2e      a binary that is already built
package e2e
