"""Recordings: by themselves, by limits, against a store that fills up, and until they are gone."""

from __future__ import annotations

import re
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import CLIP_SECONDS, Cluster, publish_url
from tests.cluster.operator_process import installed_operator_paused
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, mediastore, recording
from tests.support.publish import Publisher
from tests.support.recordings import download

CLAIM = {"persistentVolumeClaim": {"template": {"size": "2Gi"}}}
FRAMES_PER_SECOND = 25
CLOSING_SECONDS = 120
"""From a stop to the finished MP4, on a machine that does much else."""


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


def objects_in_store(kube: Kubectl, store: str, uid: str) -> str:
    """What is below the Recording's prefix, in a claim-backed store."""
    folder = f"/var/lib/sluice/store/recordings/{uid}"
    return kube("exec", f"deploy/{store}-store", "--", "sh", "-c", f"ls -R {folder} 2>/dev/null; :")


# --------------------------------------------------------------------------- autoRecord


def test_each_session_is_recorded_once_from_its_first_keyframe(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
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
        time.sleep(10)
    done = finished(kube, name, "StreamEnded")
    [file] = download(kube, name, tmp_path)
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert run.first == 0, "the session's first keyframe"
    assert run.last >= 9 * FRAMES_PER_SECOND
    until = datetime.fromisoformat(kube.status("livestream", "mass")["autoRecordedUntil"])
    started = datetime.fromisoformat(done["status"]["sessionStartedAt"])
    assert until == started
    session_over(kube, "mass")
    with Publisher(clip, url, start_seconds=60):
        both = wait_automatic(kube, "mass", 2)
        assert both[0]["metadata"]["uid"] == first["metadata"]["uid"]
        time.sleep(6)
        assert len(automatic(kube, "mass")) == 2


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
        kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")
        time.sleep(11)
        kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
        finished(kube, name, "Stopped")
        kube.patch("recording", name, {"spec": {"desiredState": "Recording"}})
        kube.wait_condition("recording", name, "StopLatched")
        time.sleep(5)
        assert [o["metadata"]["name"] for o in automatic(kube, "quiet")] == [name]


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_sessions_that_no_operator_saw_are_recorded_all_the_same(
    kube: Kubectl, breakable_system: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("away", autoRecord=True))
    url = publish_url(kube, "away")
    with installed_operator_paused(breakable_system):
        with Publisher(clip, url):
            time.sleep(15)
        time.sleep(15)  # the resume window passes
        with Publisher(clip, url, start_seconds=60):
            time.sleep(15)
        assert automatic(kube, "away") == []
    made = wait_automatic(kube, "away", 2, seconds=90)
    assert len(made) == 2
    for obj, first_frame in zip(made, (0, 60 * FRAMES_PER_SECOND), strict=True):
        name = obj["metadata"]["name"]
        finished(kube, name, "StreamEnded")
        [file] = download(kube, name, tmp_path)
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first <= first_frame <= run.last
        assert run.last - run.first >= 12 * FRAMES_PER_SECOND


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_a_recording_deleted_while_no_operator_was_there_does_not_come_back(
    kube: Kubectl, breakable_system: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("gone", autoRecord=True))
    with Publisher(clip, publish_url(kube, "gone"), loop=True):
        [made] = wait_automatic(kube, "gone", 1)
        name = made["metadata"]["name"]
        kube.wait("recording", name, lambda o: o["status"].get("recording"), why="records")
        with installed_operator_paused(breakable_system):
            kube("delete", "recording", name, "--wait=false")
            # The finalizer holds it: nobody is there to take it off.
            assert kube.find("recording", name) is not None
        kube("wait", "--for=delete", f"recording/{name}", "--timeout=120s")
        time.sleep(10)
        assert automatic(kube, "gone") == []


# --------------------------------------------------------------------------- how it begins


def test_a_stream_that_is_not_live_fails_a_strict_recording(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("dark"))
    url = publish_url(kube, "dark")
    kube.apply(recording("strict", "dark", startWhenLive=False))
    failed = kube.wait(
        "recording", "strict", lambda o: o["status"].get("phase") == "Failed", why="fails"
    )
    assert failed["status"]["endReason"] == "StreamNotLive"
    said = condition(failed, "Succeeded")
    assert (said["status"], said["reason"]) == ("False", "StreamNotLive")
    assert said["message"].startswith("Stream is not live.")
    assert kube.find("job", "strict-record") is None
    kube("delete", "recording", "strict", "--timeout=30s")
    with Publisher(clip, url):
        kube.wait_condition("livestream", "dark", "Live", seconds=30)
        kube.apply(recording("strict", "dark", startWhenLive=False))
        kube.wait("recording", "strict", lambda o: o["status"].get("recording"), why="records")


def test_transcoded_is_refused_in_words(kube: Kubectl) -> None:
    kube.apply(livestream("later"), recording("later", "later", recordType="Transcoded"))
    stalled = kube.wait_condition("recording", "later", "Stalled")
    assert condition(stalled, "Stalled")["reason"] == "TranscodingNotSupported"
    assert kube.find("job", "later-record") is None


# --------------------------------------------------------------------------- how it ends


def test_splits_lose_and_double_nothing_and_the_longest_duration_ends_it(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("long"))
    kube.apply(recording("long", "long", splitSeconds=10, maxDurationSeconds=35))
    with Publisher(clip, publish_url(kube, "long")):
        done = finished(kube, "long", "MaxDurationReached")
    files = done["status"]["files"]
    assert [file["endReason"] for file in files[:-1]] == ["Split"] * (len(files) - 1)
    assert files[-1]["endReason"] == "MaxDurationReached"
    assert len(files) >= 3
    assert 33 <= done["status"]["recordingDuration"] <= 36
    following = 0
    for file in download(kube, "long", tmp_path):
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first == following
        following = run.last + 1


def test_a_store_at_its_limit_ends_the_recording_with_a_whole_file_and_refuses_the_next(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    size = clip.stat().st_size
    limit = size * 30 // CLIP_SECONDS
    kube.apply(
        livestream("heavy"),
        mediastore("small", **CLAIM, limit=str(limit), warnAtPercent=30),
        recording("heavy", "heavy", storeRef={"name": "small"}),
    )
    url = publish_url(kube, "heavy")
    with Publisher(clip, url):
        done = finished(kube, "heavy", "StorageLimit")
        [file] = download(kube, "heavy", tmp_path)
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first == 0
        assert done["status"]["storage"]["limitBytes"] == limit
        kube.wait_condition("mediastore", "small", "StorageHeadroom", "False", seconds=90)
    events = kube("get", "events", "--field-selector=involvedObject.kind=MediaStore,type=Warning")
    assert "AlmostExceeded" in events or "Exceeded" in events
    kube.patch("mediastore", "small", {"spec": {"limit": "1Ki"}})
    kube.wait(
        "mediastore",
        "small",
        lambda o: condition(o, "StorageHeadroom").get("reason") == "Exceeded",
        why="is full",
        seconds=90,
    )
    kube.apply(recording("late", "heavy", storeRef={"name": "small"}))
    late = kube.wait(
        "recording", "late", lambda o: o["status"].get("phase") == "Failed", why="fails"
    )
    assert condition(late, "Succeeded")["reason"] == "NoSpace"
    assert condition(late, "Succeeded")["message"].startswith("No space for recording the stream")


def test_retention_takes_the_file_and_its_entry_stays(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("brief"), recording("brief", "brief", maxDurationSeconds=11))
    with Publisher(clip, publish_url(kube, "brief")):
        done = finished(kube, "brief", "MaxDurationReached")
    assert "expiresAt" not in done["status"]["files"][0]
    kube.patch("recording", "brief", {"spec": {"retention": {"seconds": 30}}})
    told = kube.wait(
        "recording",
        "brief",
        lambda o: any("expiresAt" in f or f["state"] == "Expired" for f in o["status"]["files"]),
        why="says when it goes",
        seconds=60,
    )
    expired = kube.wait(
        "recording",
        "brief",
        lambda o: [f["state"] for f in o["status"]["files"]] == ["Expired"],
        why="is expired",
        seconds=180,
    )
    assert expired["status"]["phase"] == told["status"]["phase"] == "Completed"
    assert expired["status"]["sizeBytes"] == 0
    assert ".mp4" not in objects_in_store(kube, "default", expired["metadata"]["uid"])


def test_the_playlist_can_be_watched_while_it_records(kube: Kubectl, clip: Path) -> None:
    kube.apply(livestream("watch"), recording("watch", "watch"))
    with Publisher(clip, publish_url(kube, "watch")):
        found = kube.wait(
            "recording",
            "watch",
            lambda o: any("originUri" in f for f in o["status"].get("files", ())),
            why="names a playlist",
            seconds=60,
        )
        key = found["status"]["files"][0]["originUri"].removeprefix("pvc://default-store/")
        time.sleep(8)
        folder = "/var/lib/sluice/store"
        playlist = kube("exec", "deploy/default-store", "--", "cat", f"{folder}/{key}")
        assert playlist.startswith("#EXTM3U")
        assert "#EXTINF" in playlist


# --------------------------------------------------------------------------- until it is gone


def test_with_delete_a_finished_recording_takes_its_files_along(kube: Kubectl, clip: Path) -> None:
    kube.apply(
        livestream("tidy"),
        recording("tidy", "tidy", maxDurationSeconds=11, deletionPolicy="Delete"),
    )
    with Publisher(clip, publish_url(kube, "tidy")):
        done = finished(kube, "tidy", "MaxDurationReached")
    uid = done["metadata"]["uid"]
    assert done["metadata"]["finalizers"] == ["sluice.video/recording"]
    assert ".mp4" in objects_in_store(kube, "default", uid)
    kube("delete", "recording", "tidy", "--timeout=90s")
    left = objects_in_store(kube, "default", uid)
    assert ".mp4" not in left
    assert ".ts" not in left


def test_with_delete_a_running_recording_ends_and_goes_with_everything(
    kube: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("undo"), recording("undo", "undo", deletionPolicy="Delete"))
    with Publisher(clip, publish_url(kube, "undo")):
        kube.wait("recording", "undo", lambda o: o["status"].get("recording"), why="records")
        time.sleep(8)
        uid = kube.get("recording", "undo")["metadata"]["uid"]
        kube("delete", "recording", "undo", "--timeout=120s")
        assert ".ts" not in objects_in_store(kube, "default", uid)
        assert kube.find("job", "undo-record") is None or kube.list("jobs") == []


def test_with_retain_a_running_recording_that_is_deleted_becomes_a_file(
    kube: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("keep"), recording("keep", "keep"))
    with Publisher(clip, publish_url(kube, "keep")):
        kube.wait("recording", "keep", lambda o: o["status"].get("recording"), why="records")
        time.sleep(8)
        uid = kube.get("recording", "keep")["metadata"]["uid"]
        kube("delete", "recording", "keep", "--timeout=90s")
    deadline = time.monotonic() + CLOSING_SECONDS
    while ".mp4" not in objects_in_store(kube, "default", uid):
        assert time.monotonic() < deadline, "the store makes the MP4 by itself"
        time.sleep(1)


def test_a_recorder_that_is_frozen_when_its_recording_is_deleted_costs_no_file(
    kube: Kubectl, clip: Path
) -> None:
    """It never says that it has closed its chunks; what is in the store becomes a file."""
    kube.apply(livestream("stuck"), recording("stuck", "stuck"))
    with Publisher(clip, publish_url(kube, "stuck"), loop=True):
        kube.wait("recording", "stuck", lambda o: o["status"].get("recording"), why="records")
        time.sleep(15)
        uid = kube.get("recording", "stuck")["metadata"]["uid"]
        kube("exec", "job/stuck-record", "--", "sh", "-c", "kill -STOP -1", check=False)
        began = time.monotonic()
        kube("delete", "recording", "stuck", "--timeout=180s")
        assert time.monotonic() - began < 150
    deadline = time.monotonic() + CLOSING_SECONDS
    while ".mp4" not in objects_in_store(kube, "default", uid):
        assert time.monotonic() < deadline, "the store makes the MP4 by itself"
        time.sleep(1)


def test_a_namespace_with_recordings_can_be_deleted(sluice: Cluster, clip: Path) -> None:
    name = f"t-gone-{int(time.time()) % 100_000}"
    sluice.kubectl("create", "namespace", name)
    kube = sluice.kubectl.within(name)
    kube.apply(livestream("last"), recording("last", "last", deletionPolicy="Delete"))
    with Publisher(clip, publish_url(kube, "last")):
        kube.wait("recording", "last", lambda o: o["status"].get("recording"), why="records")
        sluice.kubectl("delete", "namespace", name, "--wait=false")
    # Where its MediaStore goes first, nobody can delete the files: let go after ten minutes.
    deadline = time.monotonic() + 60
    while (found := kube.find("recording", "last")) and time.monotonic() < deadline:
        if "deletionTimestamp" in found["metadata"]:
            release = '{"metadata": {"finalizers": null}}'
            kube("patch", "recording", "last", "--type=merge", "-p", release, check=False)
        time.sleep(1)
    sluice.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=120s")


def test_when_a_session_began_is_said_to_the_microsecond(kube: Kubectl, clip: Path) -> None:
    """Two sessions are told apart by it, so that nothing on the way may round it."""
    kube.apply(livestream("exact", autoRecord=True))
    with Publisher(clip, publish_url(kube, "exact")):
        [made] = wait_automatic(kube, "exact", 1)
        kube.wait(
            "livestream", "exact", lambda o: o["status"].get("autoRecordedUntil"), why="remembers"
        )
    began = made["metadata"]["annotations"]["sluice.video/session-started-at"]
    status = kube.status("livestream", "exact")
    assert status["autoRecordedUntil"] == began
    apart = datetime.fromisoformat(status["startedAt"]) - datetime.fromisoformat(began)
    assert abs(apart) <= timedelta(milliseconds=1)


def test_the_store_hands_files_out_to_people_in_its_pod(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("fetch"), recording("fetch", "fetch", maxDurationSeconds=11))
    with Publisher(clip, publish_url(kube, "fetch")):
        done = finished(kube, "fetch", "MaxDurationReached")
    [file] = done["status"]["files"]
    command = ["exec", "deploy/default-store", "--", "python", "-m", "sluice_media", "store"]
    target = tmp_path / "fetched.mp4"
    base = [kube.binary, f"--kubeconfig={kube.kubeconfig}", "-n", kube.namespace]
    with target.open("wb") as out:
        arguments = [*base, *command, "cat", done["metadata"]["uid"], file["name"]]
        subprocess.run(arguments, stdout=out, check=True, timeout=120)
    assert target.stat().st_size == file["sizeBytes"]
    assert decode_errors(target) == ""
