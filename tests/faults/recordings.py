"""What the fault tests of recordings share: begin one into the bucket, finish it, compare it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.conftest import FaultyS3
from tests.support.cluster import publish_url
from tests.support.frames import Run, decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.recordings import download

__all__ = ["begin", "finish", "on_record", "one_run", "recording_began"]


def begin(kube: Kubectl, s3: FaultyS3, name: str, **spec: object) -> str:
    """A stream and a Recording of it into the bucket; where to publish."""
    kube.apply(*s3.objects())
    kube.wait_condition("mediastore", "bucket", "Ready", seconds=120)
    kube.apply(livestream(name), recording(name, name, storeRef={"name": "bucket"}, **spec))
    url = publish_url(kube, name)
    kube.wait_condition("recording", name, "Ready", seconds=120)
    return url


@contextmanager
def on_record(
    kube: Kubectl, s3: FaultyS3, name: str, clip: Path, **spec: object
) -> Iterator[Publisher]:
    """The publisher of a stream that is recorded into the bucket."""
    url = begin(kube, s3, name, **spec)
    with Publisher(clip, url) as publisher:
        recording_began(kube, name)
        yield publisher


def recording_began(kube: Kubectl, name: str) -> None:
    kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")


def finish(kube: Kubectl, name: str, folder: Path, seconds: float = 180) -> list[Path]:
    kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
    kube.wait_condition("recording", name, "Succeeded", seconds=seconds)
    return download(kube, name, folder)


def one_run(files: list[Path], clip: Path) -> Run:
    [file] = files
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    return run
