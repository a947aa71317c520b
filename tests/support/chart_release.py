"""A release of the chart in a namespace of its own, with images that do not exist."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.helm import CHART, helm_binary
from tests.support.kubectl import Kubectl
from tests.support.namespaces import RESTRICTED, own_namespace

ABSENT = {"image": {"repository": "localhost/sluice-absent", "tag": "1", "pullPolicy": "Never"}}

OTHER_MEDIA_PORT = "whip.service.nodePorts.media=31987"
"""Another port than the default, which the installed release uses."""


@dataclass(slots=True, frozen=True)
class Release:
    """A release of the chart in a namespace of its own."""

    kubectl: Kubectl
    name: str
    folder: Path

    def helm(self, *args: str) -> str:
        done = subprocess.run(
            [helm_binary(), f"--kubeconfig={self.kubectl.kubeconfig}", *args],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def upgrade(self, values: dict[str, Any] | None = None) -> None:
        file = self.folder / "values.yaml"
        own = {
            "fullnameOverride": self.name,
            "crds": {"enabled": False},
            "operator": ABSENT,
            "media": ABSENT,
            "edge": ABSENT,
            "gateway": {"service": {"type": "ClusterIP"}},
        }
        file.write_text(yaml.safe_dump(own | (values or {})), encoding="utf-8")
        namespace = f"--namespace={self.kubectl.namespace}"
        self.helm("upgrade", "--install", self.name, str(CHART), namespace, f"--values={file}")

    def pods(self, component: str) -> list[str]:
        """Return the names of a component's pods."""
        labels = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        return [pod["metadata"]["name"] for pod in self.kubectl.list("pods", "-l", labels)]

    def generations(self) -> dict[str, int]:
        """Return object -> generation, for the objects that have one."""
        kinds = "deployments,services,networkpolicies,roles,rolebindings,serviceaccounts"
        found = self.kubectl.list(kinds, "-l", f"app.kubernetes.io/instance={self.name}")
        assert len(found) >= 9
        return {
            f"{o['kind']}/{o['metadata']['name']}": int(o["metadata"].get("generation", 0))
            for o in found
        }

    def resource_versions(self) -> dict[str, str]:
        """Return object -> resource version, for the objects that only Helm writes."""
        kinds = "services,networkpolicies,roles,rolebindings,serviceaccounts"
        found = self.kubectl.list(kinds, "-l", f"app.kubernetes.io/instance={self.name}")
        return {
            f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in found
        }


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Release]:
    with own_namespace(cluster.kubectl, "chart", RESTRICTED) as kubectl:
        name = kubectl.namespace
        made = Release(kubectl, name, tmp_path)
        yield made
        made.helm("uninstall", name, f"--namespace={name}", "--ignore-not-found")
