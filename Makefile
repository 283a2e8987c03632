# Needs Python 3.11 or later and make; everything else comes from the package registry into .venv, pinned by hash.
# Override on the command line: PYTHON=python3.12, CONFIG=my.toml, BROKERS=3, ARGS="-k lanes".

PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$p" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done),python3)
CONFIG ?= gateway.toml
BROKERS ?= 1
KILLS ?= 1000
SEEDS ?= 100000
ARGS ?=

VENV := .venv
RELEASE := $(VENV)/release
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps
sum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
RUNTIME := $(VENV)/.runtime-$(call sum,requirements.lock deploy/build.lock)
PEERS := $(VENV)/.peers-$(call sum,tests/bench/peers.lock tests/bench/parallel/pom.xml)
TESTS := $(VENV)/.tests-$(call sum,requirements.lock tests/requirements.lock)
COMMAND := $(BIN)/leverage-gateway

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt schemas build release chaos seeds bench run kafka lock clean

help: ## What can be made here
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(COMMAND) ## See it work: embedded broker, simulated venues, the gateway, and what became of each command
	@$(COMMAND) demo

test: $(COMMAND) $(TESTS) ## All tests; those that need Kafka run where Java and Maven are, or KAFKA_BOOTSTRAP_SERVERS
	@$(BIN)/python -m pytest $(ARGS)

check: $(COMMAND) $(TESTS) ## Format, lint, types, layers, and generated files in step with their source
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m gateway.edge.documents --check

fmt: $(COMMAND) $(TESTS) ## Format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(COMMAND) $(TESTS) ## Write what is generated: schemas/generated, the README's tables, the dashboard
	$(BIN)/python -m schemas.generate
	$(BIN)/python -m gateway.edge.documents
	$(BIN)/python -m tests.readme
	$(BIN)/python -m deploy.grafana.dashboard
	$(BIN)/python -m deploy.kafka.rights
	$(BIN)/python -m deploy.kubernetes.generate

build: $(COMMAND) ## A wheel and an sdist in dist/, without reaching for the network
	@rm -rf dist && mkdir dist
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python deploy/build.py dist

release: build ## What is released: wheel and sdist, the bill of materials, the licences, and the hashes of all
	@rm -rf $(RELEASE) && "$(PYTHON)" -m venv $(RELEASE)/tools && "$(PYTHON)" -m venv --without-pip $(RELEASE)/product
	@$(RELEASE)/tools/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --only-binary :all: -r deploy/release.lock
	@$(RELEASE)/tools/bin/python -m pip --python $(RELEASE)/product/bin/python install --quiet --no-deps --require-hashes --only-binary :all: -r requirements.lock
	@$(RELEASE)/tools/bin/python -m pip --python $(RELEASE)/product/bin/python install --quiet --no-deps --no-index dist/leverage_gateway-*.whl
	@rm $(RELEASE)/product/lib/python3*/site-packages/leverage_gateway-*.dist-info/direct_url.json # names this folder
	@$(RELEASE)/tools/bin/cyclonedx-py environment --output-reproducible --sv 1.6 --of JSON -o dist/sbom.cdx.json $(RELEASE)/product/bin/python
	@$(RELEASE)/tools/bin/pip-licenses --python $(RELEASE)/product/bin/python --with-urls --format markdown --output-file dist/licences.md >/dev/null
	@rm -rf $(RELEASE) && cd dist && sha256sum * >SHA256SUMS && cat SHA256SUMS

chaos: $(COMMAND) $(TESTS) ## kill -9 KILLS gateways under load on a real broker (BROKERS=3 for a cluster), and judge the history
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --brokers $(BROKERS) $(ARGS)

seeds: $(COMMAND) $(TESTS) ## SEEDS simulated runs with random faults, on simulated time
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

bench: $(COMMAND) $(TESTS) $(PEERS) ## The gateway beside the bare libraries and its peers, in one run: a table, and build/bench.json and .svg
	@$(BIN)/python -m tests.bench.table $(ARGS)
	@$(BIN)/python -m pytest -q tests/bench/micro.py --benchmark-columns=median --benchmark-sort=name

run: $(COMMAND) ## The gateway, with the settings of CONFIG (gateway.toml), until Ctrl-C
	@$(COMMAND) run --config $(CONFIG)

kafka: ## A real Apache Kafka on a free loopback port, until Ctrl-C (needs Java 17; and Maven or KAFKA_HOME)
	@$(PYTHON) deploy/kafka/broker.py --brokers $(BROKERS)

lock: ## Pin the newest dependencies that pyproject.toml allows (needs uv)
	$(LOCK) --extra embedded --extra redis --extra traces pyproject.toml -o requirements.lock
	$(LOCK) --group test --group sdk --group check -c requirements.lock -o tests/requirements.lock
	$(LOCK) --group build -o deploy/build.lock
	$(LOCK) --group release -o deploy/release.lock
	$(LOCK) tests/bench/peers.in -o tests/bench/peers.lock

LOCK = uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

clean: ## Remove what these commands made: the environment, Kafka's jars, caches
	rm -rf $(VENV) .kafka dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find gateway schemas deploy tests -name __pycache__ -prune -exec rm -rf {} +

$(COMMAND): pyproject.toml $(RUNTIME)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation --editable .
	@touch $@

$(RUNTIME): | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV) (once)"
	@$(PIP) --require-hashes --only-binary :all: --no-compile -r requirements.lock -r deploy/build.lock
	@rm -f $(VENV)/.runtime-* && touch $@

$(TESTS): | $(RUNTIME)
	@echo "Installing the pinned test tools into $(VENV) (once)"
	@$(PIP) --require-hashes --only-binary :all: --no-compile -r tests/requirements.lock
	@rm -f $(VENV)/.tests-* && touch $@

$(PEERS): | $(TESTS)
	@echo "Installing what the gateway is measured beside into $(VENV)/peers (once)"
	@"$(PYTHON)" -m venv $(VENV)/peers
	@$(VENV)/peers/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --only-binary :all: -r tests/bench/peers.lock
	@! command -v mvn >/dev/null || mvn -q -B -C -f tests/bench/parallel/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(VENV)/peers/jars
	@rm -f $(VENV)/.peers-* && touch $@

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or later, and $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -m venv $(VENV)
