# Every target sets up what it needs by itself, in .venv of this checkout; a second run starts at once.
# A person's own choices: make PYTHON=/path/to/python3.12 test, make TESTS=tests/pure test

SHELL := /bin/sh
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PYTHON ?=
TESTS ?= tests
# Most tests wait for other processes: two files at a time leave a processor of two idle for a third of the time.
WORKERS ?= 2
PYTEST = -m pytest --numprocesses $(WORKERS) --dist loadfile
COVERAGE ?=
BENCHMARKS ?= tests/benchmarks
ready = $(VENV)/.ready-$(1)
# A Node of our own, and none that the machine may have.
JLPM = cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" jlpm
FRONT := $(shell find labextension/src labextension/style labextension/package.json labextension/yarn.lock)
BUILT := jupyter_tasks/labextension/static/style.js
LINKED := $(VENV)/share/jupyter/labextensions/jupyter-tasks

.PHONY: help lab demo test cov check format labextension watch bench docs diagram wheel clean
# Two installations into one environment, or two builds in one folder, would spoil each other.
.NOTPARALLEL:

help: ## List all targets
	@sed -nE 's/^([a-z]+):.*## (.*)$$/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

lab: $(call ready,lab) ## Open JupyterLab with the first notebook: a cell becomes a job
	@$(BIN)/jupyter lab notebooks/01-first-job.ipynb

demo: $(call ready,demo) ## Run the first notebook, then a sweep with a crash of the server in the middle (2 minutes)
	@$(BIN)/python notebooks/demo/demo.py

test: $(if $(COVERAGE),cov,$(VENV)/.built) ## Run all tests (with COVERAGE=1: as make cov)
	@$(if $(COVERAGE),,$(BIN)/python $(PYTEST) $(TESTS))

# What a process that was killed has written half cannot be combined and stays behind.
cov: $(VENV)/.built ## Run all tests and measure coverage, subprocesses included; fails below 90 %
	@$(BIN)/python -m coverage erase
	@status=0; JUPYTER_TASKS_COVERAGE=1 $(BIN)/python -m coverage run $(PYTEST) $(TESTS) || status=$$?; \
	$(BIN)/python -m coverage combine --quiet; \
	rm -f .coverage.*; \
	$(BIN)/python -m coverage report --fail-under=90; exit $$status

check: $(call ready,check) ## Check imports, style and types
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@[ labextension/node_modules/.yarn-state.yml -nt labextension/yarn.lock ] || ($(JLPM) install)
	@$(JLPM) check

format: $(call ready,check) ## Format the code and mend what can be mended safely
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

labextension: ## Build what runs in the browser anew; reload the page to see it
	@rm -f $(VENV)/.built $(BUILT)
	@$(MAKE) $(VENV)/.built

watch: $(VENV)/.built ## Build it anew at each change, until Ctrl-C
	@$(JLPM) tsc --watch --preserveWatchOutput & $(JLPM) watch

bench: $(call ready,test) .venv-scheduler/.ready .venv-functions/.ready ## Measure speed beside other programs (a few minutes)
	@$(BIN)/python -m pytest -m benchmark -p no:randomly --timeout=0 -s $(BENCHMARKS)

docs: $(call ready,docs) ## Build the documentation into docs/_build/html
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

diagram: $(call ready,test) ## Draw the life cycle anew into README.md and docs/lifecycle.md
	@$(BIN)/python docs/draw_lifecycle.py

wheel: $(VENV)/.made ## Build the wheel into dist/
	@rm -rf jupyter_tasks/labextension
	@$(PIP) wheel --no-deps --wheel-dir dist .

clean: ## Remove .venv and everything that was built
	@rm -rf $(VENV) .venv-oldest .venv-scheduler .venv-functions build dist htmlcov docs/_build .coverage .coverage.* \
	  jupyter_tasks/labextension labextension/lib labextension/node_modules \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up -----------------------------------------------------------------------------------------

$(VENV)/.ready-%: pyproject.toml | $(VENV)/.made
	@echo "Installing jupyter_tasks and what 'make $*' needs into $(VENV) (once, about a minute)"
	@$(PIP) install --editable '.[$*]'
	@touch $@

# The installation has built it where it was missing; here it is built where its sources are newer.
$(VENV)/.built: $(FRONT) | $(call ready,test)
	@if [ ! -e $(BUILT) ] || [ -n "$$(find $(FRONT) -newer $(BUILT))" ]; then \
	  ($(JLPM) install); ($(JLPM) build); touch $(BUILT); fi
	@rm -rf $(LINKED) && mkdir -p $(dir $(LINKED)) && ln -s $(CURDIR)/jupyter_tasks/labextension $(LINKED)
	@touch $@

# What jobs in notebooks are measured beside; it does not go together with what we need ourselves.
.venv-scheduler/.ready: $(VENV)/.made
	@echo "Installing jupyter-scheduler, to be measured beside, into .venv-scheduler (once)"
	@$(BIN)/python -m venv --clear .venv-scheduler
	@.venv-scheduler/bin/python -m pip --disable-pip-version-check -qq install jupyter-scheduler jupyter_server ipykernel
	@touch $@

# What calls of functions are measured beside.
.venv-functions/.ready: $(VENV)/.made
	@echo "Installing dask and huey, to be measured beside, into .venv-functions (once)"
	@$(BIN)/python -m venv --clear .venv-functions
	@.venv-functions/bin/python -m pip --disable-pip-version-check -qq install distributed huey
	@touch $@

# The oldest JupyterLab, Notebook and ipykernel that are supported, for the tests that look at them.
.venv-oldest/.ready: pyproject.toml $(VENV)/.made
	@echo "Installing jupyter_tasks and the oldest JupyterLab that it supports into .venv-oldest (once, about a minute)"
	@$(BIN)/python -m venv --clear .venv-oldest
	@.venv-oldest/bin/python -m pip --disable-pip-version-check -qq install --editable . \
	  'jupyterlab==4.2.*' 'notebook==7.2.*' 'ipykernel==6.29.*'
	@touch $@

# A Python that can make a virtual environment: the one that was named, python3, then newer to older.
# An environment that works is kept; half of one, left by an interruption, is made anew.
$(VENV)/.made:
	@too_old="" cannot=""; \
	if $(BIN)/python -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	for python in $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  command -v "$$python" >/dev/null 2>&1 || continue; \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    too_old="$$too_old $$python ($$version)"; continue; fi; \
	  if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	    cannot=$$version; continue; fi; \
	  echo "Making $(VENV) with Python $$version ($$(command -v "$$python"))"; \
	  "$$python" -m venv --clear $(VENV); touch $@; exit 0; \
	done; \
	if [ -n "$$cannot" ]; then \
	  echo "Python $$cannot is here, but not its modules venv and ensurepip. Install them, then try again:" >&2; \
	  echo "  sudo apt-get install python$$cannot-venv      (Debian, Ubuntu)" >&2; \
	else \
	  echo "jupyter_tasks needs Python 3.11 or newer; found:$${too_old:- none}." >&2; \
	  echo "Install one (sudo apt-get install python3 python3-venv, https://www.python.org/downloads/)," >&2; \
	  echo "or name one: make PYTHON=/path/to/python3.12 ..." >&2; \
	fi; exit 1
