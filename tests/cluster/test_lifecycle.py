"""LIFECYCLE, row by row: what each event does to every status word, on real pods."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.recordings import has_recorded
from tests.support.cluster import publish_url, refused_for
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.recordings import download

WINDOW_SECONDS = 60
"""Long enough to see a loss and to start another encoder within it, on a machine that is busy."""


def live_reason(kube: Kubectl, name: str, reason: str, seconds: float = 30) -> dict[str, Any]:
    return kube.wait(
        "livestream",
        name,
        lambda o: condition(o, "Live").get("reason") == reason,
        why=f"Live reason {reason}",
        seconds=seconds,
    )


@pytest.mark.long
def test_a_loss_inside_the_window_changes_nothing_and_one_beyond_it_ends_session_and_file(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    """A publisher returns inside the window: same session, same file, one gap. It returns beyond
    the window: the next session, the next file."""
    kube.apply(
        livestream("church", resumeWindowSeconds=WINDOW_SECONDS), recording("whole", "church")
    )
    url = publish_url(kube, "church")
    with Publisher(clip, url) as first:
        before = live_reason(kube, "church", "OnAir")["status"]
        recorded = has_recorded(kube, "whole")
        first.kill()
    interrupted = live_reason(kube, "church", "Interrupted")["status"]
    assert interrupted["live"] is False
    assert kube.status("recording", "whole")["recording"] is True
    kube.wait(
        "recording", "whole", lambda o: o["status"].get("phase") == "Interrupted", why="Interrupted"
    )
    time.sleep(4)
    with Publisher(clip, url, start_seconds=60) as second:
        after = live_reason(kube, "church", "OnAir")["status"]
        assert after["startedAt"] == before["startedAt"]
        has_recorded(kube, "whole", recorded + 4)
        second.kill()

    ended = live_reason(kube, "church", "WaitingForPublisher", WINDOW_SECONDS + 40)["status"]
    assert ended["finishedAt"] > ended["startedAt"]
    kube.wait(
        "recording", "whole", lambda o: not o["status"].get("recording"), why="closed the file"
    )
    with Publisher(clip, url, start_seconds=120):
        again = live_reason(kube, "church", "OnAir")["status"]
        assert again["startedAt"] > before["startedAt"]
        assert again["finishedAt"] == ended["finishedAt"]
        assert again["sessions"][0]["startedAt"] == again["startedAt"]
        closed = kube.status("recording", "whole")["recordingDuration"]
        has_recorded(kube, "whole", closed + 4)
        kube.patch("recording", "whole", {"spec": {"desiredState": "Stopped"}})
        done = kube.wait_condition("recording", "whole", "Succeeded", seconds=90)
    resumed, _ = done["status"]["files"]
    assert len(resumed["gaps"]) == 1
    assert 4 <= resumed["gaps"][0]["wallSeconds"] <= WINDOW_SECONDS
    files = download(kube, "whole", tmp_path)
    assert [decode_errors(file) for file in files] == ["", ""]
    found = [runs(file, {"A": clip}) for file in files]
    assert [len(pieces) for pieces in found] == [2, 1], found
    assert found[0][0].first == 0
    assert found[0][1].first >= 1_450


@pytest.mark.long
def test_a_silent_publisher_is_taken_over_and_active_false_ends_the_session_at_once(
    kube: Kubectl, clip: Path
) -> None:
    """`kubectl wait` for Ready and Live means what the documentation says."""
    kube.apply(livestream("road", resumeWindowSeconds=30))
    kube("wait", "--for=condition=Ready", "livestream/road", "--timeout=60s")
    url = publish_url(kube, "road")
    with Publisher(clip, url) as stuck:
        kube("wait", "--for=condition=Live", "livestream/road", "--timeout=30s")
        live_reason(kube, "road", "OnAir")
        stuck.freeze()
        live_reason(kube, "road", "Interrupted", 20)
        with Publisher(clip, url, start_seconds=30) as returned:
            live_reason(kube, "road", "OnAir")
            time.sleep(3)
            assert returned.running

            kube.patch("livestream", "road", {"spec": {"active": False}})
            live_reason(kube, "road", "Disabled")
            kube.wait("livestream", "road", lambda o: "finishedAt" in o["status"], why="has ended")
            returned.wait_refused()
    with Publisher(clip, url) as refused:
        assert "Disabled" in refused.wait_refused()
    refused_for(kube, "road", "Disabled")
