# `make` lists the targets. `make demo` and `make test` do all their own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs
SWEEP ?= $(RUNS)/mini_shots
REPORT ?= report

.DEFAULT_GOAL := help
.PHONY: help setup demo test slurm slurmdbd faults check mutants bench steps mixed report published paper

help: ## lists the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "peft-cli needs Python 3.11 to 3.13; say which with make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed ## makes .venv with the versions that were tested

demo: setup ## compares four methods on the embedded model and data, in about a minute
	$(BIN)/peft-run -m +experiment=demo runs=$(RUNS)/demo
	$(BIN)/peft-report $(RUNS)/demo

test: setup ## runs the tests, and prints which lines they leave out
	$(BIN)/python -m pytest --cov=peft_cli --cov-report=term

slurm: setup ## tests the launcher for Slurm on a real one on this machine, which it installs (root, Debian)
	$(BIN)/python -m pytest -m slurm

slurmdbd: setup ## the same with Slurm's accounting: slurmdbd and MariaDB
	PEFT_CLI_ACCOUNTING=1 $(BIN)/python -m pytest -m slurm

faults: setup ## kills a sweep of 30 runs at random, and fills its disk (root)
	$(BIN)/python -m pytest -m faults

check: setup ## checks style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutants: setup ## prints what no test misses when it is deleted, in hours; one file: make mutants FILES=peft_cli/train.py
	$(BIN)/python -m tests.mutants $(if $(FILES),--files $(FILES)) $(if $(SINCE),--since $(SINCE))

bench: setup ## times it beside HF peft, in a quarter of an hour on a quiet machine; some rows: make bench ROWS=1,4
	$(BIN)/python -m tests.bench $(if $(ROWS),--rows $(ROWS))

steps: setup ## times a step of each method on the embedded backbone
	$(BIN)/peft-run -m +experiment=steps runs=$(RUNS)/steps
	$(BIN)/peft-report $(RUNS)/steps

mixed: setup ## times batches of several tasks against one task at a time
	$(BIN)/peft-run -m +experiment=mixed_tasks runs=$(RUNS)/mixed
	$(BIN)/python -m tests.bench.mixed $(RUNS)/mixed/mini/tiny-gpt2/*/*/

report: setup ## makes tables, comparisons and figures of all runs, in every format, in report/
	$(BIN)/peft-report $(RUNS) --out $(REPORT)

published: setup ## runs what experiments/mini_shots.md and the README show, and writes both; hours on one core
	$(BIN)/peft-run -m +experiment=mini_shots runs=$(SWEEP)
	$(BIN)/peft-report $(SWEEP) --metric bleu --summary experiments/mini_shots.md > /dev/null
	$(BIN)/peft-report $(SWEEP) --where shots=0,50 --markdown experiments/mini_50.md
	$(BIN)/python -m tests.readme

paper: setup ## repeats a table of a paper and puts it beside ours: make paper TABLE=prefix_e2e
	$(BIN)/peft-report --reproduce $(TABLE) | PATH="$(abspath $(BIN)):$$PATH" sh
	$(BIN)/peft-report $(RUNS) --paper $(TABLE)
