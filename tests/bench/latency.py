"""How long a producer waits for a word: `live` after publishing, `recording` after applying."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.cluster.conftest import publish_url
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher

RUNS = 20
LIVE_LIMIT_SECONDS = 1.5
RECORDING_LIMIT_SECONDS = 3.0
WATCH_SECONDS = 60


@contextmanager
def watching(kube: Kubectl, kind: str, name: str) -> Iterator[Callable[[str], float]]:
    """A watch on one object; the callable waits for ``status[field]`` to be true and returns
    the moment at which the watch said so."""
    command = [kube.binary, f"--kubeconfig={kube.kubeconfig}", "-n", kube.namespace, "get", kind]
    command += [name, "--watch", "--output-watch-events", "-o", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = process.stdout
    patience = threading.Timer(WATCH_SECONDS, process.kill)
    patience.start()

    def objects() -> Iterator[dict[str, Any]]:
        for line in lines:
            yield json.loads(line)["object"]

    found: Iterator[dict[str, Any]] = objects()
    # The first one says that the watch is on; it counts too.
    found = itertools.chain([next(found)], found)

    def until(field: str) -> float:
        for obj in found:
            if obj.get("status", {}).get(field):
                return time.time()
        raise AssertionError(f"{kind}/{name}: not {field} within {WATCH_SECONDS} s")

    try:
        yield until
    finally:
        patience.cancel()
        process.kill()
        process.wait()


def publish_to_live(kube: Kubectl, clip: Path) -> list[Figure]:
    """From the start of the encoder's process (so its own start is in the figure, and the first
    keyframe comes later than that) to `live: true` in a watch."""
    kube.apply(livestream("live", resumeWindowSeconds=1))
    kube.wait_condition("livestream", "live", "Ready", seconds=120)
    url = publish_url(kube, "live")
    samples = []
    for _ in range(RUNS):
        with watching(kube, "livestream", "live") as until, Publisher(clip, url) as publisher:
            samples.append(until("live") - publisher.started_at)
        kube.wait(
            "livestream",
            "live",
            lambda o: condition(o, "Live")["reason"] == "WaitingForPublisher",
            why="has ended",
        )
    return [Figure("encoder start -> live: true", "s", tuple(samples), LIVE_LIMIT_SECONDS)]


def apply_to_recording(kube: Kubectl, clip: Path) -> list[Figure]:
    kube.apply(livestream("taped"))
    kube.wait_condition("livestream", "taped", "Ready", seconds=120)
    samples = []
    with Publisher(clip, publish_url(kube, "taped"), loop=True):
        kube.wait_condition("livestream", "taped", "Live")
        for number in range(RUNS // 2 + 1):
            name = f"tape-{number}"
            kube.apply(recording(name, "taped", minimumSeconds=0))
            started = time.time()
            with watching(kube, "recording", name) as until:
                samples.append(until("recording") - started)
            kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
            kube.wait_condition("recording", name, "Succeeded", seconds=90)
    # The first one also makes the namespace's MediaStore: that is not a warm start.
    print(f"the namespace's first recording: {samples[0]:.2f} s (with its MediaStore)")
    return [
        Figure(
            "Recording applied -> recording: true", "s", tuple(samples[1:]), RECORDING_LIMIT_SECONDS
        )
    ]
