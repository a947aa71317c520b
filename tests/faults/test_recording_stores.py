"""The bucket fails in every way while a stream is recorded: it costs time, and no frame."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.conftest import FaultyS3
from tests.faults.pods import STORE
from tests.faults.recordings import finish, on_record, one_run
from tests.support.kubectl import Kubectl, condition

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Down", "Unreachable"),
        ("AccessDenied", "AccessDenied"),
        ("NoSuchBucket", "NoSuchBucket"),
        ("SlowDown", "SlowDown"),
        ("InternalError", ""),
        ("Reset", ""),
        ("CorruptPut", ""),
    ],
)
def test_a_store_that_fails_for_a_while_costs_only_time(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path, kind: str, reason: str
) -> None:
    with on_record(kube, s3, "match", clip):
        time.sleep(7)
        with s3.fault(kind):
            failing = kube.wait(
                "recording",
                "match",
                lambda o: condition(o, "StorageReachable").get("status") == "False",
                why="says that the store takes nothing",
                seconds=40,
            )
            if reason:
                assert condition(failing, "StorageReachable")["reason"] == reason
            time.sleep(20)
            assert kube.status("recording", "match")["recording"] is True
        reachable(kube, "match")
        files = finish(kube, "match", tmp_path)
    assert one_run(files, clip).first == 0


def test_a_store_that_is_gone_for_five_minutes_costs_only_time(
    kube: Kubectl, s3: FaultyS3, long_clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "league", long_clip):
        time.sleep(7)
        with s3.fault("Down"):
            ends = time.monotonic() + 300
            while time.monotonic() < ends:
                time.sleep(5)
                assert kube.status("recording", "league")["recording"] is True
            found = kube.get("recording", "league")
            assert condition(found, "StorageReachable")["reason"] == "Unreachable"
            assert "wait on the recorder's disk" in condition(found, "StorageReachable")["message"]
        reachable(kube, "league")
        files = finish(kube, "league", tmp_path)
    assert one_run(files, long_clip).first == 0


def test_a_store_that_is_slower_than_the_stream_catches_up_after(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "slow", clip):
        time.sleep(7)
        with s3.fault("Throttle", methods=["PUT"], bytes_per_second=8_000):  # 64 kbit/s
            time.sleep(60)
            assert kube.status("recording", "slow")["recording"] is True
        reachable(kube, "slow")
        files = finish(kube, "slow", tmp_path)
    assert one_run(files, clip).first == 0


def reachable(kube: Kubectl, name: str) -> None:
    kube.wait(
        "recording",
        name,
        lambda o: condition(o, "StorageReachable").get("status") != "False",
        why="the store is there again",
        seconds=60,
    )


def test_a_store_pod_that_is_gone_while_it_finalises_begins_again(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "news", clip):
        time.sleep(15)
        with s3.fault("Throttle", methods=["GET"]):
            kube.patch("recording", "news", {"spec": {"desiredState": "Stopped"}})
            kube.wait(
                "recording",
                "news",
                lambda o: o["status"].get("phase") == "Finalizing",
                why="finalises",
            )
            for _ in range(3):
                time.sleep(3)
                kube("delete", "pod", "-l", STORE, "--grace-period=0", "--force")
                time.sleep(3)
    assert one_run(finish(kube, "news", tmp_path, 300), clip).first == 0
