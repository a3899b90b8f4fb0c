# make reproduce   set up .venv, train, execute the notebooks, write figures/<profile>/   (PROFILE=smoke|demo|evening|open|paper)
# make figures     execute the notebooks with the recorded runs of a profile: every figure and the report, no training
# make test        set up .venv, run the tests; make test-all runs the slow ones too
# make test-lowest   the tests with the oldest versions that pyproject.toml allows, in build/lowest
# make bench       speed beside the plain way of doing the same, as CSV in runs/bench/
# make lab         set up .venv and JupyterLab, open the notebooks
# make site        executed notebooks, exhibits, report, pages and API as a site in build/site/, from what reproduce left
# On Linux without a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu saves downloading CUDA.

PYTHON ?= python3
PROFILE ?= demo
TORCH_INDEX ?=
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check --no-compile
LOCKED := -r requirements.lock -e .
# Modules are compiled when they are first imported, and kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: reproduce figures test test-all test-lowest lab site bench lint clean

reproduce: .venv/ready
	$(BIN)/symspectra reproduce --profile $(PROFILE)

figures: .venv/ready
	$(BIN)/symspectra figures --profile $(PROFILE)

test: .venv/ready
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-all: .venv/ready
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "slow or not slow"

test-lowest: build/lowest/ready
	build/lowest/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lab: .venv/lab
	$(BIN)/jupyter lab notebooks

site: .venv/site
	$(BIN)/python docs/site/build.py --profile $(PROFILE)

bench: .venv/ready
	for script in training prediction preparation simulation rendering; do \
		$(BIN)/python benchmarks/$$script.py --out runs/bench/$$script.csv || exit 1; done

lint: .venv/ready
	$(BIN)/ruff check symspectra tests notebooks benchmarks docs
	$(BIN)/ruff format --check symspectra tests notebooks benchmarks docs

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SymSpectra needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(QUIET) --no-deps $(TORCH_INDEX:%=--index-url %) "$$(grep '^torch==' requirements.lock)"
	-$(BIN)/pip install $(QUIET) uv
	$(BIN)/uv pip install --quiet --python .venv $(LOCKED) || $(BIN)/pip install $(QUIET) $(LOCKED)
	touch .venv/ready

# The oldest versions that pyproject.toml allows.
build/lowest/ready: pyproject.toml
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/pip install $(QUIET) uv
	$(TORCH_INDEX:%=build/lowest/bin/pip install $(QUIET) --no-deps --index-url % torch==2.6.0)
	build/lowest/bin/uv pip install --quiet --python build/lowest --resolution lowest-direct \
		-e ".[notebooks,simulate,trees,dev]"
	touch build/lowest/ready

.venv/lab: .venv/ready requirements-lab.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-lab.lock
	touch .venv/lab

.venv/site: .venv/ready requirements-site.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-site.lock
	touch .venv/site

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
