"""Pods that tests break, and waiting for the next one."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.kubectl import Kubectl

__all__ = ["INGEST", "RECORDER", "STORE", "running_pod", "until"]

INGEST = "sluice.video/role=ingest"
RECORDER = "sluice.video/role=record"
STORE = "sluice.video/role=store"


def running_pod(kube: Kubectl, selector: str) -> str:
    """The pod that runs now and is not on its way out; empty when there is none."""
    for pod in kube.list("pods", "-l", selector):
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running":
            return str(pod["metadata"]["name"])
    return ""


def until(check: Callable[[], object], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{why}: not within {seconds:.0f} s"
        time.sleep(0.5)
