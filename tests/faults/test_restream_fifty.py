"""One stream to fifty targets, on real pods."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, publish_url
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, restream, secret, secret_key
from tests.support.pod_process import process_of
from tests.support.publish import Publisher
from tests.support.push_peers import nginx_rtmp
from tests.support.target import address_towards

pytestmark = pytest.mark.timeout(900)

COUNT = 50


@pytest.fixture
def target(sluice: Cluster, tmp_path: Path) -> Iterator[str]:
    """An nginx-rtmp that takes every key; its application's URI."""
    with nginx_rtmp(tmp_path / "nginx", address_towards(sluice.node_ip)) as made:
        yield made.uri()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def test_fifty_restreams_of_one_stream_are_live_and_leave_nothing(
    kube: Kubectl, target: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kube.apply(
        livestream("source", workload={"resources": {"requests": {"cpu": "1m", "memory": "8Mi"}}})
    )
    with Publisher(clip, publish_url(kube, "source"), loop=True):
        kube.wait_condition("livestream", "source", "Live")
        keys = {f"key{number}": f"stream-{number}" for number in range(COUNT)}
        kube.apply(secret("keys", **keys))
        began = time.monotonic()
        kube.apply(
            *(
                restream(
                    f"to-{number}",
                    "source",
                    uri=target,
                    streamKeySecretRef=secret_key("keys", f"key{number}"),
                )
                for number in range(COUNT)
            )
        )
        kube.wait(
            "livestream",
            "source",
            lambda o: o["status"].get("restreams") == {"total": COUNT, "live": COUNT},
            why="all are live",
            seconds=600,
        )
        took = time.monotonic() - began
        [ingest] = kube.list("pods", "-l", "sluice.video/role=ingest")
        pid = process_of(ingest["metadata"]["uid"])
        before, began = cpu_seconds(pid), time.monotonic()
        time.sleep(20)
        percent = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)
        with capsys.disabled():
            print(
                f"\n{COUNT} Restreams live after {took:.0f} s; hub {percent:.1f} % of a core, "
                f"{rss_mib(pid):.0f} MiB"
            )
        kube("delete", "restreams", "--all", "--wait=true")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            left = [
                o["metadata"]["name"]
                for o in kube.list("pods,deployments,configmaps,secrets")
                if o["metadata"]["name"].startswith("to-")
            ]
            if not left:
                break
            time.sleep(1)
        assert not left
        assert kube.status("livestream", "source")["restreams"] == {"total": 0, "live": 0}
