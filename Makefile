# Runstream: every task of a developer. `make` lists them; each sets up what it needs by itself.

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
BIN := .venv/bin
BROWSER := .venv-browser
OLD_MLFLOW := .venv-mlflow
KUBERNETES := .tools/bin/kubernetes-server
READY := .venv/.ready
ONLY ?=
CHAOS ?=

export UV_PYTHON_DOWNLOADS := never
unexport PYTHONPATH VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos widget-test mlflow-test kubernetes-test protos docs format lint types up bench clean lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make the environment in .venv (implied by every other target)

demo: $(READY) ## Record a real training run on a backend of its own, and look at it
	@$(BIN)/python scripts/demo.py

up: $(READY) ## Run the whole backend on this machine until Ctrl-C
	@$(BIN)/runstream up

test: $(READY) ## Run the tests
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --ignore tests/chaos

check: lint types test ## Everything a change must pass
	$(BIN)/pytest -n 3 --dist loadfile tests/chaos

chaos: $(READY) ## Kill everything for a long time while runs are written; CHAOS="--seeds 5 --faults 60"
	$(BIN)/python -m tests.chaos $(CHAOS)

widget-test: $(UV) ## Show runs in a real JupyterLab and a real Chromium, which are installed for it
	@test -n "$$(command -v chromium || command -v chromium-browser || command -v google-chrome)" \
		|| { apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends chromium; }
	@test -d $(BROWSER) || $(UV) venv --quiet --python $(PYTHON) $(BROWSER)
	@$(UV) pip install --quiet --python $(BROWSER) --require-hashes -r requirements.lock -r tests/browser/requirements.lock
	@$(UV) pip install --quiet --python $(BROWSER) --no-deps --no-build-isolation -e clients/python -e services
	$(BROWSER)/bin/python -m pytest tests/browser

mlflow-test: $(READY) ## Drive the oldest client of MLflow that works, which is installed for it
	@test -d $(OLD_MLFLOW) || $(UV) venv --quiet --python $(PYTHON) $(OLD_MLFLOW)
	@$(UV) pip sync --quiet --python $(OLD_MLFLOW) --require-hashes tests/e2e/mlflow_client/oldest.lock
	MLFLOW_TEST_PYTHON=$(CURDIR)/$(OLD_MLFLOW)/bin/python $(BIN)/pytest tests/e2e/mlflow_client/test_stock_client.py

kubernetes-test: $(READY) $(KUBERNETES) ## Test jobs on a real API server of Kubernetes, which is built with Go for it
	$(BIN)/pytest tests/integration/kubernetes

lint: $(READY) ## Check style, import rules and contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	cd protos && ../$(BIN)/buf lint . && ../$(BIN)/buf breaking . --against released.binpb

types: $(READY) ## Check types
	$(BIN)/mypy clients/python/runstream services/runstream_server tests scripts

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

protos: $(READY) ## Generate code from the contracts
	$(BIN)/python scripts/generate_protos.py

docs: $(READY) ## Generate docs/cli.md from the commands
	$(BIN)/python scripts/generate_cli_docs.py

bench: $(READY) ## Measure against the goals; ONLY=runs.batch_create for those whose name starts so
	$(BIN)/python -m tests.load $(if $(ONLY),--only $(ONLY))

lock: $(UV) ## Renew requirements.lock from the package files
	$(UV) pip compile clients/python/pyproject.toml services/pyproject.toml --extra embedded --group dev \
		--universal --python-version 3.11 --generate-hashes --no-emit-package runstream \
		--no-header --no-annotate --quiet --upgrade --output-file requirements.lock
	$(UV) pip compile tests/browser/requirements.in --constraint requirements.lock \
		--universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --upgrade --output-file tests/browser/requirements.lock
	$(UV) pip compile tests/e2e/mlflow_client/oldest.in \
		--universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --upgrade --output-file tests/e2e/mlflow_client/oldest.lock

clean: ## Remove everything that make has made
	rm -rf .venv .venv-browser .venv-mlflow .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find clients services tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Runstream needs Python 3.11 or newer; say make PYTHON=python3.11")'
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(KUBERNETES): tests/kubernetes_server/main.go tests/kubernetes_server/go.sum | $(UV)
	@command -v go > /dev/null || { echo "Building the API server of Kubernetes needs Go 1.25 or newer." >&2; exit 1; }
	cd tests/kubernetes_server && go build -trimpath -ldflags "-s -w" -o ../../$@ .

$(READY): requirements.lock clients/python/pyproject.toml services/pyproject.toml services/hatch_build.py $(wildcard services/native/*) | $(UV)
	@echo "Setting up .venv ..." >&2
	@test -d .venv || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python .venv --require-hashes requirements.lock
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation -e clients/python -e services
	@touch $@
