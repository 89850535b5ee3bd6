# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv if it is not there.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup browser demo test fast lint docs chaos fuzz bench wheel clean

help:  ## show these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# A stamp per set of extras: a second call takes a second.
$(BIN)/python:
	python3 -m venv $(VENV)
$(VENV)/.demo: $(BIN)/python Makefile pyproject.toml constraints.txt
	$(PIP) -e ".[plots,video]"
	touch $@
$(VENV)/.dev: $(BIN)/python Makefile pyproject.toml constraints.txt
	$(PIP) -e ".[plots,hdf5,faiss,video,flow,encoders,ray,docs,dev]"
	touch $@

setup: $(VENV)/.dev  ## make .venv with all that development needs

# Debian's, since a browser of PyPI's would be fetched from elsewhere. Without it those tests skip.
browser:  ## install Chromium, for the tests of the page (Debian, as root)
	command -v chromium > /dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null; }

demo: $(VENV)/.demo  ## the whole path on made-up data, offline after the install
	rm -rf demo
	$(BIN)/wtal demo --out demo

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy wtal features eval tests

test: lint  ## lint, types, all tests and doctests
	$(BIN)/pytest -n auto --doctest-modules --cov --cov-report=term:skip-covered wtal features eval tests

fast: $(VENV)/.dev  ## the tests that take no more than a few seconds each
	$(BIN)/pytest -q -m "not slow"

docs: $(VENV)/.dev  ## build the site of docs/ into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

WTAL_KILLS ?= 200
chaos: $(VENV)/.dev  ## kill commands at 200 random moments and at every write; they must end in the same bytes
	OMP_NUM_THREADS=1 PYTHONPATH=.:features:eval timeout 2100 \
		$(BIN)/python -m tests.chaos.campaign --kills $(WTAL_KILLS) --every 1
	OMP_NUM_THREADS=1 PYTHONPATH=.:features:eval timeout 900 $(BIN)/python -m tests.chaos.hardening
	WTAL_KILLS=20 timeout 600 $(BIN)/pytest -q -m slow tests/features/test_extract_kill.py

fuzz: $(VENV)/.dev  ## 10,000 damaged files for each reader, at most an hour on two cores
	PYTHONPATH=.:features:eval $(BIN)/python -m tests.fuzz.run

bench: $(VENV)/.dev  ## the timed pieces, beside what they are compared with
	$(BIN)/wtal bench

wheel: $(VENV)/.dev  ## build the wheel into dist/
	rm -rf dist build
	$(BIN)/python -m build --wheel --quiet

clean:  ## remove what was built and cached, and .venv
	rm -rf build dist demo site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage $(VENV)
