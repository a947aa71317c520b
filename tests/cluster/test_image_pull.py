"""An image that cannot be pulled: said in words, after the time that a slow registry may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import SYSTEM_NAMESPACE, Cluster
from tests.cluster.operator_process import HostOperator, installed_operator_paused, own_namespace
from tests.support.kubectl import condition
from tests.support.objects import livestream

pytestmark = [pytest.mark.alone, pytest.mark.timeout(400)]


def test_an_image_that_cannot_be_pulled_is_said_after_two_minutes(
    sluice: Cluster, tmp_path: Path
) -> None:
    paused = installed_operator_paused(sluice.kubectl.within(SYSTEM_NAMESPACE))
    with paused, own_namespace(sluice.kubectl) as kube:
        # An operator of the test's own, whose media image does not exist.
        operator = HostOperator(kube, tmp_path / "operator.log")
        operator.start()
        try:
            kube.apply(livestream("dark"))
            kube.wait(
                "livestream",
                "dark",
                lambda o: condition(o, "Reconciling").get("status") == "True",
                why="is still being set up",
            )
            stalled = kube.wait_condition("livestream", "dark", "Stalled", seconds=200)
            assert condition(stalled, "Ready")["status"] == "False"
            assert "image" in condition(stalled, "Stalled")["message"]
        finally:
            operator.stop()
