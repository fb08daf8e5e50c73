# `make demo` and `make test` do their own set-up in .venv; nothing else is needed.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup announce-demo demo test lint types pytest app-test docs accessibility bench campaign clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "pixelbayes needs Python >= 3.10; choose one with: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Installing into .venv, once: some minutes and 1.6 GB of disk; where pip takes"
	@echo "PyTorch with CUDA, some GB more. Nothing outside of .venv is changed."
	@$(PYTHON) -m venv .venv
	@echo "1 of 2: PyTorch"
	@$(PIP) install --progress-bar on --constraint constraints.txt torch==2.13.0
	@echo "2 of 2: everything else"
	@$(PIP) install --progress-bar on --constraint constraints.txt --editable '.[training,report,baselines,decisions,app,hub,codec,diffusion,test]'
	@touch $@

announce-demo:
	@echo "The demo trains a small model: one to three minutes on two cores, 5 MB in runs/demo."

demo: announce-demo setup
	@$(BIN)/pixelbayes demo

test: lint types pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Many tiny tensors: threads only wait for each other, processes do not.  They all import the same
# modules, so these are kept compiled also where the environment forbids it.
pytest: setup
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal

# Needs Chromium on the path, or named by PIXELBAYES_BROWSER.
app-test: setup
	$(PIP) install --progress-bar on --constraint constraints.txt playwright axe-playwright-python
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/app/browser.py

# The site, in build/docs; Python 3.11 or later.
docs: setup
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs
	@echo "Open build/docs/index.html in a browser."

# The report of the demo and the page of the small study, in Chromium.
accessibility: demo
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python tests/report/browser.py

bench: setup
	$(BIN)/python -m benchmarks

# Generated inputs, and a fault at each write; under half an hour on two cores.
campaign: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m campaign

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
