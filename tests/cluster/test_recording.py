"""Recordings: by themselves, by limits, against a store that fills up, and until they are gone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.recordings import (
    finished,
    has_recorded,
    objects_in_store,
    wait_chunk,
    wait_file,
)
from tests.support.cluster import CLIP_SECONDS, Cluster, publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, mediastore, recording
from tests.support.publish import Publisher
from tests.support.recordings import download

CLAIM = {"persistentVolumeClaim": {"template": {"size": "2Gi"}}}


# --------------------------------------------------------------------------- how it begins


@pytest.mark.long
def test_a_strict_recording_fails_off_air_and_one_stopped_after_a_moment_is_discarded(
    kube: Kubectl, clip: Path
) -> None:
    strict = recording("strict", "dark", startWhenLive=False, minimumSeconds=120)
    kube.apply(livestream("dark"))
    url = publish_url(kube, "dark")
    kube.apply(strict)
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
        kube.apply(strict)
        kube.wait("recording", "strict", lambda o: o["status"].get("recording"), why="records")

        kube.patch("recording", "strict", {"spec": {"desiredState": "Stopped"}})
        done = kube.wait_condition("recording", "strict", "Succeeded", seconds=60)
        assert done["status"]["phase"] == "Discarded"
        assert condition(done, "Succeeded")["reason"] == "TooShort"
        kube.patch("recording", "strict", {"spec": {"desiredState": "Recording"}})
        kube.wait_condition("recording", "strict", "StopLatched")
        assert kube.status("recording", "strict")["phase"] == "Discarded"


# --------------------------------------------------------------------------- how it ends


@pytest.mark.long
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
        finished(kube, "heavy", "StorageLimit")
        [file] = download(kube, "heavy", tmp_path)
        assert decode_errors(file) == ""
        [run] = runs(file, {"A": clip})
        assert run.first == 0
        kube.wait(
            "recording",
            "heavy",
            lambda o: o["status"].get("storage", {}).get("limitBytes") == limit,
            why="says how large the store may become",
        )
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


@pytest.mark.long
def test_retention_takes_the_file_and_leaves_its_entry_and_delete_takes_both(
    kube: Kubectl, clip: Path
) -> None:
    """Two finished recordings of one stream: one expires, one has the deletion policy Delete."""
    kube.apply(
        livestream("brief"),
        recording("brief", "brief", maxDurationSeconds=4),
        recording("tidy", "brief", maxDurationSeconds=4, deletionPolicy="Delete"),
    )
    with Publisher(clip, publish_url(kube, "brief")):
        done = finished(kube, "brief", "MaxDurationReached")
        tidy = finished(kube, "tidy", "MaxDurationReached")
    assert "expiresAt" not in done["status"]["files"][0]
    kube.patch("recording", "brief", {"spec": {"retention": {"seconds": 15}}})
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

    uid = tidy["metadata"]["uid"]
    assert tidy["metadata"]["finalizers"] == ["sluice.video/recording"]
    assert ".mp4" in objects_in_store(kube, "default", uid), "the other one had no retention"
    kube("delete", "recording", "tidy", "--timeout=90s")
    left = objects_in_store(kube, "default", uid)
    assert ".mp4" not in left
    assert ".ts" not in left


# --------------------------------------------------------------------------- until it is gone


@pytest.mark.long
def test_what_is_deleted_on_air_becomes_a_file_unless_the_policy_is_delete(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    """Three recordings of one stream: two are deleted themselves, the stream of the third one.

    The stream leaves no child."""
    kube.apply(
        livestream("match"),
        recording("undo", "match", deletionPolicy="Delete"),
        recording("keep", "match"),
        recording("half", "match"),
    )
    with Publisher(clip, publish_url(kube, "match")):
        undo = wait_chunk(kube, "undo")
        kube("delete", "recording", "undo", "--timeout=120s")
        assert ".ts" not in objects_in_store(kube, "default", undo)
        # Its recorder is done by then; the garbage collector deletes the Job when it comes to it.
        kube("wait", "--for=delete", "job/undo-record", "--timeout=120s")

        keep = wait_chunk(kube, "keep")
        kube("delete", "recording", "keep", "--timeout=90s")

        has_recorded(kube, "half")
        kube.delete("livestream", "match", "--wait=true")
        kube.wait_condition("recording", "half", "Succeeded", seconds=120)
    wait_file(kube, keep)
    deadline = time.monotonic() + 60
    while left := children_of(kube, "match"):
        assert time.monotonic() < deadline, left
        time.sleep(1)
    [file] = download(kube, "half", tmp_path)
    assert decode_errors(file) == ""
    assert len(runs(file, {"A": clip})) == 1


def children_of(kube: Kubectl, stream: str) -> list[str]:
    found = kube.list("pods,services,secrets,deployments,configmaps")
    names = [str(o["metadata"]["name"]) for o in found]
    return [name for name in names if name.startswith(stream)]


@pytest.mark.long
def test_a_recorder_that_is_frozen_when_its_recording_is_deleted_costs_no_file(
    kube: Kubectl, clip: Path
) -> None:
    """It never says that it has closed its chunks; what is in the store becomes a file."""
    kube.apply(livestream("stuck"), recording("stuck", "stuck"))
    with Publisher(clip, publish_url(kube, "stuck"), loop=True):
        uid = wait_chunk(kube, "stuck")
        kube("exec", "job/stuck-record", "--", "sh", "-c", "kill -STOP -1", check=False)
        began = time.monotonic()
        kube("delete", "recording", "stuck", "--timeout=180s")
        assert time.monotonic() - began < 150
    wait_file(kube, uid)


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
