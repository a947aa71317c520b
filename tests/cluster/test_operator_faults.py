"""The data plane needs nobody: what happens on air while the operator is not there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Cluster, publish_url
from tests.support.frames import runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording, restream, secret
from tests.support.publish import Publisher
from tests.support.recordings import download
from tests.support.target import RtmpTarget, address_towards, free_port

pytestmark = pytest.mark.alone

OPERATOR = "system:serviceaccount:sluice-system:sluice-operator"
WRITES = {"create", "update", "patch", "delete"}


def operator_writes(sluice: Cluster, since: float, namespace: str) -> list[dict[str, Any]]:
    """The operator's successful writes in that namespace, out of the audit log."""
    assert sluice.audit_log is not None
    found = []
    for line in sluice.audit_log.read_text().splitlines():
        entry = json.loads(line)
        where = entry.get("objectRef", {})
        if entry["user"]["username"] != OPERATOR or entry["verb"] not in WRITES:
            continue
        if where.get("namespace") != namespace or entry["stage"] != "ResponseComplete":
            continue
        if entry["requestReceivedTimestamp"] >= time.strftime(
            "%Y-%m-%dT%H:%M:%S", time.gmtime(since)
        ):
            found.append(entry)
    return found


def pods(kube: Kubectl) -> dict[str, int]:
    return {
        p["metadata"]["uid"]: sum(c["restartCount"] for c in p["status"]["containerStatuses"])
        for p in kube.list("pods")
    }


def test_a_killed_operator_is_no_event_for_anything_on_air(
    kube: Kubectl,
    sluice: Cluster,
    breakable_system: Kubectl,
    clip: Path,
    tmp_path: Path,
) -> None:
    host = address_towards(sluice.node_ip)
    kube.apply(livestream("calm"), secret("target-key", key="key"), recording("calm", "calm"))
    with (
        RtmpTarget(host, free_port(host), tmp_path / "calm.flv") as target,
        Publisher(clip, publish_url(kube, "calm")),
    ):
        kube.apply(
            restream(
                "calm",
                "calm",
                uri=target.url,
                streamKeySecretRef={"name": "target-key", "key": "key"},
            )
        )
        kube.wait("restream", "calm", lambda o: o["status"].get("live"), why="pushes")
        kube.wait("recording", "calm", lambda o: o["status"].get("recording"), why="records")
        time.sleep(12)
        before = pods(kube)
        killed_at = time.time()
        breakable_system("delete", "pod", "-l", "app.kubernetes.io/component=operator", "--force")
        breakable_system("rollout", "status", "deployment/sluice-operator", "--timeout=120s")
        time.sleep(25)
        assert pods(kube) == before
        if sluice.audit_log is not None:
            undue = [
                (e["verb"], e["objectRef"]["resource"], e["objectRef"].get("subresource"))
                for e in operator_writes(sluice, killed_at, kube.namespace)
                if e["objectRef"].get("subresource") != "status"
            ]
            assert undue == []
        kube.patch("recording", "calm", {"spec": {"desiredState": "Stopped"}})
        kube.wait_condition("recording", "calm", "Succeeded", seconds=90)
    [file] = download(kube, "calm", tmp_path)
    [run] = runs(file, {"A": clip})
    assert run.first == 0


@pytest.mark.timeout(900)
def test_a_hundred_streams_applied_at_once_are_all_ready(
    kube: Kubectl, sluice: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"requests": {"cpu": "1m", "memory": "8Mi"}}
    names = [f"mass-{number:03d}" for number in range(100)]
    started = time.time()
    kube.apply(*[livestream(name, workload={"resources": small}) for name in names])
    deadline = time.monotonic() + 540
    while time.monotonic() < deadline:
        streams = kube.list("livestreams")
        ready = sum(
            any(c["type"] == "Ready" and c["status"] == "True" for c in s["status"]["conditions"])
            for s in streams
            if s.get("status", {}).get("conditions")
        )
        if ready == len(names):
            break
        time.sleep(3)
    assert ready == len(names)
    if sluice.audit_log is not None:
        writes = len(operator_writes(sluice, started, kube.namespace)) / len(names)
        print(
            f"\nAPI writes of the operator per LiveStream: {writes:.1f} (minimum: 5 children + 2)"
        )
        assert writes < 15
    kube("delete", "livestreams", "--all", "--wait=false")
