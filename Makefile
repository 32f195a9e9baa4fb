# Everything happens in .venv, which the first command makes. `make help` lists the commands.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCKED := --constraint constraints.txt
# pip says nothing but errors; on a terminal it shows the progress of the one large download.
QUIET := -qq
QUIET_TORCH := $(shell test -t 2 || echo $(QUIET))
# Another package index for torch, for example one with builds for the CPU only.
TORCH_INDEX ?=
TORCH_FROM := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# One more than there are processors, at most 4: tests often wait for a process or a page.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((n < 3 ? n + 1 : 4)))
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
FAILED := { echo "The installation did not finish; the lines above say why. The same command goes on from here." >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help start setup test check soak bench pages lock clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

start: $(VENV)/.runtime ## set up what is missing, then run Atelier
	@exec $(BIN)/atelier run

setup: $(VENV)/.dev ## set up everything, tests included, and run nothing
	@echo "Everything is set up in $(VENV)."

test: $(VENV)/.dev $(VENV)/.node ## set up what is missing, then run the tests (ARGS="-k name" narrows them)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/.dev ## lint, format, types, import rules, Dockerfile
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@if [ -x $(BIN)/hadolint ]; then echo $(BIN)/hadolint Dockerfile; $(BIN)/hadolint Dockerfile; \
	else echo "hadolint is not packaged for this platform; the Dockerfile was not checked."; fi

soak: $(VENV)/.dev ## the long tests: thousands of kills, tens of thousands of jobs
	@$(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

bench: $(VENV)/.dev ## run every benchmark and print its figures
	@set -e; for file in benchmarks/[a-z]*.py; do echo "== $$file"; \
	$(BIN)/python -m benchmarks.$$(basename $$file .py); done

pages: $(VENV)/.dev ## write .env.example, the tables of settings and docs/slack-manifest.json anew
	@$(BIN)/python -m tests.settings_pages

lock: ## renew constraints.txt with the newest versions that pyproject.toml allows
	@sh -c 'set -e; new=$$(mktemp -d); trap "rm -rf $$new" EXIT; \
	$(firstword $(PYTHONS)) -m venv $$new/venv; pip="$$new/venv/bin/python -m pip --disable-pip-version-check -qq"; \
	$$pip install $(TORCH_FROM) torch==$$(sed -n "s/^torch==//p" constraints.txt); \
	$$pip install ".[local,dev]"; \
	sed "/^[^#]/d" constraints.txt > $$new/constraints.txt; \
	$$pip freeze | grep -v -E "^(atelier|nvidia|triton|cuda)|@" | sed "s/+.*//" >> $$new/constraints.txt; \
	cp $$new/constraints.txt constraints.txt'

clean: ## remove what the other commands made; data/ and .env stay
	rm -rf $(VENV) tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -path ./data -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second `make start` install nothing: they are as new as what they installed.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing PyTorch (the first time this takes some minutes) …"
	@$(PIP) install $(QUIET_TORCH) $(LOCKED) $(TORCH_FROM) torch || $(FAILED)
	@echo "Installing Atelier and what it needs …"
	@$(PIP) install $(QUIET) $(LOCKED) $(TORCH_FROM) --editable '.[local]' || $(FAILED)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the tools for tests and checks …"
	@$(PIP) install $(QUIET) $(LOCKED) $(TORCH_FROM) --editable '.[local,dev]' || $(FAILED)
	@touch $@

# fal's JavaScript clients, for the tests that drive them; without npm those tests skip.
$(VENV)/.node: tests/node/package-lock.json | $(BIN)/pip
	@if command -v npm >/dev/null; then \
		echo "Installing fal's JavaScript clients for the tests …"; \
		npm ci --silent --prefix tests/node || $(FAILED); \
		touch $@; \
	fi

$(BIN)/pip:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Atelier needs Python 3.11 or newer, and none of $(PYTHONS) is that: install python3 (Debian, Ubuntu: apt-get install python3 python3-venv)." >&2; exit 1; \
	elif ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found lacks the venv module: install python3-venv (Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version) …"; "$$found" -m venv $(VENV)
