# The two commands a newcomer needs are `make demo` and `make test`; `make` alone is the
# developer's loop. Everything runs in a virtual environment of its own under .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FRAMEWORKS := .venv-frameworks
LITELLM := .venv-litellm
CORPUS ?= ../shared/corpus
PEER ?= .venv-peer

.DEFAULT_GOAL := dev
.PHONY: dev demo test test-integrations services all format lint types arrow fast e2e bench bench-corpus peer golden clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

dev: format lint types arrow fast  ## the development loop

demo: $(VENV)/.installed  ## set up and run the main job
	$(BIN)/headroom demo

test: $(VENV)/.installed services  ## set up and pass all tests
	$(BIN)/pytest -n auto

# Frameworks are ten times the rest and LiteLLM wants other releases: both have their
# environments, so that `make test` neither needs nor skips them.
$(FRAMEWORKS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/pip install --quiet --disable-pip-version-check \
	  --editable ".[dev,frameworks]"
	touch $@

$(LITELLM)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LITELLM)
	$(LITELLM)/bin/pip install --quiet --disable-pip-version-check \
	  --editable ".[litellm-tests]"
	touch $@

test-integrations: $(FRAMEWORKS)/.installed $(LITELLM)/.installed  ## LangChain, Ray, …
	$(FRAMEWORKS)/bin/pytest tests/frameworks --ignore=tests/frameworks/test_litellm.py
	LITELLM_LOCAL_MODEL_COST_MAP=True \
	  $(LITELLM)/bin/pytest tests/frameworks/test_litellm.py

# The tests start a real Redis of their own, with TLS.
services:
	@command -v redis-server >/dev/null && command -v openssl >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server openssl >/dev/null; \
	  else \
	    echo "The tests need redis-server and openssl: please install them."; exit 1; \
	  fi; }

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed
	$(BIN)/mypy

arrow: $(VENV)/.installed
	$(BIN)/lint-imports

fast: $(VENV)/.installed services
	$(BIN)/pytest -m "not live and not e2e" -n 2

e2e: $(VENV)/.installed
	$(BIN)/pytest -m e2e

all: lint types arrow test  ## everything that CI checks

golden: $(VENV)/.installed  ## rewrite the golden files; review the diff
	HEADROOM_WRITE_GOLDEN=1 $(BIN)/pytest tests/golden

bench: $(VENV)/.installed  ## measure time and ratio; prints medians and same-run ratios
	$(BIN)/python -m benchmarks --corpus "$(CORPUS)" --peer "$(PEER)"

# Other compressors, each in its own environment: one has a package of our name.
$(PEER)/headroom-ai/.installed: REQUIREMENT = headroom-ai
$(PEER)/toon-format/.installed: REQUIREMENT = toon-format
$(PEER)/%/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check "$(REQUIREMENT)"
	touch $@

peer: $(PEER)/headroom-ai/.installed $(PEER)/toon-format/.installed  ## for make bench to compare with

clean:
	rm -rf $(VENV) $(FRAMEWORKS) $(LITELLM) .venv-peer .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

bench-corpus: $(VENV)/.installed  ## hold the compressors to their figures on a corpus
	$(BIN)/python -m benchmarks.corpus --corpus "$(CORPUS)" $(CORPUS_OPTIONS)
