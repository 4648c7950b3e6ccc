# make demo    the whole grid of params.yaml: environment, experiments, report
# make test    the environment and the whole test suite, on all cores
# make setup   the environment alone (.venv), from requirements.lock
# make lint    ruff and mypy
# make docs    these pages as a site, .cache/site/index.html
# make lock    write requirements.lock anew; make lock UPGRADE=--upgrade takes newer versions
# make clean   remove results, logs and the tools' caches; the environment and the store stay
#
# Options: PYTHON=python3.12 (another Python), CORES=4 (for demo), ARGS="-k mix" (for pytest),
# ARGS="-n 0" (tests one after the other), ARGS='-m "not engine and not slow"' (a minute of tests)

CORES ?= all
ARGS ?=
UPGRADE ?=

BIN := .venv/bin
READY := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The lock is for Linux on x86_64; elsewhere pip chooses within the ranges of pyproject.toml.
ifeq ($(shell uname -sm),Linux x86_64)
INSTALL = $(BIN)/python -m pip install --require-hashes -r requirements.lock
else
INSTALL = $(BIN)/python -m pip install 'setuptools>=77' -e '.[test]'
endif

# Sets $$python to the first one that answers and is new enough (stand-ins of version managers may
# exist without a Python behind them), or stops with one line.
CANDIDATES = $(or $(PYTHON),python3.11 python3 python)
FIND_PYTHON = python=; for candidate in $(CANDIDATES); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then python="$$candidate"; break; fi; done; \
	if [ -z "$$python" ]; then \
	echo "Python 3.11 or newer is needed, tried: $(CANDIDATES); name one: make PYTHON=/path/to/python3.11" >&2; \
	exit 1; fi

.PHONY: help setup demo test lint docs lock clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(FIND_PYTHON); echo "[1/3] .venv with $$("$$python" --version)"; "$$python" -m venv .venv
	@echo "[2/3] packages (about 6 GB, minutes; a second time they come from pip's cache)"
	$(INSTALL)
	@echo "[3/3] dpc itself"
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@dpc --version
	@touch $@

demo: $(READY)
	snakemake --cores $(CORES) all
	@echo
	@echo "The report: $(CURDIR)/results/report/index.html"

# The variable would have every worker read and rewrite all tests anew, and each dpc all of itself.
test: $(READY)
	PYTHONDONTWRITEBYTECODE= python -m pytest -n logical --maxprocesses 8 --dist worksteal $(ARGS)

lint: $(READY)
	@status=0; for check in "ruff check ." "ruff format --check ." "mypy"; do \
	echo "$$check"; $$check || status=1; done; exit $$status

# The variable: no advertisement for the tool's successor in every build.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "The site: $(CURDIR)/.cache/site/index.html   (to search in it: mkdocs serve)"

# With a late 3.11 it may take versions that an early one cannot install: try the lock with both.
lock:
	@$(FIND_PYTHON); "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	{ echo "the lock is made with Python 3.11: make lock PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	"$$python" -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock   (on Linux x86_64, with CPython 3.11)" .cache/lock/bin/pip-compile $(UPGRADE) --generate-hashes \
		--extra test --build-deps-for editable --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf results logs .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@echo "kept: .venv, and .cache with the store of finished work (dpc gc trims it)"
