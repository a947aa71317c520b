# Sluice: two commands matter to a newcomer, `make demo` and `make test`.
# Everything is installed by the project's own pinned files; caches live in ~/.cache/sluice
# (or $SLUICE_CACHE) and are keyed by version.
# Plain enough for GNU make 3.81, which macOS has: each line of a recipe is a shell of its own.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CLUSTER ?= auto
NODES ?= 1
PYTEST_ARGS ?=
WORKERS ?= 4

kube = python3 -m tests.kube
bin = $$(python3 tests/environment.py)
uv_lock = $${TMPDIR:-/tmp}/sluice-uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header

.PHONY: help
help: ## what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ## a whole broadcast on a local cluster (CLUSTER=existing: on yours)
	@$(kube) packages --provider $(CLUSTER)
	@$(bin)/python -m tests.demo up --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: ## takes the demo off again (the local cluster stays; see cluster-down)
	@$(bin)/python -m tests.demo down --cluster $(CLUSTER)

.PHONY: test
test: test-packages ## all tests: unit, media, cluster
	@$(MAKE) verify-generated
	@$(kube) prepare --provider $(CLUSTER)
	@$(MAKE) test-unit
	@$(MAKE) install
	@$(MAKE) test-cluster

# Modules are compiled once and not into the checkout. Where the environment says
# PYTHONDONTWRITEBYTECODE, pytest rewrites every test module in each worker of each run: 9 s of CPU
# until a worker knows the unit and media tests, and 4 s with this.
test-unit test-cluster: export PYTHONDONTWRITEBYTECODE :=
test-unit test-cluster: export PYTHONPYCACHEPREFIX ?= $(or $(SLUICE_CACHE),$(HOME)/.cache/sluice)/pycache

.PHONY: test-unit
test-unit: ## unit and media tests: no cluster needed
	@$(kube) binaries --only versitygw > /dev/null
	@$(kube) binaries --only helm > /dev/null
	@python3 tests/environment.py tests/requirements-moto.lock > /dev/null
	@$(bin)/python -m pytest tests/unit tests/media -m "not alone" -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	@$(bin)/python -m pytest tests/media -m alone $(PYTEST_ARGS)

.PHONY: test-cluster
test-cluster: ## cluster tests, on what `make install` left; some disturb others and run alone
	@$(bin)/python -m pytest tests/cluster -m "not alone and not own_operator" -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	@$(bin)/python -m tests.cluster.without_operator \
	  $(bin)/python -m pytest tests/cluster -m own_operator -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	@$(bin)/python -m pytest tests/cluster -m alone $(PYTEST_ARGS)

.PHONY: test-packages
test-packages:
	@$(kube) packages --tests --provider $(CLUSTER)

.PHONY: prepare
prepare: ## builds the images and the cluster's programs, side by side
	@$(kube) packages --provider $(CLUSTER)
	@$(kube) prepare --provider $(CLUSTER)

.PHONY: cluster
cluster: ## brings the local cluster up (NODES=1 or 2)
	@$(kube) up --nodes $(NODES) --provider $(CLUSTER)

.PHONY: cluster-down
cluster-down: ## takes the local cluster down, with everything in it
	@$(kube) down

.PHONY: kubeconfig
kubeconfig: ## prints the path of the local cluster's kubeconfig
	@$(kube) kubeconfig

.PHONY: images
images: ## builds both images (what did not change is not built again)
	@$(kube) images

.PHONY: load
load: images ## loads the images into the local cluster
	@$(kube) load-images

.PHONY: install
install: prepare cluster load crds ## installs or upgrades the chart on the local cluster
	@$(bin)/python -m tests.demo install

.PHONY: crds
crds: ## writes crds/ and the chart's copy from the models
	@PYTHONPATH=operator/src:images/media/src $(bin)/python -m sluice_operator crds crds
	@mkdir -p charts/sluice/files/crds
	@cp crds/*.yaml charts/sluice/files/crds/

.PHONY: verify-generated
verify-generated:
	@fresh=$$(mktemp -d) && trap 'rm -r "$$fresh"' EXIT \
	  && PYTHONPATH=operator/src:images/media/src $(bin)/python -m sluice_operator crds $$fresh \
	  && { diff -r $$fresh crds && diff -r $$fresh charts/sluice/files/crds \
	       || { echo "crds/ is not what the models say: run make crds"; exit 1; }; }

.PHONY: verify
verify: verify-generated ## generated files fresh, ruff, mypy strict, import-linter, chart lint
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy operator/src images/media/src tests
	@$(bin)/mypy operator/plugin/kubectl-sluice
	@PYTHONPATH=operator/src:images/media/src $(bin)/lint-imports
	@helm=$$($(kube) binaries --only helm) && $$helm lint --strict charts/sluice

.PHONY: install-plugin
install-plugin: ## puts `kubectl sluice` on your PATH: BIN_DIR (~/.local/bin)
	@mkdir -p "$(or $(BIN_DIR),$(HOME)/.local/bin)"
	@install -m 755 operator/plugin/kubectl-sluice "$(or $(BIN_DIR),$(HOME)/.local/bin)/kubectl-sluice"

.PHONY: lock
lock: ## renews the locked dependencies
	@python3 -m venv $${TMPDIR:-/tmp}/sluice-uv
	@$${TMPDIR:-/tmp}/sluice-uv/bin/pip install --quiet uv
	@$(uv_lock) images/media/pyproject.toml --extra roles -o images/media/requirements.lock
	@$(uv_lock) operator/pyproject.toml -o operator/requirements.lock
	@$(uv_lock) tests/requirements-moto.in -o tests/requirements-moto.lock
	@$(uv_lock) tests/requirements.in operator/requirements.lock images/media/requirements.lock -o tests/requirements.lock

.PHONY: faults
faults: test-packages install ## everything that can break, on the local cluster (about half an hour; NODES=2: a drain too)
	@$(bin)/python -m pytest tests/faults $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: ## hostile input for a while: SECONDS_EACH (60) for every parser
	@SLUICE_FUZZ_SECONDS=$(or $(SECONDS_EACH),60) $(bin)/python -m pytest tests/unit/fuzz --timeout 0 -n 2 $(PYTEST_ARGS)

.PHONY: bench-ingest
bench-ingest: test-packages ## gateway and hub beside nginx-rtmp: CPU and memory for each publisher
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench.ingest
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench.ingest_memory

.PHONY: bench
bench: test-packages install ## benchmarks: prints figures, fails beyond their limits
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench

.PHONY: bench-failover
bench-failover: ## reader outage when a leg dies, without a cluster (root: makes a network namespace)
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench failover $(args)

.PHONY: bench-restream
bench-restream: test-packages ## pushers beside bare `ffmpeg -c copy`: CPU and memory for each target
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench restream $(args)

.PHONY: bench-recording
bench-recording: ## recorder CPU beside a bare ffmpeg -c copy -f segment of the same stream
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench recording $(args)

.PHONY: bench-soak
bench-soak: ## 30 minutes of random leg faults: memory, descriptors, CPU (args="--minutes N")
	@PYTHONPATH=images/media/src $(bin)/python -m tests.bench soak $(args)
