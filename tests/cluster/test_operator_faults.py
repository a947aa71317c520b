"""The data plane needs nobody: what happens on air while the operator is not there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.audit_log import AuditLog
from tests.cluster.conftest import Cluster, publish_url
from tests.support.frames import runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording, restream, secret
from tests.support.publish import Publisher
from tests.support.recordings import download
from tests.support.target import RtmpTarget, address_towards, free_port

pytestmark = pytest.mark.alone


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
        audit = AuditLog(sluice.audit_log) if sluice.audit_log else None
        breakable_system("delete", "pod", "-l", "app.kubernetes.io/component=operator", "--force")
        breakable_system("rollout", "status", "deployment/sluice-operator", "--timeout=120s")
        time.sleep(25)
        assert pods(kube) == before
        if audit is not None:
            assert [w for w in audit.writes(kube.namespace) if w.subresource != "status"] == []
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
    audit = AuditLog(sluice.audit_log) if sluice.audit_log else None
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
    if audit is not None:
        writes = len(audit.writes(kube.namespace)) / len(names)
        print(
            f"\nAPI writes of the operator per LiveStream: {writes:.1f} (minimum: 5 children + 2)"
        )
        assert writes < 15
    kube("delete", "livestreams", "--all", "--wait=false")
