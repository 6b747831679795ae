# Every target sets up .venv by itself, and again only when pyproject.toml or constraints.txt change.
# PYTHON chooses the interpreter (3.11 or newer): make PYTHON=python3.12 test

SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.ready
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

# Idle OpenMP threads spin briefly: for long costs a hundredfold on a busy machine, never twofold.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 1000
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test attack check check-format check-lint check-types check-floors check-names format bench docs \
	release-check clean

help:
	@echo 'make demo    run the main jobs on small scenes; the path of the report is printed last;'
	@echo '             VIDEO=walk.mp4 LABELS=first.png shows a video of yours as well'
	@echo 'make test    run every test, and report the coverage of the package'
	@echo 'make attack  kills, flipped bytes, damaged inputs, odd command lines (hours; SUBSET=1: minutes)'
	@echo 'make check   formatting, lint, types, which floor may import which, circles, standard terms'
	@echo 'make format  rewrite the files as make check wants them'
	@echo 'make bench   run the quick benchmarks, one script a claim'
	@echo 'make docs    build the documentation site into build/site'
	@echo 'make release-check  build the wheel and try it in a clean environment'
	@echo 'make clean   remove what the other targets made, except .venv'

$(READY): pyproject.toml constraints.txt
	@[ -n '$(PYTHON)' ] || { echo 'no Python 3.11 or newer found; say where: make PYTHON=...'; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/sbind demo --out demo --overwrite \
	$(if $(VIDEO),--video '$(VIDEO)') $(if $(LABELS),--labels '$(LABELS)')

test: export OMP_NUM_THREADS := 1
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --cov --cov-report term

attack: export OMP_NUM_THREADS := 1
attack: $(READY)
	@PYTHONPATH=tests:. $(BIN)/python -m attack $(if $(SUBSET),--subset) $(if $(SEED),--seed $(SEED))

check: check-format check-lint check-types check-floors check-names

check-format: $(READY)
	@$(BIN)/ruff format --check --quiet . \
	|| { echo "The files above are not formatted: run 'make format'."; exit 1; }

check-lint: $(READY)
	@$(BIN)/ruff check --quiet --output-format concise . \
	|| { echo "Mend the lines above: 'make format' mends some, '$(BIN)/ruff rule CODE' explains."; exit 1; }

check-types: $(READY)
	@$(BIN)/mypy --no-error-summary \
	|| { echo 'The annotations above are not true: correct them or the code.'; exit 1; }

check-floors: $(READY)
	@$(BIN)/lint-imports --no-cache > .floors 2>&1 && rm .floors \
	|| { cat .floors; rm .floors; \
	echo 'Imports go down only (CONTRIBUTING.md): move what both need to a lower floor.'; exit 1; }

check-names: $(READY)
	@$(BIN)/python -m pytest -q tests/test_import_circles.py tests/test_vocabulary.py > .names 2>&1 \
	&& rm .names || { cat .names; rm .names; \
	echo 'Modules must not import in circles; the standard terms stand in the source.'; exit 1; }

format: $(READY)
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix --exit-zero .

# Quick ones only: train.py makes weights, and recipes that take longer say that they are not run.
bench: $(READY)
	@for script in $$(grep -L 'Not run by make bench' $(filter-out %/train.py,$(wildcard benchmarks/*/*.py))); \
	do echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script || exit 1; done

docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/site/index.html

release-check:
	tools/release_check.sh $(PYTHON)

clean:
	rm -rf demo build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +
