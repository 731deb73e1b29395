.PHONY: demo test check docs install clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One stamp per set of extras: a second `make` does not reinstall.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.demo

install: $(VENV)/.dev

demo: $(VENV)/.demo
	$(BIN)/litebert demo --force

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -q tests/architecture

test: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

docs: $(VENV)/.dev
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python -c "from litebert.cli.reference import command_reference as c, settings_reference as s; from pathlib import Path; Path('docs/commands.md').write_text(c()); Path('docs/settings.md').write_text(s())"
