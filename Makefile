# The only door: CI calls nothing but these targets. Longer logic is in scripts beside what it serves.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

cluster := tests/local-cluster/cluster
with-cluster := tests/local-cluster/with-cluster
with-newest := tests/postgres/newest/with-server
# One way to call cargo everywhere, so that the second target finds what the first one built.
cargo := cargo
locked := --locked
musl := x86_64-unknown-linux-musl
cargo-deny := 0.20.2
scripts = $(shell git grep -l -E '^\#!(/usr/bin/env bash|/bin/(ba)?sh)')

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: prerequisites
prerequisites: ## install the Debian packages and Rust targets that are missing
	@tests/local-cluster/prerequisites

# Only its own developers read the library's documentation, so public items may point at private ones.
.PHONY: check
check: prerequisites ## formatting, clippy with warnings as errors, documentation, shell scripts
	$(cargo) fmt --check
	$(cargo) clippy $(locked) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(cargo) doc $(locked) --no-deps --document-private-items --lib
	shellcheck --external-sources --source-path SCRIPTDIR --severity warning $(scripts)

.PHONY: test
test: test-unit simulate simulate-bugs test-postgres test-postgres-newest chart test-cluster ## everything that is tested

.PHONY: test-unit
test-unit: prerequisites ## unit and contract tests: cargo only, no database, no cluster
	$(cargo) test $(locked) --lib --bins --test contract
	$(cargo) test $(locked) --doc

.PHONY: test-postgres
test-postgres: ## stages, checks and locks against a PostgreSQL that the tests start themselves
	@tests/local-cluster/prerequisites interop
	$(cargo) test $(locked) --test postgres

# The last one needs a server that is newer than the first pg_dump of PATH: this Debian's.
.PHONY: test-postgres-newest
test-postgres-newest: ## the same against PostgreSQL 18, whose server comes from npm and whose client tools are the stage image's
	@tests/local-cluster/prerequisites interop
	$(with-newest) $(cargo) test $(locked) --test postgres
	$(with-newest) bash -c 'PATH=$${PATH#*:}; $(cargo) test $(locked) --test postgres -- --ignored --exact stage_release::a_server_newer_than_pg_dump_stops_the_run_before_anything_changes'

.PHONY: fuzz
fuzz: prerequisites ## random inputs for whatever reads what others wrote (FUZZ=10000000 of them for each target)
	FUZZ=$${FUZZ:-200000} $(cargo) test $(locked) --profile fuzz --test fuzz -- --nocapture

# Optimised only where that is sooner: the build takes longer than a thousand stories.
.PHONY: simulate
simulate: prerequisites ## both instances of the controller by seed, under random edits and faults (SEEDS=10000 stories)
	profile=; [ $${SEEDS:-500} -le 1000 ] || profile='--profile simulate'; \
	SEEDS=$${SEEDS:-500} $(cargo) test $(locked) $$profile --test simulation -- --nocapture

.PHONY: simulate-bugs
simulate-bugs: prerequisites ## plant known bugs into a copy of the tree; the simulation has to find each
	tests/simulation/bugs/run

.PHONY: test-cluster
test-cluster: ## each story on a real one-node Kubernetes, which is built and started when it is missing
	$(with-cluster) bash -euc 'tests/local-cluster/cgroups-test; tests/local-cluster/install; charts/sluice/tests/policies; $(cargo) test $(locked) --test cluster'

.PHONY: chart
chart: prerequisites ## lint and render the chart; compare what is generated from it
	@$(cluster) build helm
	deploy/generate --check
	PATH=$$($(cluster) bin):$$PATH charts/sluice/tests/render

# The contract tests twice: the bounds of the definitions are compiled in.
.PHONY: generate
generate: prerequisites ## write crds/, the chart's copy of it and deploy/install.yaml
	UPDATE=1 $(cargo) test $(locked) --lib check::pages
	UPDATE=1 $(cargo) test $(locked) --test contract || UPDATE=1 $(cargo) test $(locked) --test contract
	@$(cluster) build helm
	deploy/generate

.PHONY: new-check
new-check: prerequisites ## begin a check: its file, its id, its lines, its page (NAME=table-comment SHELF=structure)
	tests/new-check "$(NAME)" "$(SHELF)"

.PHONY: statements
statements: prerequisites ## how Sluice reads SQL beside PostgreSQL's own parser, on PostgreSQL's own tests (fetches both)
	tests/statements/compare

# Of its own, and no part of `test`: the tools come from npm and Go's proxy, which may be slow.
.PHONY: recipes
recipes: prerequisites ## the recipes for GitHub and GitLab, run on this machine by their local runners (fetches both)
	tests/recipes/run

.PHONY: audit
audit: ## licences, sources, banned crates and known advisories of the dependencies (fetches RustSec's database from GitHub)
	@cargo deny --version 2>/dev/null | grep -q -F ' $(cargo-deny)' || cargo install --locked cargo-deny@$(cargo-deny)
	cargo deny $(locked) check advisories bans licenses sources

.PHONY: binary
binary: prerequisites ## the static binary, target/x86_64-unknown-linux-musl/release/sluice
	$(cargo) build $(locked) --release --target $(musl) --bin sluice

.PHONY: image
image: binary ## the layers of the images (make cluster-up pushes them)
	deploy/images/images build

.PHONY: bench
bench: ## the benchmarks, each beside its floor, measured in the same run
	$(with-cluster) bash -euc 'tests/local-cluster/install; tests/bench/run'

.PHONY: demo
demo: ## the whole story in your terminal, on a cluster of its own (CONTEXT=name: on yours)
	@tests/demo/run

.PHONY: demo-down
demo-down: ## remove everything that the demo made
	@tests/demo/down

.PHONY: platforms
platforms: ## all five examples at once, on the local cluster
	@deploy/examples/platforms

.PHONY: platforms-down
platforms-down: ## remove everything that `make platforms` made; the cluster stays up
	@deploy/examples/platforms down

.PHONY: try
try: prerequisites ## the example without a cluster, on a PostgreSQL that it starts itself
	@tests/try/run

.PHONY: cluster-up
cluster-up: ## build and start the local cluster, push the images, print how to use it
	@$(with-cluster) $(cluster) env

.PHONY: cluster-down
cluster-down: ## stop the local cluster and remove every trace of it
	@$(cluster) down

.PHONY: clean
clean: cluster-down ## remove what was built: target/ and ~/.cache/sluice
	$(cargo) clean
	rm -rf "$${SLUICE_CACHE:-$$HOME/.cache/sluice}"
