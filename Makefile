# What people type. `make help` lists it.

PYTHON ?= python3
PORT ?= 8000
DATA_DIR ?= .data
BIN := .venv/bin

.PHONY: help dev test lint bench soak revision schema openapi settings lock

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

dev: .venv/installed ## PostgreSQL, migrations and the API on 127.0.0.1:8000; PORT=, DATA_DIR=, REPLICA=1
	@$(BIN)/partywall dev --port $(PORT) --data-dir $(DATA_DIR) $(if $(REPLICA),--replica)

# A reason is cut off where the line ends, and a terminal's 80 columns is what a pipe is taken for.
test: .venv/installed ## The whole suite; FAST=1 skips what takes long, COVERAGE=1 measures; TEST_DATABASE_URL= or PG_BIN= choose a PostgreSQL
	@[ -t 1 ] || export COLUMNS=200; $(BIN)/pytest $(if $(FAST),--fast) $(if $(COVERAGE),--cov) -n auto --dist loadfile --no-loadscope-reorder

# The first revision fills an empty database: nobody waits for its locks. Alembic's log is shown when it fails only.
REVISIONS := $(BIN)/alembic upgrade 0001:head --sql

lint: .venv/installed ## ruff, mypy, and squawk on the SQL of the migrations
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@sql=$$($(REVISIONS) 2>/dev/null) || exec $(REVISIONS); printf '%s\n' "$$sql" | $(BIN)/squawk

bench: .venv/bench ## Measure everything, 40 minutes; needs wrk, and for the peers Node and Go. To try it: QUICK=1
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

soak: $(if $(SAVE),.venv/bench,.venv/installed) ## Requests and faults for 5 minutes, then what was lost; MINUTES=, REQUESTS=, SEED=, FAULT=, SAVE=1
	@$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(REQUESTS),--requests $(REQUESTS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault "$(FAULT)") $(if $(SAVE),--save)

revision: .venv/installed ## A new migration, to be filled in; NAME="add notes"
	@$(BIN)/alembic revision --message "$$NAME"

schema: .venv/installed ## Write db/schema.sql and the manifest of the audit anew, after a migration; say whether db/schema.py agrees
	@$(BIN)/python -m migrations.dump db/schema.sql

openapi: .venv/installed ## Write api/openapi.json anew, after a change of the API
	@json=$$($(BIN)/partywall openapi) && printf '%s\n' "$$json" > api/openapi.json

settings: .venv/installed ## Write docs/settings.md and docs/metrics.md anew, after a change of a setting or a metric
	@md=$$($(BIN)/python -m api.commands.settings_page) && printf '%s\n' "$$md" > docs/settings.md
	@md=$$($(BIN)/python -m api.commands.metrics_page) && printf '%s\n' "$$md" > docs/metrics.md

lock: .venv/installed ## Choose new versions of the dependencies
	@$(BIN)/uv pip compile pyproject.toml --upgrade --extra otel --universal --generate-hashes --no-header -q \
		-o requirements-otel.txt
	@$(BIN)/uv pip compile pyproject.toml --upgrade --universal --generate-hashes --no-header -q \
		-c requirements-otel.txt -o requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --upgrade --extra otel --group dev --universal --generate-hashes --no-header -q \
		-c requirements-otel.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile --upgrade --group bench --universal --generate-hashes --no-header -q \
		-c requirements-dev.txt -o benchmarks/requirements.txt
	@$(BIN)/uv pip compile --upgrade --group ops --universal --generate-hashes --no-header -q \
		-c requirements-dev.txt -o ops/requirements.txt

# Written last: an interrupted installation starts over.
.venv/installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Partywall needs Python 3.11 or later; set PYTHON=" if sys.version_info < (3, 11) else 0)'
	@echo "installing the locked dependencies into .venv (once)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement requirements-dev.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/bench: .venv/installed benchmarks/requirements.txt
	@echo "installing what only the benchmark needs into .venv (once)"
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes --requirement benchmarks/requirements.txt
	@touch $@
