"""What the cluster tests of recordings wait for."""

from __future__ import annotations

from typing import Any

from tests.support.kubectl import Kubectl, condition

__all__ = ["CLOSING_SECONDS", "FRAMES_PER_SECOND", "finished", "session_over"]

FRAMES_PER_SECOND = 25
CLOSING_SECONDS = 120
"""From a stop to the finished MP4, on a machine that does much else."""


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
