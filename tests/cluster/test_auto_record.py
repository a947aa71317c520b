"""Recordings that sessions have by themselves: made once, whoever was there when they began."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator_process import HostOperator
from tests.cluster.recordings import (
    FRAMES_PER_SECOND,
    finished,
    has_recorded,
    session_over,
    wait_ring,
)
from tests.support.cluster import publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream
from tests.support.publish import Publisher
from tests.support.recordings import download


def automatic(kube: Kubectl, stream: str) -> list[dict[str, Any]]:
    """The Recordings that were made by themselves, oldest session first."""
    selector = f"sluice.video/automatic=true,sluice.video/stream={stream}"
    found = kube.list("recordings", "-l", selector)
    return sorted(found, key=lambda obj: str(obj["metadata"]["name"]))


def wait_automatic(
    kube: Kubectl, stream: str, count: int, seconds: float = 90
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = automatic(kube, stream)
        if len(found) >= count:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{count} automatic Recordings of {stream}: not within {seconds:.0f} s")


@pytest.mark.long
def test_each_session_is_recorded_once_from_its_first_keyframe(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    """The start of a session distinguishes it from others, so nothing may round it: the Recording
    and the stream have it to the microsecond."""
    kube.apply(livestream("mass", autoRecord=True))
    url = publish_url(kube, "mass")
    with Publisher(clip, url):
        [first] = wait_automatic(kube, "mass", 1)
        name = first["metadata"]["name"]
        assert re.fullmatch(r"mass-\d{8}-\d{6}", name)
        assert first["spec"]["rearmSeconds"] == 0
        kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")
        kube.wait(
            "livestream",
            "mass",
            lambda o: o["status"].get("recordingName") == name and o["status"].get("recording"),
            why="says what records it",
            seconds=30,
        )
        has_recorded(kube, name, 6)
        kube.wait("livestream", "mass", lambda o: o["status"].get("autoRecorded"), why="remembers")
        began = first["metadata"]["annotations"]["sluice.video/session-started-at"]
        status = kube.status("livestream", "mass")
        assert status["autoRecorded"] == [began]
        apart = datetime.fromisoformat(status["startedAt"]) - datetime.fromisoformat(began)
        assert abs(apart) <= timedelta(milliseconds=1)
    done = finished(kube, name, "StreamEnded")
    [file] = download(kube, name, tmp_path)
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert run.first == 0, "the session's first keyframe"
    assert run.last >= 5 * FRAMES_PER_SECOND
    kube.wait(
        "livestream",
        "mass",
        lambda o: o["status"].get("autoRecorded") == [done["status"]["sessionStartedAt"]],
        why="remembers the session",
    )
    session_over(kube, "mass")
    with Publisher(clip, url, start_seconds=60):
        both = wait_automatic(kube, "mass", 2)
        assert both[0]["metadata"]["uid"] == first["metadata"]["uid"]
        time.sleep(6)
        assert len(automatic(kube, "mass")) == 2


@pytest.mark.long
def test_a_recording_that_was_deleted_or_stopped_does_not_come_back(
    kube: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("quiet", autoRecord=True))
    url = publish_url(kube, "quiet")
    with Publisher(clip, url):
        [made] = wait_automatic(kube, "quiet", 1)
        name = made["metadata"]["name"]
        kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")
        kube("delete", "recording", name, "--timeout=90s")
        time.sleep(10)
        assert automatic(kube, "quiet") == []
    session_over(kube, "quiet")
    with Publisher(clip, url):
        [second] = wait_automatic(kube, "quiet", 1)
        name = second["metadata"]["name"]
        has_recorded(kube, name, 10)  # with less, minimumSeconds discards it
        kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
        finished(kube, name, "Stopped")
        kube.patch("recording", name, {"spec": {"desiredState": "Recording"}})
        kube.wait_condition("recording", name, "StopLatched")
        time.sleep(5)
        assert [o["metadata"]["name"] for o in automatic(kube, "quiet")] == [name]


@pytest.mark.own_operator
@pytest.mark.usefixtures("steady_gateway")
@pytest.mark.long
def test_sessions_that_no_operator_saw_are_recorded_all_the_same(
    kube: Kubectl, host_operator: HostOperator, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("away", autoRecord=True))
    url = publish_url(kube, "away")
    host_operator.stop()
    with Publisher(clip, url):
        wait_ring(kube, "away", lambda held: held >= 8, why="receives 8 s")
    wait_ring(kube, "away", lambda held: held == 0, why="ends the session")
    with Publisher(clip, url, start_seconds=60):
        wait_ring(kube, "away", lambda held: held >= 8, why="receives 8 s")
    assert automatic(kube, "away") == []
    host_operator.start()
    made = wait_automatic(kube, "away", 2, seconds=90)
    assert len(made) == 2
    for obj, first_frame in zip(made, (0, 60 * FRAMES_PER_SECOND), strict=True):
        name = obj["metadata"]["name"]
        finished(kube, name, "StreamEnded")
        [file] = download(kube, name, tmp_path)
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first <= first_frame <= run.last
        assert run.last - run.first >= 6 * FRAMES_PER_SECOND


@pytest.mark.own_operator
@pytest.mark.usefixtures("steady_gateway")
@pytest.mark.long
def test_a_recording_deleted_while_no_operator_was_there_does_not_come_back(
    kube: Kubectl, host_operator: HostOperator, clip: Path
) -> None:
    kube.apply(livestream("gone", autoRecord=True))
    with Publisher(clip, publish_url(kube, "gone"), loop=True):
        [made] = wait_automatic(kube, "gone", 1)
        name = made["metadata"]["name"]
        kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")
        host_operator.stop()
        kube("delete", "recording", name, "--wait=false")
        # The finalizer holds it: nobody is there to take it off.
        assert kube.find("recording", name) is not None
        host_operator.start()
        kube("wait", "--for=delete", f"recording/{name}", "--timeout=120s")
        time.sleep(10)
        assert automatic(kube, "gone") == []
