# Every target works in a fresh clone; `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-gpu lint format bench smoke docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	# torch first: a package that merely asks for any torch must not choose the build.
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

setup: $(VENV)/.ready ## make the virtual environment with the exact versions that CI uses

demo: setup ## set up and run the main job: forget surgery on the embedded data and model
	$(BIN)/duolearn unlearn +forget=surgery

test: setup ## the fast tests
	$(BIN)/python -m pytest

test-all: setup ## the slow tests too
	$(BIN)/python -m pytest -m "not gpu"

test-gpu: setup ## the tests that need a CUDA device
	$(BIN)/python -m pytest -n 0 -m gpu

lint: setup ## lint, format check, types, import order of layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## steps and evaluation beside plain ways of doing the same, on the embedded model, also with 32,000 tokens
	$(BIN)/duolearn bench +forget=surgery bench.repeats=15 bench.memory=true
	$(BIN)/duolearn bench +forget=surgery bench.vocabulary=32000 bench.only=[method,evaluation] bench.memory=true

smoke: setup ## the main job, small, in a temporary folder
	BIN=$(BIN) bash scripts/smoke.sh

docs: setup ## build the documentation as a site, in build/site
	$(BIN)/pip install --quiet -e '.[docs]'
	$(BIN)/python scripts/build_site.py

clean: ## remove what was built, not what was measured
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
