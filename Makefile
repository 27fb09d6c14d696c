# make demo: four videos on this machine's CPU.   make test: everything that CI checks.   make help: the rest.
# Needs Python 3.11 or later, git and make; everything else goes into .venv.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := benchmarks orchestrator parallel spectrum tests tiny_wan conf docs

export HYDRA_FULL_ERROR ?= 0

.PHONY: help install demo test docs format tiny-wan clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## .venv with the pinned dependencies and the project, editable

# torch stands in the same command as all that depends on it: resolved alone, others pull gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 --editable '.[dev]' --constraint constraints.txt
	touch $@

demo: $(INSTALLED) ## render four videos with the model that ships with the project
	$(BIN)/python -m orchestrator.launch +job=demo

test: $(INSTALLED) ## format, lint, strict types, all tests
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'not alone and not slurm_long' --numprocesses logical --maxprocesses 4 --dist loadfile
	$(BIN)/pytest -m 'alone and not slurm_long'

docs: $(INSTALLED) ## build the documentation into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html

format: $(INSTALLED) ## put the code into the house's form
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

tiny-wan: $(INSTALLED) ## train the demo model again, about two hours on two cores; goes on where it stopped
	$(BIN)/python -m tiny_wan.build

clean: ## remove .venv, built pages and caches, not the outputs
	rm -rf $(VENV) docs/_build docs/api/*/ .mypy_cache .pytest_cache .ruff_cache *.egg-info
