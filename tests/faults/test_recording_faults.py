"""A recording survives every single fault with every frame, on real pods and a real S3 server."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster, publish_url
from tests.faults.conftest import FaultyS3
from tests.support.frames import Run, decode_errors, probe, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.recordings import download

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1_800)]

RECORDER = "sluice.video/role=record"
STORE = "sluice.video/role=store"

KILL_WORKER = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) not in (1, os.getpid()):
        try:
            words = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if "record.worker" in words:
            os.kill(int(pid), signal.SIGKILL)
"""


def begin(kube: Kubectl, s3: FaultyS3, name: str, **spec: object) -> str:
    """A stream and a Recording of it into the bucket; where to publish."""
    kube.apply(*s3.objects())
    kube.wait_condition("mediastore", "bucket", "Ready", seconds=120)
    kube.apply(livestream(name), recording(name, name, storeRef={"name": "bucket"}, **spec))
    url = publish_url(kube, name)
    kube.wait_condition("recording", name, "Ready", seconds=120)
    return url


def recorder_pod(kube: Kubectl) -> str:
    """The recorder that runs now."""
    for pod in kube.list("pods", "-l", RECORDER):
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running":
            return str(pod["metadata"]["name"])
    return ""


def until(check: Callable[[], object], seconds: float, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{why}: not within {seconds:.0f} s"
        time.sleep(0.5)


def finish(kube: Kubectl, name: str, folder: Path, seconds: float = 180) -> list[Path]:
    kube.patch("recording", name, {"spec": {"desiredState": "Stopped"}})
    kube.wait_condition("recording", name, "Succeeded", seconds=seconds)
    return download(kube, name, folder)


def one_run(files: list[Path], clip: Path) -> Run:
    [file] = files
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    return run


def test_killed_deleted_and_drained_the_recorder_continues_the_same_file(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    url = begin(kube, s3, "service")
    with Publisher(clip, url):
        kube.wait("recording", "service", lambda o: o["status"].get("recording"), why="records")
        time.sleep(9)
        kube("exec", recorder_pod(kube), "--", "python", "-c", KILL_WORKER)
        time.sleep(9)
        first = recorder_pod(kube)
        kube("delete", "pod", first, "--grace-period=0", "--force")
        until(lambda: recorder_pod(kube) not in ("", first), 60, "another recorder")
        time.sleep(9)
        nodes = [node["metadata"]["name"] for node in sluice.kubectl.list("nodes")]
        if len(nodes) > 1:
            second = recorder_pod(kube)
            node = kube.get("pod", second)["spec"]["nodeName"]
            ingest = kube.list("pods", "-l", "sluice.video/role=ingest")[0]["spec"]["nodeName"]
            sluice.kubectl("cordon", node)
            try:
                # A drain evicts with the pod's own grace; the hub's node, if it is the same one,
                # is another test's.
                kube("delete", "pod", second, "--wait=false")
                until(lambda: recorder_pod(kube) not in ("", second), 90, "a recorder elsewhere")
                assert kube.get("pod", recorder_pod(kube))["spec"]["nodeName"] != node
                time.sleep(9)
            finally:
                sluice.kubectl("uncordon", node)
            assert ingest
        files = finish(kube, "service", tmp_path)
    run = one_run(files, clip)
    assert run.first == 0
    [entry] = kube.status("recording", "service")["files"]
    assert not entry.get("gaps")


def test_a_node_that_is_lost_with_the_recorder_costs_no_frame_also_when_it_comes_back(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    nodes = [node["metadata"]["name"] for node in sluice.kubectl.list("nodes")]
    if len(nodes) < 2:
        pytest.skip("needs two nodes: make cluster NODES=2")
    stays, goes = nodes[:2]
    with ExitStack() as stack:
        for node in (stays, goes):
            stack.callback(sluice.kubectl, "uncordon", node)
        sluice.kubectl("cordon", goes)
        for pod in sluice.system.list("pods"):
            if pod["spec"].get("nodeName") == goes:
                sluice.system("delete", "pod", pod["metadata"]["name"], "--wait=false")
        for deployment in ("sluice-operator", "sluice-gateway"):
            sluice.system("rollout", "status", f"deployment/{deployment}", "--timeout=120s")
        kube.apply(*s3.objects())
        kube.wait_condition("mediastore", "bucket", "Ready", seconds=120)
        kube.apply(livestream("final"))
        url = publish_url(kube, "final")
        sluice.kubectl("cordon", stays)
        sluice.kubectl("uncordon", goes)
        kube.apply(recording("final", "final", storeRef={"name": "bucket"}))
        kube.wait_condition("recording", "final", "Ready", seconds=120)
        first = recorder_pod(kube)
        assert kube.get("pod", first)["spec"]["nodeName"] == goes
        sluice.kubectl("uncordon", stays)
        stack.enter_context(Publisher(clip, url))
        kube.wait("recording", "final", lambda o: o["status"].get("recording"), why="records")
        time.sleep(15)
        stack.callback(node_command, "start", goes)
        node_command("stop", goes, "--mode", "power")
        until(lambda: recorder_pod(kube) not in ("", first), 180, "a recorder on the other node")
        kube.wait("recording", "final", lambda o: o["status"].get("recording"), why="goes on")
        time.sleep(6)
        node_command("start", goes)
        time.sleep(15)
        files = finish(kube, "final", tmp_path)
    assert one_run(files, clip).first == 0


def node_command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.kube", "node", *arguments], check=True)


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
    url = begin(kube, s3, "match")
    with Publisher(clip, url):
        kube.wait("recording", "match", lambda o: o["status"].get("recording"), why="records")
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
        kube.wait(
            "recording",
            "match",
            lambda o: condition(o, "StorageReachable").get("status") != "False",
            why="the store is there again",
            seconds=60,
        )
        files = finish(kube, "match", tmp_path)
    assert one_run(files, clip).first == 0


def test_a_store_pod_that_is_gone_while_it_finalises_begins_again(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    url = begin(kube, s3, "news")
    with Publisher(clip, url):
        kube.wait("recording", "news", lambda o: o["status"].get("recording"), why="records")
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


@pytest.mark.parametrize("loss_seconds", [1, 5, 9, 11, 60])
def test_losses_are_gaps_of_one_file_or_begin_the_next(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path, loss_seconds: int
) -> None:
    url = begin(kube, s3, "road")
    with Publisher(clip, url) as first:
        kube.wait("recording", "road", lambda o: o["status"].get("recording"), why="records")
        time.sleep(8)
        first.kill()
    time.sleep(loss_seconds)
    with Publisher(clip, url, start_seconds=60):
        kube.wait_condition("livestream", "road", "Live")
        time.sleep(8)
        files = finish(kube, "road", tmp_path)
    found = [run for file in files for run in runs(file, {"A": clip})]
    assert [decode_errors(file) for file in files] == [""] * len(files)
    assert len(files) == (1 if loss_seconds < 10 else 2)
    assert len(found) == 2
    assert found[0].first == 0


def test_a_publisher_that_flaps_for_three_minutes_is_one_file_of_whole_pieces(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    url = begin(kube, s3, "flap")
    pieces = 0
    began = time.monotonic()
    while time.monotonic() < began + 180:
        with Publisher(clip, url, start_seconds=pieces * 2 % 170):
            time.sleep(2)
        pieces += 1
    [file] = finish(kube, "flap", tmp_path)
    assert decode_errors(file) == ""
    found = runs(file, {"A": clip})
    assert all(run.source == "A" for run in found)
    [entry] = kube.status("recording", "flap")["files"]
    assert len(entry["gaps"]) >= len(found) // 2


def test_splits_concatenate_to_exactly_what_was_sent(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    url = begin(kube, s3, "cut", splitSeconds=20)
    with Publisher(clip, url):
        kube.wait("recording", "cut", lambda o: o["status"].get("recording"), why="records")
        time.sleep(130)
        files = finish(kube, "cut", tmp_path)
    assert len(files) >= 6
    assert [decode_errors(file) for file in files] == [""] * len(files)
    pieces = [runs(file, {"A": clip}) for file in files]
    assert all(len(piece) == 1 for piece in pieces)
    last = -1
    for [run] in pieces:
        assert run.first == last + 1
        last = run.last


def test_the_duration_in_status_goes_with_the_media_and_its_observed_at(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = begin(kube, s3, "clock")
    source = random.Random(1)
    worst = 0.0
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(clip, url))
        kube.wait("recording", "clock", lambda o: o["status"].get("recording"), why="records")
        first: tuple[float, datetime] | None = None
        ends = time.monotonic() + 150
        while time.monotonic() < ends:
            time.sleep(1)
            if source.random() < 0.04:
                publisher.kill()
                time.sleep(source.uniform(1, 6))
                publisher = stack.enter_context(Publisher(clip, url, start_seconds=20))
                kube.wait_condition("livestream", "clock", "Live")
                time.sleep(12)  # until a duration was observed that has begun to grow again
                first = None
            status = kube.status("recording", "clock")
            now = status["recordingDuration"], datetime.fromisoformat(status["observedAt"])
            assert (datetime.now(UTC) - now[1]).total_seconds() < 13
            first = first or now
            grown, passed = now[0] - first[0], (now[1] - first[1]).total_seconds()
            worst = max(worst, abs(grown - passed))
        [file] = finish(kube, "clock", tmp_path)
    [entry] = kube.status("recording", "clock")["files"]
    assert abs(float(probe(file)["format"]["duration"]) - entry["durationSeconds"]) < 2.1
    with capsys.disabled():
        print(f"\nrecordingDuration was off by {worst:.2f} s at most")
    assert worst < 2.5
