# Each target installs what it needs into .venv, from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pytest's options: `make unit PYTEST='-k queue'`.
PYTEST ?=
# Two processes. A module runs in one of them, so that its fixtures are built once, and in the order
# of the tree: the modules at the end are short, so that both processes end together.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder

# Without bytecode, each pytest process compiles all test modules again, and each child process compiles
# the bot.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo lint format types unit test coverage bench licences clean

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

# What has to pass before a change is merged.
test: lint types
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST)

# Branch coverage of the tests of `make test`, of child processes too; fails below the floor in pyproject.toml.
# Whether the tests pass is checked by `make test`: tracing slows the program, so that a time limit
# may be exceeded here.
coverage: $(VENV)/.test
	rm -f .coverage .coverage.*
	-$(BIN)/coverage run -m pytest $(PARALLEL) $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# What docs/benchmarks.md reports, with few requests: batching, and the bot's response times.
bench: $(VENV)/.test
	$(BIN)/python -m inference.bench
	$(BIN)/python -m tests.benchmarks.interactions --interactions 1000

# docs/licences.md, after a change of the dependencies.
licences: $(VENV)/.test
	$(BIN)/python -m tests.licences

clean:
	rm -rf $(VENV)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: EXTRAS :=
$(VENV)/.demo: EXTRAS := [demo]
$(VENV)/.test: EXTRAS := [demo,test]
$(VENV)/.run $(VENV)/.demo $(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.torch
	$(BIN)/pip install --constraint constraints.txt --editable '.$(EXTRAS)'
	touch $@

# Without an NVIDIA GPU the CPU build of torch is enough. PyPI has it for other systems than Linux; for
# Linux it is on PyTorch's own index. Where that cannot be reached, PyPI's build is installed later.
CPU_INDEX := https://download.pytorch.org/whl/cpu
HAS_GPU := $(shell command -v nvidia-smi)
ifeq ($(shell uname -s)-$(HAS_GPU),Linux-)
TORCH_CPU := $(BIN)/pip install --no-deps --retries 0 --index-url $(CPU_INDEX) `grep ^torch== constraints.txt`
SIZE := about 280 MB to download, 1.3 GB on disk
else
SIZE := about 280 MB to download, or several GB with the CUDA libraries for an NVIDIA GPU
endif
$(VENV)/.torch: | $(VENV)/bin/pip
	@echo "First start: the Python packages are installed into $(VENV) ($(SIZE))."
	$(if $(TORCH_CPU),$(TORCH_CPU) || echo "PyTorch's index cannot be reached; continuing with PyPI.")
	touch $@
