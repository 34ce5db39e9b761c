# Each target installs what it needs into .venv, from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pytest's options: `make unit PYTEST='-k queue'`.
PYTEST ?=

.PHONY: run demo lint format types unit test coverage bench clean

run: $(VENV)/.run
	$(BIN)/python -m bot run

demo: $(VENV)/.demo
	$(BIN)/python -m bot demo

# Style, formatting and the import rules.
lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test
	$(BIN)/mypy

# The fast tests, in one process.
unit: $(VENV)/.test
	$(BIN)/python -m pytest tests/unit $(PYTEST)

# What has to pass before a change is merged: under ten minutes on two cores.
test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST)

# The same with branch coverage, of child processes too; fails below the floor in pyproject.toml.
coverage: lint types
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadgroup $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# What docs/benchmarks.md reports, with few requests: batching, and the bot's response times.
bench: $(VENV)/.test
	$(BIN)/python -m inference.bench
	$(BIN)/python -m tests.benchmarks.interactions --interactions 1000

clean:
	rm -rf $(VENV)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: EXTRAS :=
$(VENV)/.demo: EXTRAS := [demo]
$(VENV)/.test: EXTRAS := [demo,test]
$(VENV)/.run $(VENV)/.demo $(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.$(EXTRAS)'
	touch $@
