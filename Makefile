# make build   bin/kinopio-hub and npm/dist
# make demo    build, and run the demo; ARGS="--port 8080 --open" are its flags
# make test    everything that CI checks; installs what is missing (Debian)
# make bench   run the benchmarks, print the table, write bench/results.json
# make continuity   move hubs while every message is counted, print the table; 30 minutes
# make browsers   what make test plays in Firefox and WebKitGTK, with all that it plays in Chromium alone; 20 minutes
# make pack    npm tarballs in npm/pack: the package, and the native program for each platform
# make pack-test   what make test does with the packages, with all package managers, bundlers, runtimes; 15 minutes
# make sim     simulate the election in a million LANs, hubs that move in a million scenarios, values and members in a million worlds
# make lan     leaf auto on several hosts (network namespaces), and how long each change takes
# make fuzz    fuzz each parser for 30 seconds; FUZZTIME=10m is longer, FUZZ=Manifest only those of that name
# make leaf-test   what make test does with a leaf, with 1,000 clients, 1,000 leaves, a slow user, 200 kills; 6 minutes
# make lint    gofmt, vet (for macOS and Windows, too), staticcheck and tsc
# make clean   remove what was built

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

GO     ?= go
ARGS   ?=
RELEASE = -trimpath -ldflags="-s -w"
JS      = GOOS=js GOARCH=wasm

# Packages that work once for a connection, or never, and sync, whose locks nobody contends for in a page: in the
# page's module their functions stand once each, not wherever they are called, which saves a thirtieth of the download.
cold    = context crypto/... encoding/... errors fmt io math/... github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson net/... reflect sync time

# Tests must not touch the trust stores of whoever runs them.
export KINOPIO_SKIP_CA_TRUST_INSTALL = 1

# What the two programs are made of: all files, as some are embedded.
existing     = $(foreach dir,$(1),$(if $(wildcard $(dir)),$(dir)))
files        = $(if $(call existing,$(1)),$(shell find $(call existing,$(1)) -type f ! -name '*_test.go'))
wasm_files  := go.mod go.sum $(call files,wasm hub transport internal)
bin_files   := $(wasm_files) $(call files,cmd leaf election tlsca)
npm_files   := $(call files,npm/src) $(wildcard npm/*.json npm/*.mjs)

# What runs in a browser, and which of it has tests that do.
js_packages  = $(addprefix ./,$(addsuffix /...,$(call existing,hub internal transport wasm examples))) ./conformance
wasm_tests  ?= ./internal/... ./transport/... ./conformance

.PHONY: build demo test bench browsers continuity sim lan fuzz leaf-test pack pack-test pack-test-setup pack-test-installs pack-test-runtimes pack-test-pages pack-test-programs lint clean setup test-all test-go test-go-race test-go-moves test-go-pages-engine test-wasm test-npm test-e2e test-e2e-browser test-e2e-moves

build: bin/kinopio-hub npm/dist/index.mjs

bin/kinopio-hub: $(bin_files)
	CGO_ENABLED=0 $(GO) build $(RELEASE) -o $@ ./cmd/kinopio-hub

npm/dist/kinopio-hub.wasm: $(wasm_files)
	$(JS) $(GO) build -tags kinopio_page $(RELEASE) $(foreach package,$(cold),-gcflags='$(package)=-l') -o $@ ./wasm

npm/node_modules/.package-lock.json: npm/package.json npm/package-lock.json
	cd npm && npm ci --no-audit --no-fund
	touch $@

# Bundlers and checkers of packages, for tests only.
npm/tools/node_modules/.package-lock.json: npm/tools/package.json npm/tools/package-lock.json
	cd npm/tools && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

npm/dist/index.mjs: npm/dist/kinopio-hub.wasm npm/node_modules/.package-lock.json $(npm_files)
	cd npm && npm run build
	touch $@

demo: build
	bin/kinopio-hub demo $(ARGS)

bench:
	@if [ ! -d bench ]; then echo "error: there is no benchmark yet: the folder bench does not exist" >&2; exit 1; fi
	$(MAKE) --no-print-directory build
	$(GO) run ./bench

# MOVES is how many in each planned row, ROWS picks native rows, docs/continuity.md has more.
ROWS  ?=
MOVES ?= 10
continuity: build
	status=0; \
	$(GO) run ./continuity -moves $(MOVES) -rows '$(ROWS)' -parallel 4 $(if $(ROWS),,-bridge) -out continuity/results.json $(ARGS) || status=1; \
	$(if $(ROWS),,$(GO) run ./continuity -browser -moves 5 -abrupt 3 -rows '/8$$' -out continuity/results-chromium.json || status=1;) \
	exit $$status

# In Chromium, Firefox and WebKitGTK: all of e2e that is not about what one of them has, and Go's own tests
# for the browser. docs/browsers.md says what the two tests are that are left out, and why.
ENGINES ?= chromium firefox webkit
unlike_firefox = CancelledDialLeavesNothingOpen
unlike_webkit  = WriteWaitsWhileThePeerDoesNotRead
named_chromium = Chromium
named_firefox  = Firefox
named_webkit   = WebKit
browsers: setup build bin/wasmtest npm/tools/node_modules/.package-lock.json
	status=0; \
	$(foreach engine,$(ENGINES),KINOPIO_BROWSERS=whole $(GO) test -count=1 -timeout 30m -v -run 'TestIn$(named_$(engine))$$' ./e2e || status=1; \
	KINOPIO_BROWSER=$(engine) $(JS) $(GO) test -count=1 -p 1 -exec $(CURDIR)/bin/wasmtest $(if $(unlike_$(engine)),-skip '//$(unlike_$(engine))$$') $(wasm_tests) || status=1; ) \
	exit $$status

# PLATFORMS=linux-x64 packs for that one only; npm/platforms.json has them all.
pack: build
	node scripts/pack.mjs $(if $(PLATFORMS),--platforms $(PLATFORMS))

# On linux-x64 alone: the other runtimes are its. Each part can be run by itself.
long = npm/tools/long/node_modules
pack-test: pack-test-installs pack-test-runtimes pack-test-pages pack-test-programs

pack-test-setup: setup build npm/tools/node_modules/.package-lock.json
	@case "$$(uname -sm)" in "Linux x86_64") ;; *) echo "error: make pack-test runs on Linux x86_64, this is $$(uname -sm)" >&2; exit 1;; esac
	scripts/setup pack-test
	cd npm/tools/long && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --prefer-offline

# npm, pnpm, yarn; Node 20, 22, 24, Bun and Deno.
pack-test-installs: pack-test-setup
	cd npm && KINOPIO_PACK_TEST=long node --test test/package.test.mjs

# The tests of the package in Bun, in Deno and in the other versions of Node.
pack-test-runtimes: pack-test-setup
	for version in 22 24; do npm/tools/long/node_modules/node$$version/bin/node --test npm/test/{hub,interop,vectors,options,sockets,conformance,load,secure,leaf}.test.mjs || exit 1; done
	PATH=$(CURDIR)/$(long)/@oven/bun-linux-x64/bin:$$PATH npm --prefix npm run test:bun
	PATH=$(CURDIR)/$(long)/@deno/linux-x64-glibc:$$PATH npm --prefix npm run test:deno

# A plain page, esbuild, Vite, webpack, Rollup and Next.
pack-test-pages: pack-test-setup
	KINOPIO_ALL_BUNDLERS=1 $(GO) test -count=1 -run TestInstalledPackage -v ./e2e

# The native programs of all platforms; those of Linux are run.
pack-test-programs: pack-test-setup
	node --test npm/tools/long/programs.test.mjs

# The election in a million simulated LANs, and hubs in half a million scenarios in which nothing breaks
# and as many in which links and servers do; KINOPIO_SIM=n is another number of each.
sim:
	KINOPIO_SIM=$${KINOPIO_SIM:-1000000} $(GO) test -count=1 -timeout 2h -run TestSimulatedLANs -v ./election
	KINOPIO_SIM=$${KINOPIO_SIM:-1000000} $(GO) test -count=1 -timeout 2h -run TestSimulatedWorlds -v ./internal/keep ./internal/presence
	KINOPIO_SIM=$${KINOPIO_SIM:-500000} $(GO) test -count=1 -timeout 4h -run 'TestSimulatedMoves|TestSimulatedLosses' -v ./hub

# leaf auto on hosts of their own: what happens to a LAN, five times each, and a table of times.
lan:
	KINOPIO_LAN=$${KINOPIO_LAN:-5} $(GO) test -count=1 -timeout 1h -run 'TestLAN$$' -v ./cmd/kinopio-hub

# What it finds stays in testdata/fuzz of the package, and is a test from then on.
FUZZTIME ?= 30s
FUZZ     ?=
fuzz:
	scripts/fuzz $(FUZZTIME) $(FUZZ)

# Without the race detector, with which a client costs 25 times as much.
leaf-test: build
	KINOPIO_LEAVES=$${KINOPIO_LEAVES:-1000} KINOPIO_SESSIONS=$${KINOPIO_SESSIONS:-1000} KINOPIO_PROMPT=$${KINOPIO_PROMPT:-65s} $(GO) test -count=1 -v -run 'Crowd|RenewalCuts|RotationCuts|AnotherAddress|WaitedFor' ./leaf
	KINOPIO_KILLS=$${KINOPIO_KILLS:-200} $(GO) test -count=1 -v -run TestKillAtAnyMoment ./e2e

clean:
	rm -rf bin npm/dist npm/pack e2e/out

# Tests. Each kind goes through bin/testreport, which refuses skipped tests and adds its count
# to the file of results; one that fails does not keep the others from running.

results = bin/test-results.txt
report  = bin/testreport -results $(results)

test: setup build lint
	rm -f $(results)
	$(MAKE) --no-print-directory -k test-all

test-all: test-go test-wasm test-npm test-e2e

# What moves hubs while thousands of messages a second pass has the machine to itself.
moving = $(addprefix ./,$(call existing,hub continuity cmd/kinopio-hub))
race   = env CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 20m -json

test-go: test-go-race test-go-moves test-go-pages-engine

test-go-race: bin/testreport
	$(report) -name go -- $(race) $$($(GO) list ./... | grep -v -e '/e2e$$' -e '/v3/hub$$' -e '/continuity$$' -e '/cmd/kinopio-hub$$')

test-go-moves: bin/testreport
	$(report) -name moves -- $(race) -p 1 $(moving)

test-go-pages-engine: bin/testreport
	$(report) -name pages-engine -- env KINOPIO_TEST_ENGINE=direct $(GO) test -count=1 -timeout 20m -json ./hub ./internal/keep

test-wasm: bin/testreport bin/wasmtest
	$(report) -name wasm -- env $(JS) $(GO) test -count=1 -p 1 -exec $(CURDIR)/bin/wasmtest -json $(wasm_tests)

test-npm: bin/testreport build npm/tools/node_modules/.package-lock.json
	$(report) -name npm -format node -- npm --prefix npm test

test-e2e: test-e2e-browser test-e2e-moves

test-e2e-browser: bin/testreport build npm/tools/node_modules/.package-lock.json
	$(report) -name e2e -- $(GO) test -count=1 -timeout 30m -json ./e2e

test-e2e-moves: bin/testreport build
	$(report) -name continuity -- $(GO) test -count=1 -timeout 10m -json -tags chromium -run Page ./continuity

bin/testreport: $(call files,scripts/testreport)
	$(GO) build -o $@ ./scripts/testreport

bin/wasmtest: go.mod go.sum $(call files,e2e/wasmtest e2e/engine transport conformance/lab conformance/labapi)
	$(GO) build -o $@ ./e2e/wasmtest

# The go command runs a tool for the platform it analyses, so this one is built.
bin/staticcheck: go.mod go.sum
	$(GO) build -o $@ honnef.co/go/tools/cmd/staticcheck

lint: bin/staticcheck npm/node_modules/.package-lock.json
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "error: not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags chromium ./continuity
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(JS) $(GO) vet $(js_packages)
	$(JS) $(GO) vet -tags kinopio_page ./hub ./wasm
	bin/staticcheck ./...
	$(JS) bin/staticcheck $(filter-out ./wasm/%,$(js_packages))
	# In ./wasm JavaScript is the caller of what staticcheck would call unused.
	$(JS) bin/staticcheck -checks inherit,-U1000 $(filter ./wasm/%,$(js_packages))
	cd npm && npm run check

setup:
	scripts/setup
