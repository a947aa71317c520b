"""The cluster of `make install`, and functions that its tests share."""

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
"""Length of a clip: the maximum duration of a test, so that an encoder never reaches its end."""


@dataclass(slots=True, frozen=True)
class Cluster:
    kubectl: Kubectl
    node_ip: str
    audit_log: Path | None
    """The API server's audit log; None on a cluster that is not ours."""

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
    """Wait until the stream is ready; return the URL that a producer pastes, from its Secret."""
    kubectl.wait_condition("livestream", stream, "Ready", seconds=120)
    found = kubectl.wait(
        "secret", f"{stream}-ingest", lambda s: key in s.get("data", {}), why=f"has a {key}"
    )
    return base64.b64decode(found["data"][key]).decode()


def refused_for(kube: Kubectl, name: str, reason: str) -> None:
    """Wait until the stream's status has the refusal of a publisher with this reason."""
    kube.wait(
        "livestream",
        name,
        lambda o: o["status"].get("lastRejection", {}).get("reason") == reason,
        why=f"lastRejection {reason}",
        seconds=40,
    )


def pod_names(kubectl: Kubectl, selector: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in kubectl.list("pods", "-l", selector)]
