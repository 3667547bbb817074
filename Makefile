# Sallyport: "make help" lists the targets.
GO     ?= go
STATE  ?= $(CURDIR)/bin/state
FUZZTIME ?= 30s
BENCH  ?= .
PROCS  ?= 4

# Every module in the tree; those under specs and bench hold independent peers,
# a browser's driver and plots, which the product does not depend on.
MODULES = . specs/peers specs/web bench/compare

.DEFAULT_GOAL := help
.PHONY: help build demo serve test race peers mutants cover test-web bench bench-peers fuzz check tidy fmt cross clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/sallyport
	$(GO) build -o bin/ ./cmd/sallyport

demo: ## show what it does: a server, two clients, a sniffer, the log
	@$(GO) run ./scenarios/demo

serve: build ## run a server with a state directory under bin/
	@./bin/sallyport serve --state $(patsubst $(CURDIR)/%,./%,$(STATE))

test: ## run the specs, in parallel and in random order
	$(GO) tool ginkgo run --procs=$(PROCS) --randomize-all --race --fail-on-pending --fail-on-empty ./specs

race: ## run every Go test under the race detector, the command as well
	SPECS_COMMAND_RACE=1 $(GO) test -race ./...

peers: ## run the specs against independent implementations
	cd specs/peers && $(GO) test -race -ginkgo.randomize-all -ginkgo.fail-on-pending

mutants: ## break the product in many small ways: the specs must notice (MUTANTS="-run nonce")
	@$(GO) run ./specs/mutants $(MUTANTS)

COVER   = specs/out/cover
COVERED = ./protocol/...,./server/...,./client/...

cover: ## say what of the product no test executes, and demand a reason for it
	@rm -rf $(COVER) && mkdir -p $(COVER)/command
	SPECS_COVERDIR=$(CURDIR)/$(COVER)/command $(GO) test -coverpkg=$(COVERED) -coverprofile=$(COVER)/tests.out ./...
	@$(GO) tool covdata textfmt -i=$(COVER)/command -o=/dev/stdout | grep -v /cmd/ > $(COVER)/command.out
	@$(GO) run ./specs/cover $(COVER)/tests.out $(COVER)/command.out

test-web: ## look at the HTML report in headless Chromium; screenshots in specs/out
	cd specs/web && $(GO) test -count=1 ./...

bench: ## measure against the floors, and report to bench/out (BENCH=regexp)
	@cd bench/compare && $(GO) run . -out ../out -bench '$(BENCH)'

bench-peers: ## measure against other servers, and report to bench/out/peers (BENCH=regexp)
	@dir=$$(mktemp -d) && trap 'exit 130' INT TERM HUP && trap 'GO=$(GO) bench/compare/servers.sh stop "$$dir"' EXIT && \
	GO=$(GO) bench/compare/servers.sh start "$$dir" && \
	(cd bench/compare && SALLYPORT_PEERS="$$dir" $(GO) run . -out ../out/peers -bench '$(BENCH)' -peers)

fuzz: ## run every fuzz target for FUZZTIME each
	@packages=$$($(GO) list ./protocol/... ./server/... ./client/... ./scenarios/...) || exit 1; \
	for package in $$packages; do \
		targets=$$($(GO) test -list '^Fuzz' "$$package") || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
		done; \
	done

check: tidy fmt cross ## static checks: tidy, format, vet, staticcheck, imports, cross-compilation
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool depguard ./...
	$(GO) test -run TestFaults ./specs/mutants
	cd specs/peers && $(GO) vet ./...
	cd specs/web && $(GO) vet ./...
	cd bench/compare && $(GO) vet ./...

tidy: # go.mod says what is used, and nothing else
	@for module in $(MODULES); do (cd $$module && $(GO) mod tidy -diff) || exit 1; done

fmt: # formatted by gofumpt
	@unformatted=$$($(GO) tool gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted (go tool gofumpt -w .):"; echo "$$unformatted"; exit 1; fi

cross: # it builds, and so do its tests, where it does not run in earnest
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...

clean: ## remove what was built
	rm -rf bin bench/out specs/out
