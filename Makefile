# Everything a person or CI does with this repository is a target here; `make help` lists them.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

# One set of build flags for everything, so that what one command has compiled the next one finds in the build cache.
# By hand, `export GOFLAGS=-trimpath` does the same.
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath
export GOWORK  := off

# Heavy things that survive `make clean` and a fresh clone: clients and linters, each at its version.
KEYREEVE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keyreeve
export KEYREEVE_CACHE

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME  ?= 10s
BENCHFLAGS ?=
TESTFLAGS ?= $(if $(CI),-count=1 -shuffle=on)
MODULES   := . localkube bench tools

PHASE := scripts/phase.sh

## up: build what is needed and run `keyreeve up`; give its flags as ARGS="--data DIR --listen HOST:PORT"
.PHONY: up
up: bin/keyreeve bin/localkube
	@exec bin/keyreeve up $(ARGS)

## test: every test, end-to-end ones included; installs the clients and the browser they need
# Without clients or binaries there is nothing to go on with; a failure of any other phase lets the rest have their say.
.PHONY: test
test:
	@failed=(); phase() { $(PHASE) "$$@" || failed+=("$$1"); }; \
	phase lint $(MAKE) lint; \
	$(PHASE) clients $(MAKE) clients; \
	$(PHASE) build $(MAKE) build; \
	phase test/keyreeve go test -timeout 60m $(TESTFLAGS) ./...; \
	phase test/localkube go -C localkube test -timeout 25m $(TESTFLAGS) ./...; \
	phase test/bench go -C bench test $(TESTFLAGS) ./...; \
	phase test/tools go -C tools test $(TESTFLAGS) ./...; \
	phase test/helm go -C tools/helm test $(TESTFLAGS) ./...; \
	phase reviews $(MAKE) reviews; \
	phase fuzz $(MAKE) fuzz FUZZTIME=1s; \
	if [ $${#failed[@]} -gt 0 ]; then echo "make test: FAILED: $${failed[*]}" >&2; exit 1; fi; \
	echo "make test: everything passed"

## build: bin/keyreeve, bin/kubelogin, bin/kubectl-keyreeve (the plugin of kubectl, with its completion) and bin/localkube
.PHONY: build
build: bin/keyreeve bin/kubelogin bin/kubectl-keyreeve bin/kubectl_complete-keyreeve bin/localkube

# Go knows better than make what is up to date.
.PHONY: bin/keyreeve bin/kubelogin bin/kubectl-keyreeve bin/localkube
# On Linux the commands that ask a server are a program of their own, which starts in half the time; it becomes the whole one, beside
# it, for all else. Elsewhere, and by `go build ./cmd/keyreeve`, the whole program is all there is.
ifeq ($(shell go env GOOS),linux)
bin/keyreeve:
	go build -ldflags '-X main.version=$(VERSION)' -o $@-whole ./cmd/$(@F)
	CGO_ENABLED=0 go build -tags front -o $@ ./cmd/$(@F)
else
bin/keyreeve:
	go build -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/$(@F)
endif

bin/kubectl-keyreeve:
	CGO_ENABLED=0 go build -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/$(@F)

# Both are linked without C, whose loader costs a millisecond. On Linux, a small program that answers from the cache carries the whole one; elsewhere the whole one is all there is.
ifeq ($(shell go env GOOS),linux)
bin/kubelogin:
	CGO_ENABLED=0 go build -ldflags '-s -w -X main.version=$(VERSION)' -o cmd/kubelogin/whole ./cmd/kubelogin
	CGO_ENABLED=0 go build -tags front -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/kubelogin
else
bin/kubelogin:
	CGO_ENABLED=0 go build -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/kubelogin
endif

# kubectl looks for what completes a plugin under this name.
bin/kubectl_complete-keyreeve: bin/kubectl-keyreeve
	ln -sfn kubectl-keyreeve $@

bin/localkube:
	@scripts/localkube.sh

## clients: the real clients for tests: bin/clients/{kubectl,kubelogin,helm,az,az-2.45,chromium}
# What people's machines run, for the systems that they have.
.PHONY: elsewhere
elsewhere:
	for system in windows darwin; do GOOS=$$system CGO_ENABLED=0 go build ./cmd/keyreeve ./cmd/kubelogin || exit 1; done

.PHONY: clients
clients:
	@scripts/clients.sh

## lint: formatting, linters and tidy go.mod files, on every module
.PHONY: lint
lint:
	@scripts/lint.sh run $(MODULES) tools/kubectl tools/helm

## fmt: rewrite every Go file as the lint gate wants it formatted
.PHONY: fmt
fmt:
	@scripts/lint.sh fmt $(MODULES)

## fuzz: run every fuzz target for FUZZTIME (10s), and prove that each one ran
.PHONY: fuzz
fuzz:
	@go -C tools run ./fuzz -root .. -time $(FUZZTIME)

## bench: every benchmark, results as text; BENCHFLAGS="-count 6" goes to go test
.PHONY: bench
bench:
	@scripts/bench.sh all $(BENCHFLAGS)

## bench-compare: the benchmarks that set Keyreeve beside its peers
.PHONY: bench-compare
bench-compare:
	@scripts/bench.sh compare $(BENCHFLAGS)

## bench-full: the world at full size, 20 million memberships from a database; takes a quarter of an hour, and 5 GB of disk
.PHONY: bench-full
bench-full:
	KEYREEVE_BENCH=full go test -run '^$$' -bench World -timeout 2h $(BENCHFLAGS) ./internal/world

## reviews: the oracle at full size: 100,000 reviews to the gate and to a model of the published rules; REVIEWFLAGS="-h" lists its flags
REVIEWFLAGS ?= -azure-rbac
.PHONY: reviews
reviews:
	@go run ./cmd/keyreeve-reviews $(REVIEWFLAGS)

## clean: remove bin/; the cache ($(KEYREEVE_CACHE)) stays
.PHONY: clean
clean:
	rm -rf bin cmd/kubelogin/whole

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'
