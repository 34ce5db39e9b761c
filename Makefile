# Each target does its own set-up: a .venv beside the code, from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run demo test clean

run: $(VENV)/.run
	$(BIN)/python -m bot run

demo: $(VENV)/.demo
	$(BIN)/python -m bot demo

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup

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
