# install: .venv with exactly what requirements.lock names   run: everything, with sample events
# test: lint, servers, tests                                 lock: resolve requirements.lock anew
# chaos: the properties and state machines for long, and what kills servers

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := install
.PHONY: install run test chaos lint servers bench lock

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Termijn needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install
	$(BIN)/termijn up --sample

test: lint servers
	$(BIN)/python -m pytest

chaos: install servers
	$(BIN)/python -m pytest --hypothesis-profile=chaos --timeout=14400 tests/unit tests/contract tests/chaos

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

servers:
	deploy/test-servers/install.sh

bench: install
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),only $(ONLY),all) $(if $(QUICK),--quick) $(if $(WHOLE),--whole) $(if $(JSON),--json)

lock:
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file requirements.lock
	$(UV) pip compile pyproject.toml --extra tracing --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file deploy/image/requirements.lock
