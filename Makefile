# `make` shows what there is. Every recipe finds the pinned tools of tools/tools.list first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.venv/bin:$(PATH)

CARGO ?= cargo
phase := scripts/phase.sh

.PHONY: help tools build demo test fmt clippy check-tests check-compose doc deny soak soak-api chaos chaos-served stack bench-json bench-bolt clean-data

help: ## Show this
	@printf 'Export Center: vulnerability evidence in, reproducible signed bundles out.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nFirst time here: make demo. Before a commit: make test. One crate: cargo test -p export-canon.\n'
	@printf 'Settings: EVIDENCE=FOLDER, PROFILE=release and KEEP=1 for the demo; CARGO_TARGET_DIR is respected everywhere.\n'

tools: ## Install what tests and demo need and this machine lacks (.tools, .venv)
	@tools/install.sh demo test

build: ## Build the two programs, optimised
	$(CARGO) build --release --locked -p exportd -p exportctl

demo: ## Samples (or EVIDENCE=FOLDER) in, verified bundles out; KEEP=1 leaves the server running
	@scripts/demo.sh

test: ## Everything that CI checks: format, lints, tests, documentation
	@$(phase) tools tools/install.sh demo test
	@$(phase) format $(MAKE) --no-print-directory fmt
	@$(phase) lints $(MAKE) --no-print-directory clippy
	@$(phase) documentation $(MAKE) --no-print-directory doc
	@$(phase) dependencies $(MAKE) --no-print-directory deny
	@$(phase) tests $(MAKE) --no-print-directory check-tests

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --locked

# Installed with the other tools; passed over where it was left out (EXPORT_TESTS_WITHOUT=cargo-deny).
deny:
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed: passed over'; fi

# cargo-nextest keeps the heavy end-to-end tests apart (.config/nextest.toml) but runs no documentation tests.
check-tests:
	@if command -v cargo-nextest >/dev/null; then \
	    $(CARGO) nextest run --workspace --locked $(if $(CI),--profile ci) && $(CARGO) test --workspace --locked --doc; \
	else $(CARGO) test --workspace --locked; fi

check-compose: ## Only what deploys us: alerts, dashboards, compose files, chart (part of the tests)
	@tools/install.sh test
	@.venv/bin/python compose/check.py

soak: ## The tests of large size, whole: hours, and several GB of disk
	@tools/install.sh demo test
	EXPORT_TESTS_SOAK=1 $(CARGO) test --release --workspace --locked -- --include-ignored --nocapture

soak-api: ## More than 20,000 requests that schemathesis makes of the API document: an hour
	@tools/install.sh demo test
	EXPORT_TESTS_SOAK=1 $(CARGO) test --workspace --locked --test contract -- --nocapture judged::

chaos: ## A thousand runs while 300 things fail, with three brokers: an hour; CHAOS_SEED=N repeats one
	@tools/install.sh demo test
	CHAOS_LONG=1 $(CARGO) test --workspace --locked --test chaos -- --nocapture nothing_is_lost

chaos-served: ## Thirty runs over a server that speaks MongoDB's protocol while 30 things fail, that server among them; CHAOS_SEED=N repeats one
	@tools/install.sh demo test
	CHAOS_SERVED=1 $(CARGO) test --workspace --locked --test chaos -- --ignored --nocapture nothing_is_lost_either

stack: build ## The compose deployment in containers, whole (Debian, as root): five minutes
	@tools/install.sh test stack
	@compose/stack-test.sh "$${CARGO_TARGET_DIR:-target}/release"

bench-json: ## Our json:raw export against jq | zstd | sha256sum, and 1 against 2 adapt processes
	@tools/install.sh demo bench
	@benches/json.sh
	@benches/scale.sh

bench-bolt: ## Our bolt writer against Go's bbolt, in turn (needs Go)
	@benches/bolt.sh

clean-data: ## Remove what demos left in ./demo-data
	@for file in demo-data/*/exportd.pid; do \
	    if [ -f "$$file" ] && kill -0 "$$(cat "$$file")" 2>/dev/null; then \
	        echo "a server still runs in $${file%/*}: kill $$(cat "$$file") first" >&2; exit 1; \
	    fi; \
	done
	rm -rf demo-data
