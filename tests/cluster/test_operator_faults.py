"""The data plane needs nobody: what happens on air while the operator is not there."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.cluster.operator_process import HostOperator
from tests.cluster.recordings import has_recorded
from tests.cluster.waiting import eventually
from tests.support.audit_log import AuditLog
from tests.support.cluster import Cluster, publish_url
from tests.support.frames import runs
from tests.support.kubectl import Kubectl
from tests.support.many_streams import WRITES_LIMIT, apply_many
from tests.support.objects import livestream, recording, restream, secret
from tests.support.publish import Publisher
from tests.support.recordings import download
from tests.support.target import RtmpTarget, address_towards, free_port


def pods(kube: Kubectl) -> dict[str, int]:
    return {
        p["metadata"]["uid"]: sum(c["restartCount"] for c in p["status"]["containerStatuses"])
        for p in kube.list("pods")
    }


@pytest.mark.own_operator
@pytest.mark.usefixtures("steady_gateway")
@pytest.mark.long
def test_a_killed_operator_is_no_event_for_anything_on_air(
    kube: Kubectl,
    sluice: Cluster,
    host_operator: HostOperator,
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
        has_recorded(kube, "calm")
        before = pods(kube)
        host_operator.stop(signal.SIGKILL)
        audit = AuditLog(sluice.audit_log) if sluice.audit_log else None
        host_operator.start()
        eventually(host_operator.is_leading, "the next operator leads", 60)
        time.sleep(18)  # beyond the grace for samples and the first resync
        assert pods(kube) == before
        if audit is not None:
            assert [w for w in audit.writes(kube.namespace) if w.subresource != "status"] == []
        kube.patch("recording", "calm", {"spec": {"desiredState": "Stopped"}})
        kube.wait_condition("recording", "calm", "Succeeded", seconds=90)
    [file] = download(kube, "calm", tmp_path)
    [run] = runs(file, {"A": clip})
    assert run.first == 0


def test_ten_streams_applied_at_once_are_all_ready(kube: Kubectl, sluice: Cluster) -> None:
    """A hundred of them are for `make bench`."""
    found = apply_many(kube, 10, sluice.audit_log, seconds=240)
    if found.writes_each is not None:
        print(f"API writes of the operator for each LiveStream: {found.writes_each:.1f}")
        assert found.writes_each < WRITES_LIMIT
