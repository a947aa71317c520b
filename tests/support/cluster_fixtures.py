"""Fixtures on a real cluster: Sluice as `make install` leaves it, and a namespace for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import CLIP_SECONDS, SYSTEM_NAMESPACE, Cluster, find_cluster
from tests.support.frames import make_clip
from tests.support.kubectl import Kubectl
from tests.support.namespaces import RESTRICTED, own_namespace


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the running cluster. Without one, fail with the remedy."""
    return find_cluster()


@pytest.fixture(scope="session")
def sluice(cluster: Cluster) -> Cluster:
    """Return the cluster, with Sluice's own pods ready."""
    for name in ("sluice-operator", "sluice-gateway", "sluice-whip", "sluice-edge"):
        cluster.system.wait(
            "deployment", name, _is_rolled_out, why="has its pods ready", seconds=120
        )
    return cluster


def _is_rolled_out(deployment: dict[str, Any]) -> bool:
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    names = ("replicas", "updatedReplicas", "availableReplicas")
    is_current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return is_current and all(status.get(name, 0) == wanted for name in names)


@pytest.fixture
def kube(sluice: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Yield kubectl in a new namespace for the test, in which only restricted pods may run."""
    with own_namespace(sluice.kubectl, "t", RESTRICTED) as kubectl:
        failed_before = request.session.testsfailed
        yield kubectl
        if request.session.testsfailed > failed_before:
            _print_state(kubectl)


def _print_state(kubectl: Kubectl) -> None:
    """Print the objects and logs of the namespace after a failure."""
    kinds = "livestreams,recordings,restreams,mediastores,pods,jobs,deployments"
    print(kubectl("get", kinds, check=False))
    print(kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-4000:])
    for pod in kubectl.list("pods"):
        name = pod["metadata"]["name"]
        print(f"--- {name}\n", kubectl("logs", name, "--tail=40", check=False)[-5000:])
    system = kubectl.within(SYSTEM_NAMESPACE)
    print(system("get", "pods", check=False))
    print("--- operator\n", system("logs", "deploy/sluice-operator", "--tail=60", check=False))
    gateway = system("logs", "deploy/sluice-gateway", "--since=5m", check=False)
    lines = [line for line in gateway.splitlines() if kubectl.namespace in line]
    print("--- gateway", *lines[-60:], sep="\n")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip with video and a tone, whose frames all differ."""
    return make_clip(tmp_path_factory.mktemp("clips") / "a.flv", seconds=CLIP_SECONDS)
