# `make demo` and `make test` work on a bare machine; both set everything up first.
PYTHON ?= python3
BIN := .venv/bin

# Locks what is installed and, in both spellings that pip has used, what packages are built with.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-slow lint docs bench clean

help:
	@echo "make demo       tune a neural network on real data for a minute"
	@echo "make test       run the tests (make test-slow: the long ones)"
	@echo "make lint       check style, format, types and imports"
	@echo "make docs       build the site into site/"
	@echo "make bench      measure the speed beside other tuners"
	@echo "make setup      only make .venv, with locked versions"
	@echo "make clean      remove .venv, site/ and caches; studies are kept"

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

.venv/.bench: .venv/.ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	touch $@

demo: setup
	$(BIN)/parafree tune examples/digits.py --time 60s

test: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test-slow: setup
	XLA_FLAGS= $(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: setup
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/.bench
	$(BIN)/python bench/tune_throughput.py

clean:
	rm -rf .venv site build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
