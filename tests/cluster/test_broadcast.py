"""The main job, end to end: RTMP in, live, recorded, restreamed, stopped, and every frame there."""

from __future__ import annotations

import base64
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.cluster.recordings import has_recorded
from tests.support.cluster import publish_url
from tests.support.frames import decode_errors, probe, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording, restream, secret
from tests.support.publish import Publisher
from tests.support.recordings import download

GATEWAY = "rtmp://sluice-gateway.sluice-system.svc.cluster.local:1935"
LATE_SECONDS = 12
"""How long the session has been on when the late Recording is made."""


@pytest.mark.long
def test_a_broadcast_is_live_recorded_and_restreamed(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("service", title="Sunday service"), livestream("overflow"))
    kube.wait_condition("livestream", "service", "Ready")
    kube.wait_condition("livestream", "overflow", "Ready")
    assert condition(kube.get("livestream", "service"), "Live")["reason"] == "WaitingForPublisher"
    url = publish_url(kube, "service")
    key = base64.b64decode(kube.get("secret", "overflow-ingest")["data"]["streamKey"]).decode()
    kube.apply(secret("overflow-key", key=key))
    kube.apply(
        recording("early", "service"),
        restream(
            "to-overflow",
            "service",
            uri=f"{GATEWAY}/{kube.namespace}",
            streamKeySecretRef={"name": "overflow-key", "key": "key"},
        ),
    )
    kube.wait_condition("recording", "early", "Ready")
    assert kube.status("recording", "early")["phase"] == "Pending"

    with Publisher(clip, url) as publisher:
        kube.wait_condition("livestream", "service", "Live")
        status = kube.wait(
            "livestream", "service", lambda o: o["status"].get("recording"), why="recording: true"
        )["status"]
        assert status["live"] is True
        assert status["activeSource"] == "Primary"
        assert status["recordingName"] == "early"
        on_air = status["startedAt"]
        kube.wait("restream", "to-overflow", lambda o: o["status"].get("live"), why="pushes")
        kube.wait_condition("livestream", "overflow", "Live")
        kube.wait(
            "livestream",
            "service",
            lambda o: o["status"].get("media", {}).get("width") == 320,
            why="measures the picture",
        )

        late = datetime.fromisoformat(on_air).timestamp() + LATE_SECONDS
        time.sleep(max(0, late - time.time()))
        kube.apply(recording("late", "service"))
        created = kube.get("recording", "late")["metadata"]["creationTimestamp"]
        for name in ("early", "late"):
            has_recorded(kube, name)
        for name in ("early", "late"):
            kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
        for name in ("early", "late"):
            kube.wait_condition("recording", name, "Succeeded", seconds=90)
        assert publisher.running
        publisher.stop()
    ended = kube.wait(
        "livestream", "service", lambda o: "finishedAt" in o["status"], why="ends", seconds=30
    )
    assert condition(ended, "Live")["status"] == "False"
    kube.wait(
        "restream", "to-overflow", lambda o: o["status"].get("state") == "Idle", why="is idle"
    )

    for name in ("early", "late"):
        [file] = download(kube, name, tmp_path)
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first % 50 == 0, "a recording begins on a keyframe"
        [entry] = kube.status("recording", name)["files"]
        assert file.stat().st_size == entry["sizeBytes"]
        format_ = probe(file)["format"]
        assert abs(float(format_["duration"]) - entry["durationSeconds"]) < 2.1
        assert format_["tags"]["title"].startswith("Stream Record: Sunday service, ")
        assert kube.status("recording", name)["phase"] == "Completed"
    # The one made on air begins at the last keyframe before it was made: GOPs of 2 s, which take
    # longer when the encoder gets no CPU. The session's beginning is far beyond the bound. The
    # creation time is cut to whole seconds.
    began = datetime.fromisoformat(kube.status("recording", "late")["recordingStartedAt"])
    asked = datetime.fromisoformat(created)
    assert (asked - datetime.fromisoformat(on_air)).total_seconds() >= LATE_SECONDS - 1
    assert -0.01 <= (asked - began).total_seconds() <= LATE_SECONDS / 2
    # The one made before the stream was live has it from its first frame.
    assert runs(download(kube, "early", tmp_path)[0], {"A": clip})[0].first == 0
