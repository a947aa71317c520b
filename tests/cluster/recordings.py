"""What the cluster tests of recordings wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.support.kubectl import Kubectl, condition
from tests.support.pod_metrics import pod_metric

__all__ = [
    "CLOSING_SECONDS",
    "FRAMES_PER_SECOND",
    "finished",
    "has_recorded",
    "objects_in_store",
    "session_over",
    "wait_chunk",
    "wait_file",
    "wait_ring",
]

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


def has_recorded(kube: Kubectl, name: str, seconds: float = 4) -> float:
    """Wait until the recorder has this many seconds of media, however slowly they come.

    The recorder itself is asked: the status is written only every ten seconds. Return what it
    has by then."""

    def recorded() -> float:
        return pod_metric(kube, f"job-name={name}-record", "sluice_record_duration_seconds")

    return _wait_seconds(recorded, lambda has: has >= seconds, f"{name}: has recorded {seconds} s")


def wait_ring(kube: Kubectl, stream: str, until: Callable[[float], bool], *, why: str) -> None:
    """Wait for the seconds of the current session in the hub's ring; 0 when no session is on.

    The hub itself is asked, so that no operator is needed."""
    labels = f"sluice.video/role=ingest,sluice.video/name={stream}"

    def held() -> float:
        return pod_metric(kube, labels, "sluice_hub_ring_seconds")

    _wait_seconds(held, until, f"{stream}: {why}")


def _wait_seconds(measure: Callable[[], float], until: Callable[[float], bool], why: str) -> float:
    deadline = time.monotonic() + 90
    while not until(found := measure()):
        assert time.monotonic() < deadline, f"{why}: {found:.1f} s"
        time.sleep(0.5)
    return found


def wait_chunk(kube: Kubectl, recording: str, store: str = "default") -> str:
    """Wait until a claim-backed store has a chunk of the Recording; return the Recording's uid."""
    uid = str(kube.get("recording", recording)["metadata"]["uid"])
    deadline = time.monotonic() + 90
    while ".ts" not in objects_in_store(kube, store, uid, check=False):
        assert time.monotonic() < deadline, f"{recording}: no chunk in the store"
        time.sleep(1)
    return uid


def wait_file(kube: Kubectl, uid: str, store: str = "default") -> None:
    """Wait until the store has made an MP4 by itself."""
    deadline = time.monotonic() + CLOSING_SECONDS
    while ".mp4" not in objects_in_store(kube, store, uid, check=False):
        assert time.monotonic() < deadline, "the store makes the MP4 by itself"
        time.sleep(1)


def objects_in_store(kube: Kubectl, store: str, uid: str, *, check: bool = True) -> str:
    """Return the listing below the Recording's prefix, in a claim-backed store.

    ``check`` False: return nothing while the store's container does not run yet."""
    folder = f"/var/lib/sluice/store/recordings/{uid}"
    command = ("sh", "-c", f"ls -R {folder} 2>/dev/null; :")
    return kube("exec", f"deploy/{store}-store", "--", *command, check=check)
