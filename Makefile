# make setup   .venv with the command irstream in it
# make demo    the whole system on this machine in a few minutes; FRAMES=<folder of images or clips> for your own frames
# make check   lint, types, layers and the fast tests
# make test    the same and all the rest: slow tests, and those with real Kafka and real Ray
# make test-faults  every fault of the crash matrix, done to a real stream (about 25 minutes); a third of them is in make test
# make audit-deps  known vulnerabilities in requirements.lock; needs the vulnerability service of PyPI (exit code 2 without)
# make lock    requirements.lock again, after a change of dependencies in pyproject.toml
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo check test test-faults lint lock audit-deps clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:
	@sed -n 's/^# //p' Makefile | head -7

setup: $(READY)

# --no-build-isolation: the locked setuptools builds the project, so nothing outside the lock is fetched.
$(READY): requirements.lock pyproject.toml setup.py irstream.pth
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found. Install Python 3.11 or newer, or name it: make setup PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another one: make setup PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV)"; $(PYTHON) -m venv --clear $(VENV); } || { echo "error: $(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "ready: $(BIN)/irstream --help"

demo: $(READY)
	@$(BIN)/irstream demo $(if $(FRAMES),--frames "$(FRAMES)")

check: $(READY)
	@$(BIN)/python -m tests.side_by_side check

test: $(READY)
	@$(BIN)/python -m tests.side_by_side test

# Rows, the table and the picture of the matrix end up in runs/faults.
test-faults: $(READY)
	FAULTS_OUT=runs/faults $(BIN)/pytest tests/faults tests/integration/test_serve_run.py tests/integration/test_names.py -m "" --capture=no
	$(BIN)/python -m tests.faults.report runs/faults

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Versions that are locked already stay; `make lock UPGRADE=1` takes the newest.
lock: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --quiet pyproject.toml --output-file requirements.lock

audit-deps: $(READY)
	@$(BIN)/python -m deploy.audit_deps

clean:
	rm -rf $(VENV) build dist runs demo-out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
