# Everything starts here; each target first makes .venv complete and installs what the machine lacks.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON_ENV := .venv/bin/python
# Hashes of every file, and no address of an index: the machine's own configuration says where packages come from.
LOCK := --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --upgrade
export STRANGLER_STARTED_AT := $(shell date +%s)

help: ## Show the targets.
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

ready: ## Create .venv and install the packages; done once.
	@bash migrate/stack/bootstrap.sh

demo: ready ## Start the system and move `content` to its service under live traffic.
	@$(PYTHON_ENV) -m migrate.cli demo $(ARGS)

up: ready ## Start the local stack; a second time repairs what is missing.
	@$(PYTHON_ENV) -m migrate.cli up $(ARGS)

down: ready ## Stop the local stack; the data stays (ARGS=--wipe deletes it).
	@$(PYTHON_ENV) -m migrate.cli down $(ARGS)

test: ready ## Run all tests over real servers.
	@$(PYTHON_ENV) -m migrate.stack.install tests/programs.txt
	@$(PYTHON_ENV) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: ready ## Format, style, types and import arrows.
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fmt: ready ## Format the code and repair what can be repaired.
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

lock: ready ## Resolve pyproject.toml anew into both lock files.
	@.venv/bin/uv pip compile -q $(LOCK) pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile -q $(LOCK) pyproject.toml --extra dev -c requirements.lock -o tests/requirements.lock
	@(echo "# What compiles the router while the image is built; made by: make lock"; printf 'mypy\nsetuptools\n' | .venv/bin/uv pip compile -q $(LOCK) - -c tests/requirements.lock) > dokku/compile.lock

native: ready ## Compile the router's hot modules to .native; `python -m router` then starts from there.
	@$(PYTHON_ENV) -m router.native

test-native: native ## Run the router's tests over the compiled copy.
	@$(PYTHON_ENV) -m pytest -n 2 --dist loadfile -o pythonpath=".native ." tests/unit/router tests/integration/router tests/faults/router $(ARGS)

soak-router: ready ## Run the router at half load for ten minutes (ARGS="--seconds 20" for a look).
	@$(PYTHON_ENV) tests/benchmarks/soak_router.py $(ARGS)

BENCHMARKS := $(subst _,-,$(patsubst tests/benchmarks/bench_%.py,bench-%,$(wildcard tests/benchmarks/bench_*.py)))

bench: $(BENCHMARKS) ## Run every benchmark; figures go to .bench/<name>.json.

bench-%: ready ## Run one benchmark, e.g. bench-router.
	@$(PYTHON_ENV) tests/benchmarks/bench_$(subst -,_,$*).py $(ARGS)

clean: ready ## Stop everything and delete .stack, .bench and caches.
	@$(PYTHON_ENV) -m migrate.cli down --wipe
	@rm -rf .stack .bench .native .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help ready demo up down test lint fmt lock native test-native soak-router bench clean
