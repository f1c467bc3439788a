# Heddle's tasks. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-down lab-shell test test-host test-lab test-race bench bpf fuzz kernels lint generate build clean deps

GO     ?= go
BUILD  := build
KERNEL ?= 6.1
# Kernels that `make test` boots; add 7.x for the whole matrix: make test-lab KERNELS="6.1 6.12 7.x".
KERNELS ?= 6.1 6.12
# LAB=vm boots a virtual machine; LAB=netns uses this machine's own kernel.
LAB    ?= vm
NODE   ?= pe3
REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X heddle/agent.revision=$(REVISION)

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what the build, the lab and the tests need (Debian, root)
	@scripts/deps

build: deps ## build heddled, heddle and the lab into build/
	@mkdir -p $(BUILD)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BUILD)/ ./cmd/heddled ./cmd/heddle ./lab/cmd/heddle-lab

demo: build ## the L3VPN of examples/l3vpn on five nodes; ONCE=1 ends after the ping
	@LAB=$(LAB) KERNEL=$(KERNEL) ONCE=$(ONCE) scripts/demo

demo-down: build ## end what make demo left running
	@$(BUILD)/heddle-lab down

lab-shell: build ## a shell on a node of the running lab: make lab-shell NODE=pe3
	@$(BUILD)/heddle-lab shell $(NODE)

test: lint generate-check bpf test-race test-lab ## everything: lint, generated code, unit and namespace tests with -race, the lab on every kernel
	@$(GO) run ./internal/skipaudit $(BUILD)/test

test-race: deps ## unit and namespace tests on this kernel, with the race detector
	@scripts/test-host $(BUILD)/test

kernels: build ## ask each of KERNELS what it can do; writes the tables of docs/kernels.md and the README
	@KERNELS="$(KERNELS)" scripts/kernels

test-lab: build ## driver tests and scenarios in the virtual machine, on each of KERNELS
	@KERNELS="$(KERNELS)" scripts/test-lab $(BUILD)/test

bench: deps ## the benchmarks that back every figure in the docs
	@scripts/bench

fuzz: deps ## every fuzzer for FUZZTIME each (1m), one after the other; FUZZ picks some
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

lint: deps ## gofmt, vet, staticcheck, errorlint
	@scripts/lint

generate: deps ## build gen/ from yang/ and agent/rpc, and the model of the schema's own tests
	$(GO) generate ./gen/... ./schema/internal/zoo/...

generate-check: generate ## fail when what is generated is not what the models give
	@test -z "$$(git status --porcelain -- gen schema/internal/zoo)" || { git status --short -- gen schema/internal/zoo; echo "generated code differs from what its models give: commit the result of make generate"; exit 1; }

bpf: ## build the programs for the kernel anew, after a change of bpf/*.c: needs clang, llvm and libbpf-dev
	@command -v clang >/dev/null && command -v llvm-strip >/dev/null || { echo "bpf: install clang, llvm and libbpf-dev (apt-get install clang llvm libbpf-dev)" >&2; exit 1; }
	$(GO) generate ./bpf

clean: ## remove build outputs; the cache of kernels stays in .cache
	rm -rf $(BUILD)
