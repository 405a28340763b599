# Two commands do the work: `make` runs the whole chain, `make test` the whole test suite. `make help` lists the rest.
DATASET ?= simulated
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
LOCK    := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-header --no-annotate

# recipes read what a caller chose from the environment, as "$$DATASET": neither make nor the shell runs what it says
override DATASET := $(value DATASET)
override DATA_MIRROR := $(value DATA_MIRROR)
export DATASET DATA_MIRROR
# nothing phones home; the same are set in code before each library is imported
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
# what matplotlib keeps for itself stays inside the project
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: all
all: known-name $(VENV)/ready ## run the chain: make [DATASET=name] [DATA_MIRROR=folder]
	@python -m pipeline.select_dataset "$$DATASET"
	@python -m pipeline.chain
	@python -m pipeline.tracking "$$DATASET"
	@python -m pipeline.report --dataset "$$DATASET" --show

.PHONY: known-name
known-name:
	@case "$$DATASET" in \
	  '' | -* | *[!A-Za-z0-9_-]*) \
	    printf '%s\n' "make: DATASET is '$$DATASET'; expected an entry of datasets in params.yaml, of letters, digits, _ and -" >&2; \
	    exit 2;; \
	esac

# what running needs; the second stamp stands for what testing needs besides
$(VENV)/ready: requirements.lock pyproject.toml serving/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is %d.%d; expected Python 3.11 or later: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e serving
	@touch $@

$(VENV)/dev-ready: requirements-dev.lock $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.PHONY: test
test: $(VENV)/dev-ready ## run the test suite, as many tests at a time as there are processors
	@python -m pytest -n logical --dist loadfile --no-loadscope-reorder

.PHONY: lint
lint: $(VENV)/dev-ready ## check style, types and formatting
	ruff check .
	ruff format --check .
	mypy

.PHONY: ui
ui: $(VENV)/ready ## browse the runs in MLflow on http://127.0.0.1:5000
	@python -m pipeline.tracking --serve

.PHONY: bench
bench: $(VENV)/dev-ready ## measure, side by side with other tools (takes minutes)
	@for benchmark in benchmarks/*.py; do python $$benchmark || exit 1; done

.PHONY: soak
soak: known-name $(VENV)/dev-ready ## kill the running scorer 500 times under load, and count what arrived (takes minutes)
	@PYTHONPATH=tests python -m soak.soak --bundle "models/$$DATASET/bundle" --model sensor_threat

.PHONY: fuzz
fuzz: $(VENV)/dev-ready ## change what a device reads in random ways for ten minutes; only typed refusals may come of it
	@PYTHONPATH=tests python -m fuzz.fuzz --seconds 600 --seed $$(date +%s)

.PHONY: audit
audit: $(VENV)/dev-ready ## list what the device installs (dist/sbom.json) and ask for known weaknesses (needs a network)
	@mkdir -p dist
	@cyclonedx-py requirements --output-reproducible --of JSON -o dist/sbom.json serving/requirements.lock
	@pip-audit --disable-pip --require-hashes --progress-spinner off -r serving/requirements.lock

.PHONY: lock
lock: $(VENV)/dev-ready ## resolve the dependencies again: one lock to run, one to test, one for the device
	$(LOCK) --extra build --extra dev --no-emit-package threat-scorer pyproject.toml -o requirements-dev.lock
	@# uv keeps the versions that it finds in the file: what runs is what was tested
	cp requirements-dev.lock requirements.lock
	$(LOCK) --extra build --no-emit-package threat-scorer pyproject.toml -o requirements.lock
	cd serving && $(LOCK) --constraint ../requirements.lock pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## delete what the stages made, but not the DVC cache: `make` brings it back at once
	rm -rf data/raw data/truth data/staging data/tables data/quarantine data/features models/*/ reports

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
