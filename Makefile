# Needs Python 3.11 or newer, git and make. Every target first builds .venv in this checkout, once.
#
#   make demo [PHOTOS=DIR]   index photos (else sample photos that are drawn), query, classify, leave an HTML page
#   make check               lint, types and the quick tests: about a minute, for every change
#   make test                every test, then lint and types: what continuous integration runs
#   make docs                write docs/reference.md from the docstrings
#   make bench               the tables of speed and of accuracy in benchmarks/RESULTS.md: hours; any table alone:
#                            python -m benchmarks.NAME
#   make setup               build .venv and nothing else

# The first of these that is new enough builds .venv; `make PYTHON=/path/to/python3.12 …` chooses.
PYTHON ?= python3 python3.13 python3.12 python3.11 python
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo check test lint format docs bench clean
.DELETE_ON_ERROR:

setup: $(READY)

# `--group` came with pip 25.1; the pip beside an older Python does not know it.
$(READY): pyproject.toml
	@set -e; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  for python in $(PYTHON); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "birdsearch needs Python 3.11 or newer; none of these is: $(PYTHON)." >&2; \
	    echo "Install one, then: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
	  fi; \
	  echo "Building .venv with $$("$$found" --version); the first time downloads PyTorch and takes some minutes."; \
	  rm -rf .venv; "$$found" -m venv .venv; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'
	@$(BIN)/python -m pip uninstall --yes -qq faiss-gpu  # of an older checkout: faiss-cpu has the same files
	$(BIN)/python -m pip install --disable-pip-version-check --editable . --group test
	@# With what it depends on would come opencv-python, which has the same files as the headless build.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'megadetector-utils>=10'
	@touch $@

demo: $(READY)
	@$(BIN)/birdsearch demo $${PHOTOS:+--photos "$$PHOTOS"}

# How many processes run the tests; each may hold a network in memory. `make test WORKERS=4` chooses.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)

check: lint
	$(PYTEST) -m "not network and not slow and not crash and not wheel and not browser and not server and not postgresql"

test: $(READY)
	$(PYTEST)
	@$(MAKE) --no-print-directory lint

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python -m tests.support.reference
	$(BIN)/python -m tests.support.api_page

# Real photos lie beside the checkout, in ../shared/data/birds300; the alternatives get environments of their own.
bench: $(READY)
	$(BIN)/python -m benchmarks.retrieval ../shared/data/birds300
	$(BIN)/python -m benchmarks.parity ../shared/data/birds300 20
	$(BIN)/python -m benchmarks.indexing
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.cold
	$(BIN)/python -m benchmarks.duplicates
	$(BIN)/python -m benchmarks.pairs 200000 1000000
	$(BIN)/python -m benchmarks.species ../shared/data/birds300
	$(BIN)/python -m benchmarks.clusters --keep
	$(BIN)/python -m benchmarks.audit --keep
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.regions --keep
	$(BIN)/python -m benchmarks.explain
	$(BIN)/python -m benchmarks.diffusion
	$(BIN)/python -m benchmarks.maps
	$(BIN)/python -m benchmarks.raw --keep
	$(BIN)/python -m benchmarks.browsing
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.tags --keep
	$(BIN)/python -m benchmarks.hosts
	$(BIN)/python -m benchmarks.exchange
	$(BIN)/python -m benchmarks.killing
	$(BIN)/python -m benchmarks.killing --milvus

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache demo
