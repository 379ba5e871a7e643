# Every target sets up what it needs: Python 3.11 or newer, make and a package index are enough.
PYTHON ?= python3
BIN := .venv/bin
DEV := .venv/nbflow-dev
USER := .venv/nbflow-user
# Not the executed copies beside them.
NOTEBOOKS := $(filter-out %.executed.ipynb,$(wildcard notebooks/*.ipynb))
# Runs of the targets go to a store of their own, not to ~/.nbflow.
export NBFLOW_HOME ?= $(CURDIR)/.nbflow

.PHONY: demo test test-all lint bench format clean

demo: $(USER)  ## run the quickstart notebook headless
	$(BIN)/nbflow run notebooks/quickstart.ipynb

test: $(DEV)  ## the whole test suite, without the long versions
	$(BIN)/pytest -n auto -m "not slow and not reliability"
	home=$$(mktemp -d) && trap "rm -rf $$home" EXIT && NBFLOW_HOME=$$home NBFLOW_STABLE_OUTPUT=1 \
		$(BIN)/pytest --nbval tests/notebook/stable.ipynb \
		--nbval-sanitize-with jupyter-config/nbval-sanitize.cfg -p no:cacheprovider
	$(BIN)/pytest --nbval-lax $(NOTEBOOKS) -p no:cacheprovider

test-all: $(DEV)  ## the long versions too
	$(BIN)/pytest -n auto --timeout 1800
	$(BIN)/pytest --nbval-lax $(NOTEBOOKS) -p no:cacheprovider

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/nbstripout --verify $(NOTEBOOKS)

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/nbstripout $(NOTEBOOKS)

bench: $(DEV)  ## nbflow beside its peers, each in an environment of its own
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .nbflow benchmarks/.envs

$(USER): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(DEV): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
