# "make help" lists the targets.
GO       ?= go
# the server's files of "make serve"
STATE    ?= $(CURDIR)/bin/state
# how long each fuzz target runs, or how often (1000x)
FUZZTIME ?= 30s
# which benchmarks run
BENCH    ?= .
# how many processes run specs at once
PROCS    ?= 4

# The product is the first module. The others hold independent peers, etcd's server, the
# driver of a browser and plots, so that the product does not depend on them.
MODULES = . specs/peers specs/web specs/fleet bench/compare cmd/sallyport/packaging

.DEFAULT_GOAL := help
.PHONY: help build demo serve test race fleet fleet-soak peers probe-peers mutants cover test-web dist deb package-test bench bench-peers soak crowd fuzz check tidy fmt cross clean

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

# which packages "make race" tests
RACED ?= ./...

race: ## run every Go test with the race detector, in the command as well
	SPECS_COMMAND_RACE=1 $(GO) test -race $(RACED)

fleet: ## test the directory and what gates share, against a real etcd in the process
	cd specs/fleet && $(GO) test -race -count=1 -parallel 12 ./... # they wait more than they compute

fleet-soak: ## run gates that share a seat among kills, stops, partitions and full disks for $SOAK (30m), then judge (SOAKFLAGS=-help)
	@cd specs/fleet && $(GO) run ./soak $(SOAKFLAGS)

peers: ## run the specs against independent implementations
	cd specs/peers && $(GO) test -race -ginkgo.randomize-all -ginkgo.fail-on-pending

probe-peers: ## judge other servers and clients by all rules; pages in specs/out/probe
	cd specs/peers && SALLYPORT_PROBE_LEVEL=all SALLYPORT_PROBE_OUT=$(CURDIR)/specs/out/probe $(GO) test -count=1 -ginkgo.label-filter=area:probe

mutants: ## break the product in many small ways, which the specs must notice (MUTANTS=-help)
	@$(GO) run ./specs/mutants $(MUTANTS)

# The tests, and the command where they run it, leave what they executed in COVER.
COVER       = $(CURDIR)/specs/out/cover
COVERED     = ./protocol/... ./server/... ./client/...
# Measured: 97.7 %. A few statements depend on which of two goroutines is first.
COVER_LEAST ?= 97.0

cover: ## measure what the tests execute of the product, and demand nearly all of it
	@rm -rf $(COVER) && mkdir -p $(COVER)/data
	SPECS_COVERDIR=$(COVER)/data $(GO) test -coverpkg=$$(echo $(COVERED) | tr ' ' ,) ./... -args -test.gocoverdir=$(COVER)/data
	@packages=$$($(GO) list $(COVERED) | paste -sd, -) && \
	$(GO) tool covdata percent -i=$(COVER)/data -pkg="$$packages" && \
	$(GO) tool covdata textfmt -i=$(COVER)/data -pkg="$$packages" -o=$(COVER)/profile
	@# A line of the profile: FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT
	@sort -t: -k1,1 -k2,2n $(COVER)/profile | awk -F '[:, ]' -v least=$(COVER_LEAST) ' \
		function report() { \
			if (first) print "not executed: " file ":" first "-" last (last - first >= 5 ? " MORE THAN FIVE LINES" : ""); \
			long = long || first && last - first >= 5; first = 0 \
		} \
		$$1 == "mode" || !$$4 { next } \
		{ sub("^github.com/sallyport/sallyport/", "") } \
		$$5 || $$1 != file { report() } \
		$$5 { hit += $$4 } \
		!$$5 { if (!first) first = int($$2); last = int($$3) } \
		{ file = $$1; all += $$4 } \
		END { \
			report(); \
			printf "total: %.1f %% of %d statements; wanted: %s %%, and no stretch of more than five lines missed\n", 100 * hit / all, all, least; \
			exit long || 100 * hit < least * all \
		}'

test-web: ## look at the HTML report in headless Chromium; screenshots in specs/out
	cd specs/web && $(GO) test -count=1 ./...

dist: ## build static binaries for all systems, and their SHA256SUMS, in bin/dist
	@GO='$(GO)' cmd/sallyport/packaging/build dist bin/dist

deb: ## build the Debian package in bin/deb (ARCH=arm64 for another machine)
	@GO='$(GO)' cmd/sallyport/packaging/build deb bin/deb

# Two versions of the package, and a small Debian, which is kept. One package of tests at a time: both need that Debian.
PACKAGED = $(CURDIR)/bin/package-test

package-test: ## install, use, upgrade and remove the package in a Debian of its own (needs root)
	@rm -rf $(PACKAGED)/*.deb $(PACKAGED)/old && mkdir -p $(PACKAGED)
	@VERSION=0.0.0 cmd/sallyport/packaging/build deb $(PACKAGED)/old && mv $(PACKAGED)/old/*.deb $(PACKAGED)/old.deb
	@cmd/sallyport/packaging/build deb $(PACKAGED) && mv $(PACKAGED)/sallyport_*.deb $(PACKAGED)/new.deb
	@rm -rf $(PACKAGED)/clone $(PACKAGED)/again; \
	if [ -n "$$(git status --porcelain)" ]; then echo "uncommitted changes: not compared with a build in another directory"; else \
		git clone --quiet . $(PACKAGED)/clone && $(PACKAGED)/clone/cmd/sallyport/packaging/build deb $(PACKAGED)/again && \
		cmp $(PACKAGED)/again/*.deb $(PACKAGED)/new.deb && echo "a build in another directory is the same"; fi
	SPECS_DEB=$(PACKAGED) $(GO) test -p 1 -count=1 -run '$(PACKAGE_TESTS)' ./specs/debian ./specs/recipes

PACKAGE_TESTS ?= Package|Operate

bench: ## measure beside floors and servers in Go, and report to bench/out (BENCH=regexp)
	@cd bench/compare && $(GO) run . -out ../out -bench '$(BENCH)'

bench-peers: ## measure beside all peers that are installed, and report to bench/out/peers (BENCH=regexp)
	@dir=$$(mktemp -d) && trap 'exit 130' INT TERM HUP && trap 'GO=$(GO) bench/compare/servers.sh stop "$$dir"' EXIT && \
	GO=$(GO) bench/compare/servers.sh start "$$dir" && \
	(cd bench/compare && SALLYPORT_PEERS="$$dir" $(GO) run . -out ../out/peers -bench '$(BENCH)' -peers)

soak: ## run the command among bad clients and faults for $SOAK (10m), then judge (SOAKFLAGS=-help)
	@$(GO) run ./specs/soak $(SOAKFLAGS)

crowd: ## measure what crowds of strangers do to a login and to a request (CROWD=-short: only that none is refused)
	@$(GO) run ./specs/crowd $(CROWD)

fuzz: ## run every fuzz target for FUZZTIME each, and say how many inputs they ran
	@packages=$$($(GO) list ./protocol/... ./server/... ./client/... ./scenarios/...) || exit 1; \
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && total=0 && \
	for package in $$packages; do \
		targets=$$($(GO) test -list '^Fuzz' "$$package") || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			{ $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package"; \
				echo $$? >"$$dir/status"; } | tee "$$dir/out"; \
			[ "$$(cat "$$dir/status")" = 0 ] || exit 1; \
			inputs=$$(sed -n 's/.* execs: \([0-9]*\) .*/\1/p' "$$dir/out" | tail -1); \
			total=$$((total + $${inputs:-0})); \
			echo "== $$target: $${inputs:-0} inputs, $$total so far"; \
		done; \
	done; \
	echo "$$total inputs over all targets, no crash"

check: tidy fmt cross ## check statically: modules, format, vet, staticcheck, imports, other systems, stale faults
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool depguard ./...
	$(GO) test -run TestFaults ./specs/mutants
	cd specs/peers && $(GO) vet ./...
	cd specs/web && $(GO) vet ./...
	cd specs/fleet && $(GO) vet ./...
	cd bench/compare && $(GO) vet ./...

tidy: # each go.mod lists what its module uses, and nothing else
	@for module in $(MODULES); do (cd $$module && $(GO) mod tidy -diff) || exit 1; done

fmt: # gofumpt would change nothing
	@unformatted=$$($(GO) tool gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted (go tool gofumpt -w .):"; echo "$$unformatted"; exit 1; fi

cross: # the code and its tests compile for other systems and processors
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	GOOS=linux GOARCH=arm64 $(GO) build ./...

clean: ## remove everything that was built
	rm -rf bin bench/out specs/out
