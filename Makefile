# Busted's commands; `make help` lists them.
#
#   make run ARGS="--format json"     arguments of busted monitor
#   make test TESTS=tests/unit        part of the tests
#   make install PREFIX=/opt/busted   another place than /usr/local; DESTDIR=/staging below another root

SHELL := /bin/bash
PYTHON := .venv/bin/python
ARGS ?=
TESTS ?=
KERNELS ?=
MINUTES ?= 20
PREFIX ?= /usr/local
# For packages: what is put there is to run from PREFIX.
DESTDIR ?=
# Coding agents with TLS stacks of their own, and others that start MCP servers, for `make reach`.
AGENTS = @github/copilot@1.0.102 @openai/codex@0.169.0 deno@2.9.6 @anthropic-ai/claude-code@2.1.197 @google/gemini-cli@0.61.0
INSTALLED = $(DESTDIR)$(PREFIX)/lib/busted

.DEFAULT_GOAL := help
.PHONY: help setup build build-ebpf lock clean run demo test test-fast soak check lint typecheck fmt vm-test bench reach rust-client identity-report pii-report \
	ml-data ml-model ml-report \
	docs screenshots wheel oracles helm-lint helm-test helm-e2e image-test deb-test newcomer-test release-files version-check version-bump install uninstall

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

##@ Build
setup: ## Prepare this machine: packages (as root), .venv, eBPF objects; quick when done
	@scripts/setup.sh
build: setup ## The eBPF objects and the wheel, in dist/
	@$(PYTHON) -m xtask build
build-ebpf: setup ## The eBPF objects only, in src/busted/kernel/objects/
	@$(PYTHON) -m xtask build-ebpf
lock: setup ## Resolve requirements/*.lock anew (UPGRADE=--upgrade for the latest)
	@$(PYTHON) -m uv pip compile -q $(UPGRADE) pyproject.toml --extra full --universal --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command 'make lock' -o requirements/runtime.lock
	@$(PYTHON) -m uv pip compile -q $(UPGRADE) pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command 'make lock' -c requirements/runtime.lock -o requirements/dev.lock
clean: ## Remove what was built, the caches and .venv
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist src/busted/kernel/objects
	find src tests xtask benchmarks -name __pycache__ -prune -exec rm -rf {} +

##@ Run
run: setup ## Set up and watch this host (as root)
	@exec .venv/bin/busted monitor $(ARGS)
demo: setup ## The real SDKs against a local provider, under a live monitor (as root)
	@exec $(PYTHON) -m xtask demo

##@ Quality
test: setup ## Every test that this machine can run; says what could not run, and why
	@exec $(PYTHON) -m pytest $(TESTS)
test-fast: setup ## Neither kernel nor real clients
	@exec $(PYTHON) -m pytest --ignore tests/kernel --ignore tests/e2e
soak: setup ## All outputs for MINUTES (20), one of them away for a third: nothing unaccounted for
	@BUSTED_SOAK_SECONDS=$$(( $(MINUTES) * 60 )) $(PYTHON) -m pytest tests/test_soak.py
check: lint typecheck version-check ## All static checks
lint: setup ## Format and lint, changing nothing
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m ruff check
typecheck: setup ## mypy --strict, tests included
	@$(PYTHON) -m mypy
fmt: setup ## Format, and fix what can be fixed
	@$(PYTHON) -m ruff format
	@$(PYTHON) -m ruff check --fix
oracles: setup ## OPA, Helm and actionlint, which tests compare with; built with Go, some minutes
	@$(PYTHON) -m tests.opa.oracle install
	@$(PYTHON) -m tests.helm.renderer
	@$(PYTHON) -m tests.actionlint
vm-test: ## Kernel tests on other kernels, in QEMU; KERNELS="5.10 6.1", TESTS=tests/kernel/test_tls.py
	@scripts/setup.sh guests
	@exec $(PYTHON) -m tests.vm $(KERNELS) $(if $(TESTS),--tests $(TESTS))
identity-report: setup ## How well agents are told apart: precision and recall, time, memory
	@exec $(PYTHON) -m tests.identity.report
pii-report: setup ## Precision and recall of the search for personal data, into docs/pii.md
	@$(PYTHON) -m tests.pii_report
ml-data: setup ## Real traffic to train with, recorded anew into tests/ml/samples.zst (as root; a quarter of an hour)
	rm -f tests/ml/samples.zst
	for delay in 4 12 25 40; do $(PYTHON) -m tests.ml.traffic --delay-ms $$delay --seconds 90 tests/ml/samples.zst; done
ml-model: setup ## The model of behaviour, trained with it
	@.venv/bin/busted ml train --from tests/ml/samples.zst --output src/busted/ml/model.json
ml-report: setup ## How well the model does on clients, servers and kinds that it never saw, into docs/ml.md
	@$(PYTHON) -m tests.ml.report
bench: setup ## Measure, as root (benchmarks/)
	@exec $(PYTHON) -m benchmarks $(ARGS)

rust-client: setup ## The Rust client of the end-to-end tests, whose rustls has ring (with cargo, two minutes)
	@$(PYTHON) -m tests.e2e.rust_client

reach: rust-client ## Run all clients, coding agents too, and write docs/reach.md (as root; fetches 700 MB from npm)
	@npm install --prefix .cache/reach --ignore-scripts --no-audit --no-fund --no-save $(AGENTS)
	@exec $(PYTHON) -m tests.e2e.reach

##@ Docs
docs: setup ## Check the documents against the code, and make a site of them, in build/site
	@$(PYTHON) -m pytest tests/test_docs.py tests/test_commands.py
	@$(PYTHON) -m xtask docs
screenshots: setup ## Each view of the dashboard, dark, light and on a phone, into docs/screenshots/
	@exec $(PYTHON) -m tests.ui.screenshots

##@ Deploy
wheel: build ## The file to copy to a host: dist/busted-*.whl, with the eBPF objects inside
helm-lint: setup ## Helm's linter on the chart (builds Helm at first, with Go 1.26 or later)
	@$(PYTHON) -m tests.helm.renderer lint
helm-test: setup ## The chart over a table of values, against Kubernetes' schemas (builds Helm at first)
	@$(PYTHON) -m tests.helm.renderer
	@exec $(PYTHON) -m pytest tests/helm
helm-e2e: setup ## The chart at a real API server, its agent on this host, as root (builds Helm, etcd and kube-apiserver at first)
	@$(PYTHON) -m tests.helm.renderer
	@$(PYTHON) -m tests.kubernetes.api_server
	@exec $(PYTHON) -m pytest tests/helm/test_e2e.py
image-test: setup ## The steps of the image in bare Debian roots, without an engine (as root; some minutes)
	@exec $(PYTHON) -m tests.image
deb-test: setup ## A Debian package: made, installed, upgraded, removed in bare roots (as root; some minutes)
	@exec $(PYTHON) -m tests.debian_package
newcomer-test: setup ## README's first commands in a bare Debian root (as root; ten minutes and more)
	@exec $(PYTHON) -m tests.newcomer
release-files: setup ## Wheel, source, SBOM, checksums in dist/; signed where BUSTED_RELEASE_KEY holds a key
	@$(PYTHON) -m xtask release-files
version-check: setup ## Fail when version and changelog disagree
	@$(PYTHON) -m xtask version-check
version-bump: setup ## Set VERSION=X.Y.Z and date the changelog
	@$(PYTHON) -m xtask version-bump $(VERSION)

##@ Install
install: build ## Install for all users: PREFIX/lib/busted, PREFIX/bin/busted, pages, completions (as root)
	rm -rf $(INSTALLED)
	$$(readlink -f $(PYTHON)) -m venv $(INSTALLED)
	$(INSTALLED)/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/runtime.lock
	$(INSTALLED)/bin/python -m pip install -q --disable-pip-version-check --no-deps dist/busted-$$($(PYTHON) -c 'import busted; print(busted.__version__)')-*.whl
	# What lies in a staging directory is to run from where it will lie.
	[ -z "$(DESTDIR)" ] || grep -rIlZ -F "$(INSTALLED)" $(INSTALLED)/bin $(INSTALLED)/pyvenv.cfg | xargs -0 sed -i 's|$(INSTALLED)|$(PREFIX)/lib/busted|g'
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	ln -sf ../lib/busted/bin/busted $(DESTDIR)$(PREFIX)/bin/busted
	@$(PYTHON) -m xtask shell-files $(DESTDIR)$(PREFIX)
uninstall: ## Remove what `make install` put there
	rm -rf $(INSTALLED) $(DESTDIR)$(PREFIX)/bin/busted $(DESTDIR)$(PREFIX)/share/man/man1/busted{,-*}.1
	rm -f $(DESTDIR)$(PREFIX)/share/{bash-completion/completions/busted,zsh/site-functions/_busted,fish/vendor_completions.d/busted.fish}
