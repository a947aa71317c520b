"""Every way in, and what happens to a stream when one of them breaks, on real pods."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.recordings import has_recorded
from tests.support.cluster import CLIP_SECONDS, publish_url, refused_for
from tests.support.frames import decode_errors, make_clip, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording, secret
from tests.support.publish import Publisher, wait_gateway
from tests.support.recordings import download

PASSPHRASE = "a-long-enough-passphrase"
INGEST = "sluice.video/role=ingest"
GATEWAY = "app.kubernetes.io/component=gateway"


@pytest.fixture(scope="module")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same programme from another encoder: told apart by its pictures."""
    return make_clip(tmp_path_factory.mktemp("clips") / "b.flv", seconds=CLIP_SECONDS, label="B")


def on_air(kube: Kubectl, name: str, source: str, seconds: float = 30) -> dict[str, object]:
    found = kube.wait(
        "livestream",
        name,
        lambda o: o["status"].get("activeSource") == source,
        why=f"is on air from {source}",
        seconds=seconds,
    )
    status: dict[str, object] = found["status"]
    return status


def finish(kube: Kubectl, name: str) -> dict[str, object]:
    kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
    done = kube.wait_condition("recording", name, "Succeeded", seconds=120)
    status: dict[str, object] = done["status"]
    return status


def test_the_backup_takes_over_and_the_recording_is_one_file_without_a_hole(
    kube: Kubectl, clip: Path, other_clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("final"), recording("final", "final"))
    primary, backup = (publish_url(kube, "final", key) for key in ("rtmpUrl", "backupRtmpUrl"))
    with ExitStack() as publishers:
        first = publishers.enter_context(Publisher(clip, primary))
        on_air(kube, "final", "Primary")
        publishers.enter_context(Publisher(other_clip, backup))
        kube.wait("livestream", "final", lambda o: o["status"].get("backupLive"), why="backupLive")
        before = has_recorded(kube, "final")
        first.kill()
        status = on_air(kube, "final", "Backup")
        assert status["live"] is False
        assert status["backupLive"] is True
        assert status["failovers"] == 1
        assert status["lastFailover"]["from"] == "Primary"  # type: ignore[index]
        assert condition(kube.get("livestream", "final"), "Live")["status"] == "True"
        has_recorded(kube, "final", before + 4)
        with Publisher(clip, primary, start_seconds=60):
            kube.wait("livestream", "final", lambda o: o["status"].get("live"), why="live again")
            time.sleep(3)
            assert kube.status("livestream", "final")["activeSource"] == "Backup"
            recorded = finish(kube, "final")
    assert len(recorded["files"]) == 1  # type: ignore[arg-type]
    [file] = download(kube, "final", tmp_path)
    assert decode_errors(file) == ""
    found = runs(file, {"A": clip, "B": other_clip})
    assert [run.source for run in found] == ["A", "B"], found
    assert found[0].first == 0


def test_srt_with_a_passphrase_is_recorded_and_wrong_ones_are_refused(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(
        secret("srt", passphrase=PASSPHRASE),
        livestream(
            "match",
            source={
                "push": {
                    "protocols": ["SRT", "RTMP"],
                    "srt": {
                        "latencyMilliseconds": 200,
                        "passphraseSecretRef": {"name": "srt", "key": "passphrase"},
                    },
                }
            },
        ),
        recording("match", "match"),
    )
    url = publish_url(kube, "match", "srtUrl")
    right = f"{url}&passphrase={PASSPHRASE}"
    with Publisher(clip, url) as bare:
        bare.wait_refused()
    with Publisher(clip, right.replace("long", "wrong")) as wrong:
        wrong.wait_refused()
    with Publisher(clip, right) as first:
        on_air(kube, "match", "Primary")
        kube.wait("recording", "match", lambda o: o["status"].get("recording"), why="records")
        with Publisher(clip, publish_url(kube, "match")) as second:
            assert "Busy" in second.wait_refused()
        refused_for(kube, "match", "Busy")
        has_recorded(kube, "match")
        assert first.running
        assert kube.status("livestream", "match")["sessions"][0]["protocol"] == "SRT"
        finish(kube, "match")
        kube("annotate", "livestream", "match", "sluice.video/rotate-key=now")
        first.wait_refused()
    [file] = download(kube, "match", tmp_path)
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert len(run) > 75


def test_a_killed_ingest_pod_costs_no_frame_and_the_encoder_stays_connected(
    kube: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("calm"), recording("calm", "calm"))
    with Publisher(clip, publish_url(kube, "calm")) as publisher:
        session = on_air(kube, "calm", "Primary")["startedAt"]
        has_recorded(kube, "calm")
        [ingest] = kube("get", "pods", "-l", INGEST, "-o", "name").split()
        kube("delete", ingest, "--grace-period=0", "--force")
        said = set()
        ends = time.monotonic() + 12
        while time.monotonic() < ends:
            live = condition(kube.get("livestream", "calm"), "Live")
            said.add((live["status"], live["reason"]))
            time.sleep(0.2)
        assert said <= {("True", "OnAir"), ("Unknown", "Stale")}, "nothing was lost"
        kube.wait_condition("livestream", "calm", "Live", seconds=30)
        assert publisher.running
        assert kube.status("livestream", "calm")["startedAt"] == session
        recorded = finish(kube, "calm")
    files = recorded["files"]
    assert isinstance(files, list)
    [entry] = files
    assert not entry.get("gaps")
    [file] = download(kube, "calm", tmp_path)
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert run.first == 0


@pytest.mark.own_operator
@pytest.mark.usefixtures("host_operator")
@pytest.mark.timeout(600)
def test_a_killed_gateway_costs_the_encoders_reconnect_and_nothing_else(
    kube: Kubectl, breakable_gateway: Kubectl, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("steady", resumeWindowSeconds=60), recording("steady", "steady"))
    url = publish_url(kube, "steady")
    with Publisher(clip, url) as first:
        session = on_air(kube, "steady", "Primary")["startedAt"]
        before = has_recorded(kube, "steady")
        breakable_gateway("delete", "pod", "-l", GATEWAY, "--force", "--grace-period=0")
        first.wait_refused(40)
        wait_gateway(url)
    with Publisher(clip, url, start_seconds=60):
        on_air(kube, "steady", "Primary")
        assert kube.status("livestream", "steady")["startedAt"] == session
        has_recorded(kube, "steady", before + 4)
        recorded = finish(kube, "steady")
    assert len(recorded["files"]) == 1  # type: ignore[arg-type]
    [file] = download(kube, "steady", tmp_path)
    assert decode_errors(file) == ""
    assert len(runs(file, {"A": clip})) == 2
