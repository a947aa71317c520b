"""What the fault tests of recordings share: begin one into the bucket, finish it, compare it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.conftest import publish_url
from tests.faults.conftest import FaultyS3
from tests.support.frames import Run, decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording
from tests.support.recordings import download

__all__ = ["RECORDER", "STORE", "begin", "finish", "one_run", "recorder_pod", "until"]

RECORDER = "sluice.video/role=record"
STORE = "sluice.video/role=store"


def begin(kube: Kubectl, s3: FaultyS3, name: str, **spec: object) -> str:
    """A stream and a Recording of it into the bucket; where to publish."""
    kube.apply(*s3.objects())
    kube.wait_condition("mediastore", "bucket", "Ready", seconds=120)
    kube.apply(livestream(name), recording(name, name, storeRef={"name": "bucket"}, **spec))
    url = publish_url(kube, name)
    kube.wait_condition("recording", name, "Ready", seconds=120)
    return url


def recorder_pod(kube: Kubectl) -> str:
    """The recorder that runs now."""
    for pod in kube.list("pods", "-l", RECORDER):
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running":
            return str(pod["metadata"]["name"])
    return ""


def until(check: Callable[[], object], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{why}: not within {seconds:.0f} s"
        time.sleep(0.5)


def finish(kube: Kubectl, name: str, folder: Path, seconds: float = 180) -> list[Path]:
    kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
    kube.wait_condition("recording", name, "Succeeded", seconds=seconds)
    return download(kube, name, folder)


def one_run(files: list[Path], clip: Path) -> Run:
    [file] = files
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    return run
