"""The recorder and what it reads from die in every way, on real pods: no frame is missing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import FaultyS3
from tests.faults.pods import INGEST, RECORDER, running_pod, until
from tests.faults.recordings import finish, on_record, one_run, recording_began
from tests.support.cluster import Cluster, publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, pulled, recording
from tests.support.publish import Publisher, live_http_source
from tests.support.target import address_towards, free_port

pytestmark = pytest.mark.timeout(1_800)

FRAMES_PER_SECOND = 25

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


def test_killed_and_deleted_the_recorder_continues_the_same_file(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "service", clip):
        time.sleep(9)
        kube("exec", running_pod(kube, RECORDER), "--", "python", "-c", KILL_WORKER)
        time.sleep(9)
        first = running_pod(kube, RECORDER)
        kube("delete", "pod", first, "--grace-period=0", "--force")
        until(lambda: running_pod(kube, RECORDER) not in ("", first), 60, "another recorder")
        time.sleep(9)
        files = finish(kube, "service", tmp_path)
    assert one_run(files, clip).first == 0
    [entry] = kube.status("recording", "service")["files"]
    assert not entry.get("gaps")


@contextmanager
def recorder_by_itself(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, name: str
) -> Iterator[tuple[str, str]]:
    """Where to publish, and a node that has the recorder, but neither the hub nor Sluice's own
    pods. Afterwards all nodes take pods again."""
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
        kube.apply(livestream(name))
        url = publish_url(kube, name)
        sluice.kubectl("cordon", stays)
        sluice.kubectl("uncordon", goes)
        kube.apply(recording(name, name, storeRef={"name": "bucket"}))
        kube.wait_condition("recording", name, "Ready", seconds=120)
        assert kube.get("pod", running_pod(kube, RECORDER))["spec"]["nodeName"] == goes
        sluice.kubectl("uncordon", stays)
        yield url, goes


def test_the_recorder_of_a_drained_node_continues_the_same_file(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with recorder_by_itself(kube, sluice, s3, "mass") as (url, node), Publisher(clip, url):
        recording_began(kube, "mass")
        time.sleep(12)
        first = running_pod(kube, RECORDER)
        # Evicted through the API, as any drain does it; other pods of the node are other tests'.
        sluice.kubectl(
            *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"),
            *(f"--pod-selector={RECORDER}", "--timeout=120s"),
        )
        until(lambda: running_pod(kube, RECORDER) not in ("", first), 90, "a recorder elsewhere")
        assert kube.get("pod", running_pod(kube, RECORDER))["spec"]["nodeName"] != node
        time.sleep(12)
        files = finish(kube, "mass", tmp_path)
    assert one_run(files, clip).first == 0
    [entry] = kube.status("recording", "mass")["files"]
    assert not entry.get("gaps")


def test_a_node_that_is_lost_with_the_recorder_costs_no_frame_also_when_it_comes_back(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url, node = stack.enter_context(recorder_by_itself(kube, sluice, s3, "final"))
        stack.enter_context(Publisher(clip, url))
        recording_began(kube, "final")
        time.sleep(15)
        first = running_pod(kube, RECORDER)
        stack.callback(node_command, "start", node)
        node_command("stop", node, "--mode", "power")
        until(
            lambda: running_pod(kube, RECORDER) not in ("", first),
            180,
            "a recorder on the other node",
        )
        kube.wait("recording", "final", lambda o: o["status"].get("recording"), why="goes on")
        time.sleep(6)
        node_command("start", node)
        time.sleep(15)
        files = finish(kube, "final", tmp_path)
    assert one_run(files, clip).first == 0


def node_command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.kube", "node", *arguments], check=True)


def test_the_hub_of_a_pushed_stream_dies_and_no_frame_is_missing(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "calm", clip) as publisher:
        time.sleep(9)
        kill_hub(kube)
        kube.wait_condition("livestream", "calm", "Live")
        time.sleep(9)
        assert publisher.running
        files = finish(kube, "calm", tmp_path)
    assert one_run(files, clip).first == 0


def test_the_hub_of_a_pulled_stream_dies_and_the_hole_is_in_gaps(
    kube: Kubectl, sluice: Cluster, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    host = address_towards(sluice.node_ip)
    with live_http_source(clip, host, free_port(host)) as camera:
        kube.apply(*s3.objects())
        kube.wait_condition("mediastore", "bucket", "Ready", seconds=120)
        stream = pulled("camera", camera, resumeWindowSeconds=60)
        kube.apply(stream, recording("camera", "camera", storeRef={"name": "bucket"}))
        recording_began(kube, "camera")
        time.sleep(9)
        kill_hub(kube)
        kube.wait_condition("livestream", "camera", "Live")
        time.sleep(9)
        [file] = finish(kube, "camera", tmp_path)
    assert decode_errors(file) == ""
    before, after = runs(file, {"A": clip})
    assert before.source == after.source == "A"
    [entry] = kube.status("recording", "camera")["files"]
    [gap] = entry["gaps"]
    missing_seconds = (after.first - before.last - 1) / FRAMES_PER_SECOND
    assert missing_seconds > 0
    # What the first pod had fetched and not yet handed on is gone with it, and counts as missing.
    assert missing_seconds - 5 < gap["wallSeconds"] < missing_seconds + 3
    assert abs(gap["atSeconds"] - len(before) / FRAMES_PER_SECOND) < 3


def kill_hub(kube: Kubectl) -> None:
    first = running_pod(kube, INGEST)
    kube("delete", "pod", first, "--grace-period=0", "--force")
    until(lambda: running_pod(kube, INGEST) not in ("", first), 60, "another hub")
