"""LIFECYCLE, row by row: what each event does to every status word, on real pods."""

from __future__ import annotations

import time
from pathlib import Path

from tests.cluster.recordings import has_recorded
from tests.support.cluster import publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.recordings import download


def live_reason(kube: Kubectl, name: str, reason: str, seconds: float = 30) -> dict[str, object]:
    return kube.wait(
        "livestream",
        name,
        lambda o: condition(o, "Live").get("reason") == reason,
        why=f"Live reason {reason}",
        seconds=seconds,
    )


def test_a_loss_inside_the_window_is_the_same_session_and_the_same_file(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("church", resumeWindowSeconds=60), recording("whole", "church"))
    url = publish_url(kube, "church")
    with Publisher(clip, url) as first:
        before = live_reason(kube, "church", "OnAir")["status"]
        recorded = has_recorded(kube, "whole")
        first.kill()
    interrupted = live_reason(kube, "church", "Interrupted")["status"]
    assert interrupted["live"] is False  # type: ignore[index]
    assert kube.status("recording", "whole")["recording"] is True
    kube.wait(
        "recording", "whole", lambda o: o["status"].get("phase") == "Interrupted", why="Interrupted"
    )
    time.sleep(4)
    with Publisher(clip, url, start_seconds=60):
        after = live_reason(kube, "church", "OnAir")["status"]
        assert after["startedAt"] == before["startedAt"]  # type: ignore[index]
        has_recorded(kube, "whole", recorded + 4)
        kube.patch("recording", "whole", {"spec": {"desiredState": "Stopped"}})
        done = kube.wait_condition("recording", "whole", "Succeeded", seconds=90)
    [entry] = done["status"]["files"]
    assert len(entry["gaps"]) == 1
    assert 4 <= entry["gaps"][0]["wallSeconds"] <= 60
    [file] = download(kube, "whole", tmp_path)
    assert decode_errors(file) == ""
    found = runs(file, {"A": clip})
    assert len(found) == 2, found
    assert found[0].first == 0
    assert found[1].first >= 1_450


def test_a_loss_beyond_the_window_ends_the_session_and_the_return_opens_the_next_file(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("final"), recording("match", "final"))
    url = publish_url(kube, "final")
    with Publisher(clip, url) as first:
        before = live_reason(kube, "final", "OnAir")["status"]
        has_recorded(kube, "match")
        first.kill()
    ended = live_reason(kube, "final", "WaitingForPublisher", 40)["status"]
    assert ended["finishedAt"] > ended["startedAt"]  # type: ignore[index]
    kube.wait(
        "recording", "match", lambda o: not o["status"].get("recording"), why="closed the file"
    )
    with Publisher(clip, url, start_seconds=60):
        again = live_reason(kube, "final", "OnAir")["status"]
        assert again["startedAt"] > before["startedAt"]  # type: ignore[index]
        assert again["finishedAt"] == ended["finishedAt"]  # type: ignore[index]
        assert again["sessions"][0]["startedAt"] == again["startedAt"]  # type: ignore[index]
        closed = kube.status("recording", "match")["recordingDuration"]
        has_recorded(kube, "match", closed + 4)
        kube.patch("recording", "match", {"spec": {"desiredState": "Stopped"}})
        done = kube.wait_condition("recording", "match", "Succeeded", seconds=90)
    assert len(done["status"]["files"]) == 2
    for file in download(kube, "match", tmp_path):
        assert decode_errors(file) == ""
        assert len(runs(file, {"A": clip})) == 1


def test_a_silent_publisher_is_not_live_within_seconds_and_its_own_return_takes_over(
    kube: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("road", resumeWindowSeconds=30))
    url = publish_url(kube, "road")
    with Publisher(clip, url) as stuck:
        live_reason(kube, "road", "OnAir")
        stuck.freeze()
        live_reason(kube, "road", "Interrupted", 20)
        with Publisher(clip, url, start_seconds=30) as returned:
            live_reason(kube, "road", "OnAir")
            time.sleep(3)
            assert returned.running


def test_active_false_ends_the_session_at_once_and_refuses(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("news"))
    url = publish_url(kube, "news")
    with Publisher(clip, url) as publisher:
        live_reason(kube, "news", "OnAir")
        kube.patch("livestream", "news", {"spec": {"active": False}})
        live_reason(kube, "news", "Disabled")
        kube.wait("livestream", "news", lambda o: "finishedAt" in o["status"], why="has ended")
        publisher.wait_refused()
    with Publisher(clip, url) as refused:
        assert "Disabled" in refused.wait_refused()
    kube.wait(
        "livestream",
        "news",
        lambda o: o["status"].get("lastRejection", {}).get("reason") == "Disabled",
        why="says why it refused",
    )


def test_a_recording_stopped_after_a_moment_is_discarded(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("short"), recording("oops", "short", minimumSeconds=120))
    with Publisher(clip, publish_url(kube, "short")):
        kube.wait("recording", "oops", lambda o: o["status"].get("recording"), why="records")
        kube.patch("recording", "oops", {"spec": {"desiredState": "Stopped"}})
        done = kube.wait_condition("recording", "oops", "Succeeded", seconds=60)
        assert done["status"]["phase"] == "Discarded"
        assert condition(done, "Succeeded")["reason"] == "TooShort"
        kube.patch("recording", "oops", {"spec": {"desiredState": "Recording"}})
        kube.wait_condition("recording", "oops", "StopLatched")
        assert kube.status("recording", "oops")["phase"] == "Discarded"


def test_kubectl_wait_means_what_it_says(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("wait"))
    kube("wait", "--for=condition=Ready", "livestream/wait", "--timeout=60s")
    with Publisher(clip, publish_url(kube, "wait")):
        kube("wait", "--for=condition=Live", "livestream/wait", "--timeout=30s")
