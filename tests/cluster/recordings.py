"""What the cluster tests of recordings wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.kubectl import Kubectl, condition

__all__ = [
    "CLOSING_SECONDS",
    "FRAMES_PER_SECOND",
    "finished",
    "has_recorded",
    "session_over",
    "wait_ring",
]

FRAMES_PER_SECOND = 25
CLOSING_SECONDS = 120
"""From a stop to the finished MP4, on a machine that does much else."""

_METRICS = """\
from urllib.request import urlopen
print(urlopen("http://localhost:9100/metrics", timeout=10).read().decode())
"""


def session_over(kube: Kubectl, stream: str) -> None:
    kube.wait(
        "livestream",
        stream,
        lambda o: condition(o, "Live").get("reason") == "WaitingForPublisher",
        why="the session is over",
        seconds=40,
    )


def finished(kube: Kubectl, name: str, reason: str) -> dict[str, Any]:
    done = kube.wait_condition("recording", name, "Succeeded", seconds=CLOSING_SECONDS)
    assert condition(done, "Succeeded")["reason"] == reason
    return done


def has_recorded(kube: Kubectl, name: str, seconds: float = 10) -> None:
    """Wait until the Recording has this many seconds of media, however slowly they come.

    A Recording that is stopped with less than 10 s (``minimumSeconds``) is discarded."""
    kube.wait(
        "recording",
        name,
        lambda o: o["status"].get("recordingDuration", 0) >= seconds,
        why=f"has recorded {seconds:.0f} s",
    )


def wait_ring(kube: Kubectl, stream: str, until: Callable[[float], bool], *, why: str) -> None:
    """Wait for the seconds of the current session in the hub's ring; 0 when no session is on.

    The hub itself is asked, so that no operator is needed."""
    deadline = time.monotonic() + 90
    while not until(held := _ring_seconds(kube, stream)):
        assert time.monotonic() < deadline, f"{stream}: {why}: the ring holds {held:.1f} s"
        time.sleep(1)


def _ring_seconds(kube: Kubectl, stream: str) -> float:
    text = kube("exec", f"deploy/{stream}-ingest", "--", "python", "-c", _METRICS)
    [value] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "sluice_hub_ring_seconds"
    ]
    return value
