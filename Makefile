# Every target sets itself up: a virtual environment in .venv, filled with the tested versions of constraints.txt.
# PYTHON chooses the interpreter. pip's own variables hold too: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# takes the small build of torch, without CUDA.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Threads that wait for others do so asleep: spinning slows everything down where another program uses a core.
export OMP_WAIT_POLICY ?= PASSIVE
# One process a core, each with one thread; tests/conftest.py says which tests stay together.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types docs readme clean

help: ## say what the targets do
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(INSTALLED) ## simulate with GFlash, refine to Geant4's quality, compare, write a page (minutes)
	$(BIN)/caloforge demo --out demo-output --overwrite

test: lint types $(INSTALLED_DEV) ## style, types, all tests but the slow ones, and the documentation
	$(PYTEST) -m "not slow"
	@$(MAKE) --no-print-directory docs

test-slow: $(INSTALLED_DEV) ## the tests that need minutes each
	$(PYTEST) -m slow

lint: $(INSTALLED_DEV) ## style alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED_DEV) ## types alone
	$(BIN)/mypy

docs: $(INSTALLED_DEV) ## the documentation, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

readme: $(INSTALLED) ## run the demo and put what it prints, its figures and the models' numbers into the README
	$(BIN)/python docs/readme.py

clean: ## remove the environment and everything that the targets made
	rm -rf $(VENV) demo-output docs/_build docs/reference/modules dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "caloforge needs Python 3.10 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (the first time, minutes)"
	$(INSTALL) -e .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (the first time, minutes)"
	$(INSTALL) -e '.[test,docs,geant4,notebook,parquet,root]'
	@touch $@ $(INSTALLED)
