# Thin: every target is a command that can be run as it stands.
GO ?= go

build: ## one static binary in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/arrwdb ./cmd/arrwdb

test:
	$(GO) test ./...

check: ## everything that has to be green before a commit
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not gofmt-ed"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test ./...

race: ## needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m ./change ./wal ./engine ./cdc ./index/... ./embed/... ./internal/... ./httpd/... ./client/... ./bench/...
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m -skip 'TestFailedSync|TestSplitsGroups' ./engine/ingest # these two move much data and no new interleaving

crash: ## the long proofs: an hour and a half
	ARRWDB_CRASH_POINTS=2000 $(GO) test ./engine -run 'TestCrash$$' -timeout 60m -v
	ARRWDB_CRASH_POINTS=5000 $(GO) test ./wal -run 'TestCrash$$' -timeout 60m -v
	ARRWDB_E2E_KILLS=100 ARRWDB_E2E_LONG=1 $(GO) test ./cmd/e2e -run 'Kill|Long' -timeout 90m -v
	ARRWDB_SOAK=1h $(GO) test ./engine -run 'TestSearchSoak$$' -timeout 90m -v

FUZZTIME ?= 30s
fuzz: ## each fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test $$pkg -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; done; done

bench: build
	bin/arrwdb bench wal && bin/arrwdb bench ingest && bin/arrwdb bench feed && bin/arrwdb bench search --texts debian && bin/arrwdb bench recover && bin/arrwdb bench relevance

.PHONY: build test check race crash fuzz bench
