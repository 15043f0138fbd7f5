# `make demo` and `make test` do all the set-up they need; a second call does nothing twice.

export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
PYTHON ?= python3
# Scripts look for the programs here, wherever a user's own settings of Cargo would put them.
build demo test-interop gpu-check gpu-bundle bench-peers bench-step bench-kmeans bench-learning: \
    export CARGO_TARGET_DIR ?= $(CURDIR)/target

.PHONY: help setup build demo test test-interop loom sanitize soak lint fmt clippy docs deny bench bench-peers
.PHONY: bench-step bench-kmeans bench-learning gpu-check gpu-bundle
.PHONY: fuzz sanitize-decoders clean-cache test-stalls

help:
	@echo "make demo          draw pictures, shard them, train a small encoder, show what it learnt"
	@echo "make test          run all tests"
	@echo "make test-stalls   run Cargo's tests, with the processes stopped for up to 0.6 s now and then"
	@echo "make test-interop  shards, encoders and features read by the Python world, its files by us (2.5 GB)"
	@echo "make loom          run the ring of slots through every order of events"
	@echo "make sanitize      run ring and stream under Miri, sanitizers and valgrind, as far as they are there"
	@echo "make soak          run the stream for 10,000 steps, and hold a watch to its endings; the largest encoder"
	@echo "make fuzz          run each fuzz target for SECONDS=60; TARGETS=\"png webp\" chooses"
	@echo "make sanitize-decoders  decode odd, damaged and hostile images under AddressSanitizer"
	@echo "make build         build smog-tools and smog-trainer (release)"
	@echo "make lint          what CI checks besides the tests: format, clippy, docs, dependencies"
	@echo "make bench         run the benchmarks"
	@echo "make bench-peers IMAGES=DIR  measure smog beside FFCV, DALI, torchvision and others on JPEGs"
	@echo "make bench-step    measure a training step beside lightly's"
	@echo "make bench-learning CIFAR10=DIR  what is learnt in the same time, beside lightly"
	@echo "make bench-kmeans  measure the reset's k-means beside scikit-learn's, and what groups cost"
	@echo "make gpu-check     on a machine with a GPU: checks and measures; ARGS=\"--device cpu\" rehearses it (docs/GPU.md)"
	@echo "make gpu-bundle    programs and gpu-check in one archive of 15 MB, to be carried to such a machine"
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
	$(PYTHON) -B -m unittest discover -s benches/peers
	$(CARGO) test --workspace

# What passes here depends on no time.
test-stalls: setup
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$(CURDIR)/scripts/stalls" $(CARGO) test --workspace --no-fail-fast

# Builds both programs: one alone would have other features of shared crates, and build those again.
test-interop: build
	@scripts/test-interop

# Bounded: orders of events with more preemptions than this are left out.
loom: export LOOM_MAX_PREEMPTIONS ?= 5
loom:
	$(CARGO) test --workspace --features smog-pipeline/loom --test loom -- --nocapture

sanitize:
	@scripts/sanitize

soak: export RUST_BACKTRACE = 0
soak:
	$(CARGO) test --workspace --test stream -- --ignored --nocapture --test-threads=1 \
	    soak:: faults:: peak::
	$(CARGO) test --workspace --lib -- --ignored --nocapture features_of_resnet50_of_four_times_the_width

SECONDS ?= 60
TARGETS ?=

fuzz: setup
	@scripts/fuzz $(SECONDS) $(TARGETS)

# The same build as `make fuzz`, over the seeds alone and without a limit on their size.
sanitize-decoders: setup
	@scripts/fuzz seeds

lint: fmt clippy docs deny

fmt:
	$(CARGO) fmt --all -- --check

clippy: setup
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny check bans licenses sources; \
	else \
	    echo "SKIPPED: cargo-deny is not installed, so licences and banned crates were NOT checked"; \
	    echo "         (cargo install cargo-deny --locked)"; \
	fi

bench: setup
	$(CARGO) bench -p smog-benches

# ARGS="--quick" takes less time; benches/peers/bench_peers.py --help lists the options.
bench-peers:
	@test -d "$(IMAGES)" || { echo "make bench-peers IMAGES=DIR: a folder of JPEGs, such as imagenet-sample/train" >&2; exit 2; }
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B benches/peers/bench_peers.py "$(IMAGES)" $(ARGS)

# ARGS="--case resnet18 --rounds 3" takes less time.
bench-step: setup
	@$(PYTHON) -B benches/step/bench_step.py $(ARGS)

# About an hour and a half with the defaults: three seeds, ten minutes for each side. ARGS="--minutes 5" takes less.
bench-learning:
	@test -d "$(CIFAR10)/train" || { echo "make bench-learning CIFAR10=DIR: CIFAR-10 as train/CLASS/*.jpg, test/CLASS/*.jpg" >&2; exit 2; }
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B benches/learning/bench_learning.py "$(CIFAR10)" $(ARGS)

# ARGS="--case sphere-300" takes less time.
bench-kmeans: setup
	@$(PYTHON) -B benches/kmeans/bench_kmeans.py $(ARGS)

# Where the programs were carried to, scripts/gpu-check --bin FOLDER (or the archive of gpu-bundle) needs no build.
gpu-check: build
	@scripts/gpu-check $(ARGS)

gpu-bundle: build
	@scripts/gpu-bundle $(ARGS)

clean-cache:
	@scripts/setup clean
