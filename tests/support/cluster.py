"""The cluster that `make install` left, and what tests on it have in common."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kubectl import Kubectl

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
