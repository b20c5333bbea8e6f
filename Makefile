# The commands of this repository. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Files of tests run in this many processes at once.
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable

.PHONY: help setup check test demo

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# Two stamps: the demo needs no torch and no test tools, everything else gets every extra.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) '.[agent,server]'
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) '.[agent,server,s3,postgres,redis,compression,peers,dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.all  ## build .venv with every extra

check: export SMALLFLEET_DEBUG = 1
check: setup  ## lint, types, import directions, migrations, OpenAPI, aarch64 wheels
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/python tests/tools/check_agent_wheels.py

# The authorisation matrix asks the same of either database, and long: one of them will do.
test: setup  ## run the tests (service tests where their variables are set, see CONTRIBUTING.md)
	$(PYTEST)
	@if [ -n "$$SMALLFLEET_TEST_POSTGRES" ]; then \
	  echo "the server's tests once more, on PostgreSQL"; \
	  SMALLFLEET_DATABASE_URL="$$SMALLFLEET_TEST_POSTGRES" $(PYTEST) -m 'not s3' \
	    --ignore tests/registry/test_real_server.py --ignore tests/access/test_matrix.py tests/access tests/registry tests/fleet tests/contract; fi

demo: $(VENV)/.demo  ## run the main job on this machine and open the dashboard (DEMO_ARGS=--exit to end by itself)
	$(BIN)/smallfleet demo $(DEMO_ARGS)
