PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
WORKERS ?= 2
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install run test quick chaos model lint generate servers bench lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):[^#]*## (.*)/\1\t\2/' | expand -t 10

install: $(INSTALLED) ## make .venv with exactly what requirements.lock names

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Termijn needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## everything on this machine, with sample events
	$(BIN)/termijn up --sample

test: lint servers ## lint, the servers that tests need, every test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile \
		tests/unit tests/contract tests/docs tests/model tests/chaos tests/e2e tests/integration

quick: install ## tests without servers: unit, pages, contract on SQLite
	$(BIN)/python -m pytest -m "not kafka and not postgres and not chaos" tests/unit tests/docs tests/contract

chaos: export TERMIJN_CHAOS_ERASURES ?= 2500
chaos: export TERMIJN_CHAOS_COMPANIES ?= 3264
chaos: install servers ## properties and state machines for long, and what kills servers
	$(BIN)/python -m pytest --hypothesis-profile=chaos --timeout=14400 tests/unit tests/contract tests/chaos

model: install ## the protocol of erasures, every order of events in larger worlds
	$(BIN)/python -m tests.model

lint: install ## ruff, mypy --strict, the order of the rooms, spelling, house words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m tests.docs.house_words

generate: install ## write what is generated: deploy/ and the tables on the pages
	$(BIN)/termijn deploy write deploy --pages .
	$(BIN)/termijn monitoring write deploy

servers: ## install the servers that tests need
	deploy/test-servers/install.sh

bench: install ## figures against baselines: ONLY=name QUICK=1 WHOLE=1 JSON=1
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),only $(ONLY),all) $(if $(QUICK),--quick) $(if $(WHOLE),--whole) $(if $(JSON),--json)

lock: ## resolve requirements.lock anew
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file requirements.lock
	$(UV) pip compile pyproject.toml --extra tracing --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file deploy/image/requirements.lock
