"""A real cluster with Sluice installed, as `make install` leaves it, and a namespace a test."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.frames import make_clip
from tests.support.kubectl import Kubectl
from tests.support.namespaces import RESTRICTED, own_namespace

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_NAMESPACE = "sluice-system"
CLIP_SECONDS = 300
"""As long as a test may take: an encoder never runs out of it, however slow the machine is."""


@dataclass(slots=True, frozen=True)
class Cluster:
    kubectl: Kubectl
    node_ip: str
    audit_log: Path | None
    """The API server's audit log, where the cluster is our own."""

    @property
    def system(self) -> Kubectl:
        return self.kubectl.within(SYSTEM_NAMESPACE)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The running cluster; fails with what to do when there is none."""
    return find_cluster()


def find_cluster() -> Cluster:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kube", "env"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if done.returncode:
        pytest.fail(f"no cluster: run `make install` first. {done.stderr.strip()}")
    env = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    audit_log = Path(env["AUDIT_LOG"]) if env.get("AUDIT_LOG") else None
    kubectl = Kubectl(env.get("KUBECTL", "kubectl"), env["KUBECONFIG"])
    return Cluster(kubectl, env["NODE_IP"], audit_log)


@pytest.fixture(scope="session")
def sluice(cluster: Cluster) -> Cluster:
    """The cluster, with Sluice's own pods ready."""
    for deployment in ("sluice-operator", "sluice-gateway", "sluice-whip"):
        cluster.system("rollout", "status", f"deployment/{deployment}", "--timeout=120s")
    return cluster


@pytest.fixture
def breakable_system(sluice: Cluster, request: pytest.FixtureRequest) -> Kubectl:
    """kubectl in Sluice's own namespace, for those who stop or kill what all tests share."""
    marks = ("alone", "own_operator")
    if not any(request.node.get_closest_marker(mark) for mark in marks):
        pytest.fail(f"a test that breaks Sluice's own pods must be marked as one of {marks}")
    return sluice.system


@pytest.fixture
def kube(sluice: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, in which only restricted pods may run."""
    with own_namespace(sluice.kubectl, "t", RESTRICTED) as kubectl:
        failed_before = request.session.testsfailed
        yield kubectl
        if request.session.testsfailed > failed_before:
            _tell_all(kubectl)


def _tell_all(kubectl: Kubectl) -> None:
    """After a failure: what the namespace looked like."""
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
    ours = [line for line in gateway.splitlines() if kubectl.namespace in line]
    print("--- gateway", *ours[-60:], sep="\n")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moving picture and tone, each frame different."""
    return make_clip(tmp_path_factory.mktemp("clips") / "a.flv", seconds=CLIP_SECONDS)


def publish_url(kubectl: Kubectl, stream: str, key: str = "rtmpUrl") -> str:
    """What a producer pastes, once the stream is ready: a URL out of its Secret."""
    kubectl.wait_condition("livestream", stream, "Ready", seconds=120)
    found = kubectl.wait(
        "secret", f"{stream}-ingest", lambda s: key in s.get("data", {}), why=f"has a {key}"
    )
    return base64.b64decode(found["data"][key]).decode()


def refused_for(kube: Kubectl, name: str, reason: str) -> None:
    """Waits until the stream's status says that a publisher was refused, and why."""
    kube.wait(
        "livestream",
        name,
        lambda o: o["status"].get("lastRejection", {}).get("reason") == reason,
        why=f"lastRejection {reason}",
        seconds=40,
    )


def pod_names(kubectl: Kubectl, selector: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in kubectl.list("pods", "-l", selector)]
