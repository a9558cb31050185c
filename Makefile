# Everything that a person or CI runs. Each target makes the environment itself; nothing needs activating.
#   make run         one machine, everything: TimescaleDB, Redis, worker, api, feed, gateway, Envoy
#   make test        all tests, beside a running `make run`
#   make gates       every check that CI makes beside the tests
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Test processes at once; each test has a database and Redis keys of its own. Groups of tests
# (tests/support/distribution.py) start in their order: the long ones come first, many short ones fill up the end.
WORKERS ?= auto
SEED := $(or $(SEED),$(shell date +%s))
PYTEST := python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder

SOURCES := server gateway tests migrations
SOURCES_PRESENT = $(wildcard $(SOURCES))

.PHONY: help environment run test unit coverage generate generate-check baseline lock lint contract types imports proxy gates bench format clean

help: ## Lists the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' Makefile

$(STAMP): requirements.lock .ci/environment
	@.ci/environment $(PYTHON) $(VENV)
	@touch $@

environment: $(STAMP) ## Installs the locked packages into .venv, as every target does by itself

run: $(STAMP) ## Starts everything on this machine; ARGS="--feed replay --path FILE" is passed on
	@exec python -m server dev $(ARGS)

test: $(STAMP) ## Runs all tests, on every core; ARGS="-k word" is passed on, WORKERS=0 runs them in one process
	@$(PYTEST) $(ARGS)

unit: $(STAMP) ## Runs the unit tests in an order of its own; SEED=N repeats it
	@$(PYTEST) --shuffle $(SEED) tests/unit $(ARGS)

coverage: $(STAMP) ## Runs all tests and reports which lines they reach; keeps build/tests.xml, coverage.xml and coverage/
	@python -m coverage erase
	@$(PYTEST) --cov --cov-report= --cov-fail-under=0 --junit-xml build/tests.xml $(ARGS)
	@python -m coverage xml --quiet --fail-under=0 -o build/coverage.xml
	@python -m coverage html --quiet --fail-under=0 -d build/coverage
	@python -m coverage report

generate: $(STAMP) ## Makes generated/ and docs/reference/ from protos/ and settings
	@buf format -w protos
	@python -m server.contract.plugins.generate
	@python -m server.dev.reference

generate-check: $(STAMP) ## Proves that generated/ is fresh
	@python -m server.contract.plugins.generate --check

baseline: $(STAMP) ## On a release: keeps the contract that later ones must not break
	@python -m server.contract.plugins.generate
	@cp generated/descriptors.binpb protos/baseline.binpb

lock: $(STAMP) ## Renews requirements.lock from requirements.in
	@command -v uv > /dev/null || { echo "this target needs uv" >&2; exit 1; }
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
		requirements.in -o requirements.lock

lint: $(STAMP) ## Style of the Python code
	@ruff check .
	@ruff format --check .

contract: $(STAMP) ## Style and compatibility of the contract, freshness of what is made from it
	@buf format --diff --exit-code protos
	@python -m server.contract.plugins.image protos build build/descriptors
	@buf lint build/image.binpb
	@test ! -f protos/baseline.binpb || buf breaking build/image.binpb --against protos/baseline.binpb --exclude-imports
	@python -m server.contract.plugins.generate --check

types: $(STAMP) ## mypy --strict
	@mypy

imports: $(STAMP) ## Who may import whom
	@lint-imports --no-cache

proxy: $(STAMP) ## Validates Envoy's configuration
	@python -m server.dev.envoy build/envoy.yaml
	@envoy --mode validate --log-level error -c build/envoy.yaml

gates: lint contract types imports proxy ## Every check beside the tests (tests/quality belongs to the tests)

bench: $(STAMP) ## Measures; best on an idle machine
	@python -m tests.performance $(ARGS)

format: $(STAMP) ## Brings code and contract into the usual form
	@ruff check --fix-only --quiet .
	@ruff format --quiet .
	@buf format -w protos

clean: ## Removes what make made, the development data excepted
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
