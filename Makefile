# Every step that CI runs is a target that people run too. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# CI builds exactly what Cargo.lock says; at a desk the lock may follow Cargo.toml.
LOCKED := $(if $(CI),--locked)
# rustfmt, unlike the others, does not look whether it writes to a terminal.
COLOR := $(if $(MAKE_TERMOUT),,--color=never)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## everything a newcomer needs, on this machine, gone after Ctrl-C (DEMO="--listen 127.0.0.1:8080")
	@scripts/setup build
	@cargo build $(LOCKED) --package gateway
	@exec cargo run --quiet $(LOCKED) --package gateway -- demo $(DEMO)

.PHONY: test
test: setup ## all tests: units, properties, contracts, sandbox, journeys
	@cargo test $(LOCKED) --workspace -- --quiet

.PHONY: check
check: ## exactly what CI runs: tests, format, lints, docs, dependencies, generated files
	@.ci/run

.PHONY: setup
setup: ## what building and testing need beside Rust; says what it installs and why
	@scripts/setup

.PHONY: plugins
plugins: ## build the pricing plugins from source
	@scripts/build-plugins

.PHONY: languages
languages: ## build the JavaScript and Python plugins and compare 10000 prices with the Rust one's; installs npm and PyPI packages
	@scripts/languages

.PHONY: sdk
sdk: ## the official clients of OpenAI, Anthropic and Vercel through the gateway; installs them from npm and PyPI
	@scripts/sdk

.PHONY: fuzz
fuzz: ## look for bytes that break a promise (TARGET=json_splice SECONDS=60); needs a C++ compiler
	@scripts/fuzz "$(TARGET)" "$(or $(SECONDS),60)"

.PHONY: bench
bench: setup ## measure speed and memory beside a bare Pingora proxy, release build (BENCH="--rounds 5")
	@scripts/bench $(BENCH)

.PHONY: migration
migration: ## make the pair of files of the next migration (NAME=add_leases)
	@scripts/migration "$(NAME)"

.PHONY: fix
fix: ## format everything
	@cargo fmt --all
	@cargo fmt --manifest-path pricing-plugins/Cargo.toml --all

.PHONY: format
format: ## is everything formatted?
	@cargo fmt --all --check -- $(COLOR)
	@cargo fmt --manifest-path pricing-plugins/Cargo.toml --all --check -- $(COLOR)

.PHONY: lint
lint: setup ## clippy on all targets, warnings denied
	@cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

.PHONY: docs
docs: setup ## documentation, warnings denied
	@RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --workspace --no-deps

.PHONY: deny
deny: ## licences, sources, owners of frameworks, known vulnerabilities where reachable
	@scripts/deny

.PHONY: unused
unused: ## dependencies that no code names
	@scripts/unused-dependencies
