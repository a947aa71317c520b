# Sluice: new developers need two commands, `make demo` and `make test`.
# All tools are installed from the pinned files of the project. Caches are in ~/.cache/sluice
# (or $SLUICE_CACHE), keyed by version.
# This Makefile works with GNU make 3.81, which macOS has: each line of a recipe runs in its own shell.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CLUSTER ?= auto
NODES ?= 1
PYTEST_ARGS ?=

kube = python3 -m tests.kube
bin = $$(python3 tests/environment.py)
uv_lock = $${TMPDIR:-/tmp}/sluice-uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header

.PHONY: help
help: ## list all targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ## run a whole broadcast on a local cluster (CLUSTER=existing: on your cluster)
	@$(kube) packages --provider $(CLUSTER)
	@$(bin)/python -m tests.demo up --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: ## remove the demo (the local cluster stays; see cluster-down)
	@$(bin)/python -m tests.demo down --cluster $(CLUSTER)

.PHONY: test
test: test-packages ## run all tests: unit (while the cluster comes up), media, cluster
	@$(MAKE) verify-generated
	@python3 tests/beside.py "the local cluster" "$(MAKE) install-only" "$(MAKE) test-unit"
	@$(MAKE) test-media
	@$(MAKE) test-cluster

# Bytecode is written to the cache and not into the checkout. With PYTHONDONTWRITEBYTECODE in the
# environment, pytest rewrites every test module in each worker of each run: a worker needs 9 s of CPU
# to collect the unit and media tests, and 4 s with these settings.
test-unit test-media test-cluster: export PYTHONDONTWRITEBYTECODE :=
test-unit test-media test-cluster: export PYTHONPYCACHEPREFIX ?= $(or $(SLUICE_CACHE),$(HOME)/.cache/sluice)/pycache

# Measured on 2 cores. Unit tests compute all the time: a worker for each core. Media and cluster
# tests wait for most of their time. The tests marked `long` begin first (tests/conftest.py).
pytest = $(bin)/python -m pytest
side_by_side = --dist worksteal -n

.PHONY: test-unit
test-unit: ## run unit tests: no socket, no process, about a minute
	@$(pytest) tests/unit $(side_by_side) $(or $(WORKERS),2) $(PYTEST_ARGS)

.PHONY: test-media
test-media: ## run integration and media tests: real sockets, processes and FFmpeg, no cluster
	@$(kube) binaries --only versitygw > /dev/null
	@$(kube) binaries --only helm > /dev/null
	@python3 tests/environment.py tests/requirements-moto.lock > /dev/null
	@$(pytest) tests/integration tests/media -m "not timed" $(side_by_side) $(or $(WORKERS),8) $(PYTEST_ARGS)
	@$(pytest) tests/media -m timed $(side_by_side) 3 $(PYTEST_ARGS)

.PHONY: test-cluster
test-cluster: ## run cluster tests after `make install`; those with an operator of their own come last
	@$(pytest) tests/cluster -m "not own_operator" $(side_by_side) $(or $(WORKERS),6) $(PYTEST_ARGS)
	@$(bin)/python -m tests.cluster.without_operator \
	  $(pytest) tests/cluster -m own_operator $(side_by_side) $(or $(WORKERS),6) $(PYTEST_ARGS)

.PHONY: test-packages
test-packages:
	@$(kube) packages --tests --provider $(CLUSTER)

.PHONY: prepare
prepare: ## build the images and the programs of the cluster, in parallel
	@$(kube) packages --provider $(CLUSTER)
	@$(kube) prepare --provider $(CLUSTER)

.PHONY: cluster
cluster: ## start a Kubernetes on this machine: kind with Docker, else bare processes (NODES=1 or 2)
	@$(kube) up --nodes $(NODES) --provider $(CLUSTER)

.PHONY: cluster-down
cluster-down: ## remove the local cluster and all its data
	@$(kube) down

.PHONY: kubeconfig
kubeconfig: ## print the path of the local cluster's kubeconfig
	@$(kube) kubeconfig

.PHONY: images
images: ## build all images (unchanged images are not built again)
	@$(kube) images

.PHONY: load
load: images ## load the images into the local cluster
	@$(kube) load-images

.PHONY: install
install: crds install-only ## install or upgrade the chart on the local cluster

# Without `crds`, so that nothing writes into the checkout while the unit tests read it.
.PHONY: install-only
install-only: prepare cluster load
	@$(bin)/python -m tests.demo install

.PHONY: crds
crds: ## write crds/ and the chart's copy from the models
	@PYTHONPATH=operator/src:images/media/src $(bin)/python -m sluice_operator crds crds
	@mkdir -p charts/sluice/files/crds
	@cp crds/*.yaml charts/sluice/files/crds/

.PHONY: verify-generated
verify-generated:
	@fresh=$$(mktemp -d) && trap 'rm -r "$$fresh"' EXIT \
	  && PYTHONPATH=operator/src:images/media/src $(bin)/python -m sluice_operator crds $$fresh \
	  && { diff -r $$fresh crds && diff -r $$fresh charts/sluice/files/crds \
	       || { echo "crds/ differs from the models: run make crds"; exit 1; }; }

.PHONY: verify
verify: verify-generated ## check generated files, ruff, mypy strict, import rules, chart lint
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy operator/src images/media/src tests
	@$(bin)/mypy operator/plugin/kubectl-sluice
	@PYTHONPATH=operator/src:images/media/src $(bin)/lint-imports
	@$(bin)/python -m tests.verify.plain_english operator/src images/media/src
	@$(bin)/python -m tests.verify.rooms --check
	@python3 -m tests.verify.imports
	@helm=$$($(kube) binaries --only helm) && $$helm lint --strict charts/sluice
	@git log -30 --format=%s 2>/dev/null | awk 'length > 72 { print "hint: a subject of over 72 characters: " $$0 }'

.PHONY: rooms
rooms: ## draw docs/rooms.svg, the picture of the packages, from the imports
	@$(bin)/python -m tests.verify.rooms

.PHONY: install-plugin
install-plugin: ## install `kubectl sluice` into BIN_DIR (~/.local/bin)
	@mkdir -p "$(or $(BIN_DIR),$(HOME)/.local/bin)"
	@install -m 755 operator/plugin/kubectl-sluice "$(or $(BIN_DIR),$(HOME)/.local/bin)/kubectl-sluice"

.PHONY: lock
lock: ## update the locked dependencies
	@python3 -m venv $${TMPDIR:-/tmp}/sluice-uv
	@$${TMPDIR:-/tmp}/sluice-uv/bin/pip install --quiet uv
	@$(uv_lock) images/media/pyproject.toml --extra roles -o images/media/requirements.lock
	@$(uv_lock) operator/pyproject.toml -o operator/requirements.lock
	@$(uv_lock) tests/requirements-moto.in -o tests/requirements-moto.lock
	@$(uv_lock) tests/requirements.in operator/requirements.lock images/media/requirements.lock -o tests/requirements.lock

.PHONY: faults
faults: test-packages install ## run fault tests on the local cluster (half an hour; NODES=2: with a node drain)
	@$(bin)/python -m pytest tests/faults $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: ## fuzz every parser for SECONDS_EACH seconds (60)
	@SLUICE_FUZZ_SECONDS=$(or $(SECONDS_EACH),60) $(bin)/python -m pytest tests/unit/fuzz --timeout 0 -n 2 $(PYTEST_ARGS)

.PHONY: bench-ingest
bench-ingest: test-packages ## compare gateway and hub with nginx-rtmp: CPU and memory per publisher
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench.ingest
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench.ingest_memory

.PHONY: bench
bench: test-packages install ## run benchmarks; print figures, fail beyond limits
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench

.PHONY: bench-failover
bench-failover: ## measure the reader outage when a leg dies (needs root for a network namespace, no cluster)
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench failover $(args)

.PHONY: bench-restream
bench-restream: test-packages ## compare pushers with `ffmpeg -c copy`: CPU and memory per target
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench restream $(args)

.PHONY: bench-recording
bench-recording: ## compare the recorder with `ffmpeg -c copy -f segment`: CPU for one stream
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench recording $(args)

.PHONY: bench-playback
bench-playback: test-packages ## measure playback: delay, load of the edge, play pods (args="latency load …")
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench playback $(args)

.PHONY: bench-soak
bench-soak: ## run 30 minutes of random leg faults: memory, descriptors, CPU (args="--minutes N")
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench soak $(args)
