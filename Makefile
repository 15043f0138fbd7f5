# `make demo` and `make test` do all the set-up they need; a second call does nothing twice.

export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
PYTHON ?= python3

.PHONY: help setup build demo test test-interop lint fmt clippy docs deny bench clean-cache

help:
	@echo "make demo          draw pictures, shard them, train a small encoder, show what it learnt"
	@echo "make test          run all tests"
	@echo "make test-interop  read our shards with pyarrow, DuckDB, Polars and datasets"
	@echo "make build         build smog-tools and smog-trainer (release)"
	@echo "make lint          what CI checks besides the tests: format, clippy, docs, dependencies"
	@echo "make bench         run the benchmarks"
	@echo "make setup         only the set-up: build tools, libtorch, cargo's settings"
	@echo "make clean-cache   remove what set-up put into the cache"

setup:
	@scripts/setup

build: setup
	$(CARGO) build --release -p smog-tools -p smog-trainer

demo: build
	@scripts/demo

# Cargo's tests last, so that their summary closes the output.
test: setup
	$(PYTHON) -B -m unittest discover -s scripts
	$(CARGO) test --workspace

# Builds both programs: one alone would have other features of shared crates, and build those again.
test-interop: build
	@scripts/test-interop

lint: fmt clippy docs deny

fmt:
	$(CARGO) fmt --all -- --check

clippy: setup
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny check bans licenses sources; \
	else \
	    echo "SKIPPED: cargo-deny is not installed, so licences and banned crates were NOT checked"; \
	    echo "         (cargo install cargo-deny --locked)"; \
	fi

bench: setup
	$(CARGO) bench -p smog-benches

clean-cache:
	@scripts/setup clean
