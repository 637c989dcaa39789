# Two commands for newcomers: `make demo` and `make test`. Each prepares what it needs.

PYTHON ?= python3
VENV ?= .venv
CONFORMANCE ?= ../shared/conformance

BIN = $(VENV)/bin
READY = $(VENV)/ready
# The lock file is complete. pip's resolver would look at versions beyond it, and refuse them.
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
PYTEST = $(BIN)/python -m pytest
CNITOOL = .cache/bin/cnitool
MULTUS = .cache/bin/multus
SHIM = .cache/bin/multus-shim
DAEMON = .cache/bin/multus-daemon
NOOP = .cache/bin/noop
ARCH ?= $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
BUNDLE = dist/bundle-$(ARCH)
HELM = .cache/bin/helm
PLOTS = $(VENV)/plots
BENCH = setup $(BUNDLE)/bundle.json $(MULTUS) $(SHIM) $(DAEMON) $(NOOP)
NODES ?= 2
MINUTES ?= 30
# What clusters are made of, and clusters. CI keeps it from one run to the next.
export CLUSTER ?= $(CURDIR)/.cache/cluster
# Tests make links, bridges and routes: in a network of their own, where nothing else can be hit.
NODE = unshare --mount --net $(if $(filter 0,$(shell id -u)),,--user --map-root-user) .ci/node

.DEFAULT_GOAL := help
.PHONY: help setup demo test cluster cluster-down test-cluster soak check format bench bench-quick scale conformance bundle image manifests lock proto clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: $(READY)  ## Make $(VENV)/bin/multus-py, with everything it needs on this machine

demo: setup  ## Attach two pods to three networks, without a cluster, and clean up
	@$(BIN)/multus-py try examples/demo.yaml

test: setup $(CNITOOL) $(SHIM) $(HELM) $(BUNDLE)/bundle.json  ## Run all tests (as root, or in a user namespace)
	$(NODE) $(PYTEST) -n auto --cov --cov-report=term $(TESTS)

cluster: setup $(CLUSTER)/complete  ## Bring up a real Kubernetes to play with: NODES of them (2)
	.ci/prepare-cluster
	$(BIN)/python -m tests.cluster up --nodes $(NODES)

cluster-down: setup  ## End what make cluster brought up, or what a crash left of it
	$(BIN)/python -m tests.cluster down

test-cluster: setup $(CLUSTER)/complete $(HELM) image  ## Run the tests on a real Kubernetes (as root)
	.ci/prepare-cluster
	$(PYTEST) tests/cluster -m alone
	$(PYTEST) tests/cluster -m "not alone" -n 2

soak: setup $(CLUSTER)/complete image  ## Bring disorder to a real Kubernetes for MINUTES (30), as root
	.ci/prepare-cluster
	$(BIN)/python -m tests.cluster.soak --minutes $(MINUTES)

check: setup  ## Format, lint, types, import contracts: what CI runs before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Format the code and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH) $(PLOTS)  ## Measure against Multus 4.3.0 in the same run; writes docs/performance.md
	$(NODE) $(BIN)/python -m tests.bench

bench-quick: $(BENCH)  ## The same in a minute, less sure; prints only
	$(NODE) $(BIN)/python -m tests.bench --quick

scale: setup  ## Simulate 5,000 nodes, and write the tables of docs/scale.md
	$(BIN)/python -m tests.scale --write

conformance: setup  ## Compare with recorded behaviour of Multus 4.3 (CONFORMANCE: its directory)
	python3 $(CONFORMANCE)/run.py compare --binary $(abspath $(BIN)/multus-py) --no-either
	python3 $(CONFORMANCE)/run.py compare --no-either --allow $(abspath .ci/daemon-allow) \
		--daemon '$(abspath .ci/daemon) $(abspath $(BIN)) $${ROOT} $${KUBECONFIG} $${BINDIR}' \
		--daemon-ready '$${ROOT}/socket/multus-py.sock' --linger 0.3 \
		--binary '/usr/bin/env $${ROOT}/multus-py'

manifests: $(HELM)  ## Render deploy/multus-py.yaml and deploy/uninstall.yaml from the chart
	deploy/manifests $(HELM) deploy

bundle: $(BUNDLE)/bundle.json  ## Make dist/bundle-ARCH, which runs on any node (ARCH: amd64, arm64)

image: $(BUNDLE)/bundle.json  ## Make dist/multus-py.oci.tar, an image of the bundle
	$(BIN)/python -m deploy.image $(BUNDLE) dist/multus-py.oci.tar

lock: setup  ## Renew the lock files from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK) --group bench -c requirements-dev.lock -o requirements-bench.lock
	printf 'mpremote\nmpy-cross\npatchelf\nuv\n' | $(BIN)/uv pip compile - $(LOCK) -c requirements-dev.lock -o deploy/tools.lock
	$(BIN)/python -m deploy.debian

LOCK = --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

proto: setup  ## Generate the kubelet's APIs from their .proto files
	cd multus_py/adapters && $(PROTOC) podresources.proto
	cd tests/cluster && $(PROTOC) deviceplugin.proto dradriver.proto

PROTOC = $(abspath $(BIN))/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=.

clean:  ## Remove what the targets made
	[ ! -d $(CLUSTER)/run/play ] || $(BIN)/python -m tests.cluster down
	rm -rf .venv* .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist

$(READY): requirements-dev.lock pyproject.toml .ci/prepare
	.ci/prepare $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements-dev.lock
	$(PIP) --no-build-isolation -e .
	touch $@

$(PLOTS): requirements-bench.lock | $(READY)
	$(PIP) --require-hashes -r requirements-bench.lock
	touch $@

$(BUNDLE)/bundle.json: $(shell find multus_py deploy -name '*.py' -o -name '*.lock') requirements.lock | $(READY)
	$(BIN)/python -m deploy.bundle --architecture $(ARCH) $(BUNDLE)

$(CNITOOL): .ci/go-build
	$< $@ github.com/containernetworking/cni@v1.3.0 cnitool

$(MULTUS) $(SHIM) $(DAEMON): .ci/go-build
	$< $@ gopkg.in/k8snetworkplumbingwg/multus-cni.v4@v4.3.0 cmd/$(notdir $@)

$(NOOP): tests/bench/delegate/main.go
	mkdir -p $(@D)
	CGO_ENABLED=0 .ci/go $(@D) build -ldflags "-s -w" -o $@ $<

$(CLUSTER)/complete: .ci/cluster-build .ci/go tests/cluster/pause/main.go
	.ci/cluster-build $(CLUSTER)
	touch $@

$(HELM): .ci/go-build
	$< $@ helm.sh/helm/v3@v3.22.0 cmd/helm
