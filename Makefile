# Two commands do the work: `make` runs the whole chain, `make test` the whole test suite. `make help` lists the rest.
DATASET ?= simulated
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin

export DATA_MIRROR
# nothing phones home; the same are set in code before each library is imported
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
# what matplotlib keeps for itself stays inside the project
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: all
all: $(VENV)/ready ## run the chain: make [DATASET=name] [DATA_MIRROR=folder]
	@python -m pipeline.choose $(DATASET)
	@dvc repro
	@python -m pipeline.tracking $(DATASET)
	@python -m pipeline.report --dataset $(DATASET) --show

$(VENV)/ready: requirements.lock pyproject.toml serving/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is %d.%d; expected Python 3.11 or later: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e serving
	@touch $@

.PHONY: test
test: $(VENV)/ready ## run the test suite
	@python -m pytest

.PHONY: lint
lint: $(VENV)/ready ## check style, types and formatting
	ruff check .
	ruff format --check .
	mypy

.PHONY: ui
ui: $(VENV)/ready ## browse the runs in MLflow on http://127.0.0.1:5000
	@python -m pipeline.tracking --serve

.PHONY: bench
bench: $(VENV)/ready ## measure, side by side with other tools (takes minutes)
	@for benchmark in benchmarks/*.py; do python $$benchmark || exit 1; done

.PHONY: soak
soak: $(VENV)/ready ## kill the running scorer 500 times under load, and count what arrived (takes minutes)
	@python -m threat_scorer.run.soak --bundle models/$(DATASET)/bundle --model sensor_threat

.PHONY: fuzz
fuzz: $(VENV)/ready ## change what a device reads in random ways for ten minutes; only typed refusals may come of it
	@python tests/fuzz.py --seconds 600 --seed $$(date +%s)

.PHONY: audit
audit: $(VENV)/ready ## list what the device installs (dist/sbom.json) and ask for known weaknesses (needs a network)
	@mkdir -p dist
	@cyclonedx-py requirements --output-reproducible --of JSON -o dist/sbom.json serving/requirements.lock
	@pip-audit --disable-pip --require-hashes --progress-spinner off -r serving/requirements.lock

.PHONY: lock
lock: $(VENV)/ready ## resolve the dependencies again into requirements.lock
	uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --no-emit-package threat-scorer -o requirements.lock
	cd serving && uv pip compile --quiet pyproject.toml --constraint ../requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock

.PHONY: clean
clean: ## delete what the stages made, but not the DVC cache: `make` brings it back at once
	rm -rf data/raw data/truth data/staging data/tables data/quarantine data/features models reports

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
