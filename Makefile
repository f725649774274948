# make demo   the default sweep, end to end
# make test   unit and workflow tests
# make lint   ruff, snakefmt and snakemake --lint
.PHONY: help demo test lint clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

$(VENV)/installed: envs/requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "idsweep needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing idsweep and what it needs into $(VENV): a few minutes, once."
	$(BIN)/python -m pip install --quiet --progress-bar off --constraint envs/requirements.txt --editable ".[demo,test]"
	touch $@

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --profile profiles/local

test: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest

.venv-lint/installed: .pre-commit-config.yaml
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/python -m pip install --quiet --progress-bar off pre-commit==4.7.0
	touch $@

lint: $(VENV)/installed .venv-lint/installed
	.venv-lint/bin/pre-commit run --all-files
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

clean:
	rm -rf $(VENV) .venv-lint .snakemake .pytest_cache .ruff_cache .hypothesis
