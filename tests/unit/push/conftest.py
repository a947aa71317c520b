"""A push before its stream is on air, and one that is Live."""

from __future__ import annotations

import pytest

from sluice_media.push.machine import Accepted, Configured, Dial, Flow, FlowMeasured
from sluice_media.push.retries import RetryPolicy
from tests.unit.push.machine_rig import ON_AIR, Push


@pytest.fixture
def push() -> Push:
    made = Push()
    made.tell(Configured(RetryPolicy(1, 30)))
    return made


@pytest.fixture
def live(push: Push) -> Push:
    assert push.tell(ON_AIR) == [Dial()]
    push.tell(Accepted(), FlowMeasured(Flow.FLOWING))
    return push
