"""A real cluster with Sluice as `make install` leaves it, and a namespace for each test."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.operator_process import (
    HostOperator,
    installed_operator_paused,
    installed_settings,
    running,
)
from tests.support.chart_release import release
from tests.support.cluster import REPOSITORY, Cluster
from tests.support.cluster_fixtures import clip, cluster, kube, sluice
from tests.support.kubectl import Kubectl

__all__ = [
    "breakable_gateway",
    "clip",
    "cluster",
    "host_operator",
    "kube",
    "release",
    "sluice",
    "sluice_command",
    "steady_gateway",
]

PLUGIN = REPOSITORY / "operator" / "plugin" / "kubectl-sluice"
SluiceCommand = Callable[..., tuple[int, str, str]]
_GATEWAY_LOCK = Path(tempfile.gettempdir()) / "sluice-tests-gateway.lock"


@pytest.fixture
def host_operator(sluice: Cluster, kube: Kubectl, tmp_path: Path) -> Iterator[HostOperator]:
    """Yield an operator for the test's namespace, with the settings of the installed one.

    It can be stopped and killed without harm to other tests."""
    env = installed_settings(sluice.system)
    operator = HostOperator(kube, tmp_path / "operator.log", env=env)
    with installed_operator_paused(sluice.system), running(operator):
        yield operator


@pytest.fixture
def steady_gateway() -> Iterator[None]:
    """Keep the tests that kill the gateway away until this test has ended."""
    with _gateway_locked(fcntl.LOCK_SH):
        yield


@pytest.fixture
def breakable_gateway(sluice: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Yield kubectl in the namespace of the gateway, which no other test uses now."""
    if request.node.get_closest_marker("own_operator") is None:
        pytest.fail("tests that publish run beside this one: mark it own_operator")
    with _gateway_locked(fcntl.LOCK_EX):
        yield sluice.system


@contextmanager
def _gateway_locked(mode: int) -> Iterator[None]:
    with _GATEWAY_LOCK.open("a") as lock:
        fcntl.flock(lock, mode)
        yield


@pytest.fixture
def sluice_command(kube: Kubectl, tmp_path: Path) -> SluiceCommand:
    """`kubectl sluice …` as a user calls it, in the test's namespace: (exit code, out, err)."""
    folder = tmp_path / "home"
    folder.mkdir()
    path = f"{Path(kube.binary).parent}{os.pathsep}{PLUGIN.parent}{os.pathsep}{os.environ['PATH']}"
    # The plugin's first line asks for a python3, which is to be the one that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{path}"

    def call(*args: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [kube.binary, "sluice", *args, "-n", kube.namespace],
            cwd=folder,
            env={**os.environ, "PATH": path, "KUBECONFIG": kube.kubeconfig, "KUBECTL": kube.binary},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return call
