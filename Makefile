# Two commands for newcomers: `make demo` and `make test`. Each prepares what it needs.

PYTHON ?= python3
VENV ?= .venv
CONFORMANCE ?= ../shared/conformance

BIN = $(VENV)/bin
READY = $(VENV)/ready
PYTEST = $(BIN)/python -m pytest
CNITOOL = .cache/bin/cnitool
MULTUS = .cache/bin/multus
SHIM = .cache/bin/multus-shim
# Tests make links, bridges and routes: in a network of their own, where nothing else can be hit.
NODE = unshare --mount --net $(if $(filter 0,$(shell id -u)),,--user --map-root-user) .ci/node

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench conformance lock proto clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: $(READY)  ## Make $(VENV)/bin/multus-py, with everything it needs on this machine

demo: setup  ## Attach two pods to three networks, without a cluster, and clean up
	@$(BIN)/multus-py try examples/demo.yaml

test: setup $(CNITOOL) $(SHIM)  ## Run all tests (as root, or in a user namespace)
	$(NODE) $(PYTEST) -n auto --cov --cov-report=term

check: setup  ## Format, lint, types, import contracts: what CI runs before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Format the code and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup $(MULTUS)  ## Measure against Multus 4.3.0 in the same run; prints ratios
	$(NODE) $(BIN)/python -m tests.bench

conformance: setup  ## Compare with recorded behaviour of Multus 4.3 (CONFORMANCE: its directory)
	python3 $(CONFORMANCE)/run.py compare --binary $(abspath $(BIN)/multus-py)
	python3 $(CONFORMANCE)/run.py compare --binary $(abspath $(BIN)/multus-py) --no-either
	python3 $(CONFORMANCE)/run.py compare --no-either --allow $(abspath .ci/daemon-allow) \
		--daemon '$(abspath .ci/daemon) $(abspath $(BIN)) $${ROOT} $${KUBECONFIG} $${BINDIR}' \
		--daemon-ready '$${ROOT}/socket/multus-py.sock' --linger 0.3 \
		--binary '/usr/bin/env $${ROOT}/multus-py'

lock: setup  ## Renew the lock files from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

LOCK = --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

proto: setup  ## Generate the kubelet's API from its .proto file
	cd multus_py/adapters && $(abspath $(BIN))/python -m grpc_tools.protoc \
		-I. --python_out=. --pyi_out=. podresources.proto

clean:  ## Remove what the targets made
	rm -rf .venv* .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist

$(READY): requirements-dev.lock pyproject.toml .ci/prepare
	.ci/prepare $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(CNITOOL): .ci/go-build
	$< $@ github.com/containernetworking/cni@v1.3.0 cnitool

$(MULTUS) $(SHIM): .ci/go-build
	$< $@ gopkg.in/k8snetworkplumbingwg/multus-cni.v4@v4.3.0 cmd/$(notdir $@)
