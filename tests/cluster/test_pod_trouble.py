"""Pods that do not come up: said in words once a slow registry or autoscaler had its time.

An operator of these tests' own has less patience than the installed one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.operator_process import (
    HostOperator,
    installed_operator_paused,
    installed_settings,
    running,
)
from tests.support.cluster import Cluster
from tests.support.kubectl import Kubectl, condition
from tests.support.namespaces import own_namespace
from tests.support.objects import livestream

pytestmark = pytest.mark.own_operator

PATIENCE_SECONDS = "10"


@pytest.fixture(scope="module", autouse=True)
def _alone(sluice: Cluster) -> Iterator[None]:
    with installed_operator_paused(sluice.system):
        yield


@contextmanager
def impatient_operator(sluice: Cluster, folder: Path, **env: str) -> Iterator[Kubectl]:
    """A namespace with an operator of its own."""
    env |= {"SLUICE_POD_TROUBLE_SECONDS": PATIENCE_SECONDS}
    with (
        own_namespace(sluice.kubectl, "eng") as kube,
        running(HostOperator(kube, folder / "operator.log", env=env)),
    ):
        yield kube


def stalled(kube: Kubectl, name: str) -> str:
    """Waits for the trouble; the sentence about it."""
    kube.wait(
        "livestream",
        name,
        lambda o: condition(o, "Reconciling").get("status") == "True",
        why="is being set up at first",
    )
    found = kube.wait_condition("livestream", name, "Stalled", seconds=90)
    assert condition(found, "Ready")["status"] == "False"
    return str(condition(found, "Stalled")["message"])


def test_an_image_that_cannot_be_pulled_is_said(sluice: Cluster, tmp_path: Path) -> None:
    with impatient_operator(sluice, tmp_path) as kube:
        kube.apply(livestream("dark"))
        assert "image" in stalled(kube, "dark")


def test_a_pod_that_no_node_takes_is_said_and_healed(sluice: Cluster, tmp_path: Path) -> None:
    image = installed_settings(sluice.system)["SLUICE_MEDIA_IMAGE"]
    with impatient_operator(sluice, tmp_path, SLUICE_MEDIA_IMAGE=image) as kube:
        kube.apply(livestream("big", workload={"resources": {"requests": {"memory": "4Ti"}}}))
        assert "memory" in stalled(kube, "big")
        kube.patch("livestream", "big", {"spec": {"workload": None}})
        kube.wait_condition("livestream", "big", "Ready", seconds=120)
