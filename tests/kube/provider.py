"""The choice between kind and the bare cluster, and the interface of both."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.kube.bare import BareCluster
from tests.kube.commands import succeeds
from tests.kube.errors import KubeToolError
from tests.kube.kind import KindCluster
from tests.kube.paths import Paths

__all__ = ["PROVIDERS", "Cluster", "choose", "docker_answers", "open_cluster"]

PROVIDERS = ("auto", "bare", "kind")
DOCKER_SECONDS = 10.0


class Cluster(Protocol):
    """The interface of a cluster for the command line and the tests."""

    def prepare(self, stop: threading.Event | None = None) -> None:
        """Build the missing programs that ``up`` needs."""

    def up(self, count: int) -> None:
        """Bring the cluster up with at least ``count`` nodes."""

    def down(self) -> None:
        """Remove the cluster. Without a cluster, do nothing."""

    def status(self) -> tuple[bool, list[str]]:
        """Return whether the cluster is healthy, and lines about its parts."""

    def environment(self) -> Mapping[str, str]:
        """Return facts about the cluster for tests, as shell variables."""

    def load_archives(self, archives: Sequence[Path]) -> None:
        """Bring image archives to every node."""

    def load_images(self, references: Sequence[str]) -> None:
        """Copy images built by ``images`` to every node."""

    def stop_node(self, name: str, mode: str) -> None:
        """Make a node fail: ``processes``, ``network`` or ``power``."""

    def start_node(self, name: str) -> None:
        """Start a stopped node again."""


def docker_answers() -> bool:
    """Return whether a Docker daemon runs and accepts our requests."""
    return succeeds(["docker", "info"], timeout=DOCKER_SECONDS)


def choose(requested: str, running: str | None, *, docker: bool) -> str:
    """Return the provider to use.

    Args:
        requested: ``auto``, ``bare`` or ``kind``.
        running: the provider of the existing cluster, if there is one.
        docker: whether a Docker daemon answers.

    Raises:
        KubeToolError: another provider's cluster exists already.
    """
    if running is not None:
        if requested not in ("auto", running):
            raise KubeToolError(
                f"a {running} cluster exists; run first: python3 -m tests.kube down"
            )
        return running
    if requested != "auto":
        return requested
    return "kind" if docker else "bare"


def open_cluster(paths: Paths, requested: str = "auto") -> Cluster:
    """Return the existing cluster, or the one that ``up`` would make.

    Raises:
        KubeToolError: another provider's cluster exists already.
    """
    running = running_provider(paths)
    docker = running is None and requested == "auto" and docker_answers()
    chosen = choose(requested, running, docker=docker)
    return KindCluster(paths) if chosen == "kind" else BareCluster(paths)


def running_provider(paths: Paths) -> str | None:
    """Return the provider of the existing cluster, from the file that ``up`` wrote."""
    if BareCluster(paths).node_count():
        return "bare"
    return "kind" if KindCluster(paths).exists() else None
