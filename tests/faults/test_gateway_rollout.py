"""The gateway and WHIP are replaced under publishers over UDP, on two nodes: nobody is cut."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.faults.pods import until
from tests.support.chart_release import Release, release
from tests.support.cluster import Cluster, publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, recording
from tests.support.publish import Publisher
from tests.support.recordings import download
from tests.support.whip_rig import running_browser

__all__ = ["release"]

pytestmark = pytest.mark.timeout(900)

LONG_ENOUGH_SECONDS = 30
"""kube-proxy tidies conntrack within seconds; a publisher that is cut is gone after five."""


def other_node(sluice: Cluster) -> str:
    """A node that publishers do not dial, so that their packets are passed on by kube-proxy."""
    nodes = sluice.kubectl.list("nodes")
    if len(nodes) < 2:
        pytest.skip("needs two nodes: make cluster NODES=2")
    for node in nodes:
        addresses = [address["address"] for address in node["status"]["addresses"]]
        if sluice.node_ip not in addresses:
            return str(node["metadata"]["name"])
    raise AssertionError("every node has the address that publishers dial")


def release_values(sluice: Cluster, node: str) -> dict[str, Any]:
    """A gateway and a WHIP of the test's own, on ``node``."""
    pod = sluice.system.get("deployment", "sluice-gateway")["spec"]["template"]["spec"]
    repository, _, tag = pod["containers"][0]["image"].rpartition(":")
    place = {"nodeSelector": {"kubernetes.io/hostname": node}}
    return {
        "media": {"image": {"repository": repository, "tag": tag}},
        "gateway": {"publicHost": sluice.node_ip, "service": {"type": "NodePort"}} | place,
        "whip": {"service": {"nodePorts": {"media": 31987}}} | place,
    }


def node_port(kube: Kubectl, service: str, name: str) -> int:
    ports = kube.get("service", service)["spec"]["ports"]
    return next(int(port["nodePort"]) for port in ports if port["name"] == name)


def replace_pods(release: Release, values: dict[str, Any], component: str) -> str:
    """Rolls a deployment out. Returns the name of the pod that stays for its publishers."""
    [old] = release.pods(component)
    values[component]["podAnnotations"] = {"example.org/changed": "yes"}
    release.upgrade(values)
    deployment = f"deployment/{release.name}-{component}"
    release.kubectl("rollout", "status", deployment, "--timeout=120s")
    assert len(release.pods(component)) == 2, "the old one stays for its publisher"
    return old


async def test_srt_and_whip_publishers_stay_while_their_pods_are_replaced(
    sluice: Cluster, kube: Kubectl, release: Release, clip: Path, tmp_path: Path
) -> None:
    values = release_values(sluice, other_node(sluice))
    release.upgrade(values)
    for component in ("gateway", "whip"):
        deployment = f"deployment/{release.name}-{component}"
        release.kubectl("rollout", "status", deployment, "--timeout=120s")
    kube.apply(livestream("match"), recording("match", "match"), livestream("web"))
    srt_port = node_port(release.kubectl, f"{release.name}-gateway-srt", "srt")
    dialled = f"//{sluice.node_ip}:{srt_port}"
    url = re.sub("//[^/?]+", dialled, publish_url(kube, "match", "srtUrl"), count=1)
    origin = f"http://{sluice.node_ip}:{node_port(release.kubectl, f'{release.name}-whip', 'http')}"
    async with running_browser(origin) as browser:
        await browser.open(f"{origin}/live/{kube.namespace}/web")
        await browser.go_live(publish_url(kube, "web", "whipToken"))
        with Publisher(clip, url) as publisher:
            for name in ("match", "web"):
                await asyncio.to_thread(kube.wait_condition, "livestream", name, "Live")
            old = [replace_pods(release, values, part) for part in ("gateway", "whip")]
            await asyncio.sleep(LONG_ENOUGH_SECONDS)
            assert publisher.running, publisher.output()
            for name in ("match", "web"):
                status = kube.status("livestream", name)
                assert status["live"], name
                assert len(status["sessions"]) == 1, name
            await browser.shows("Live")
            kube.patch("recording", "match", {"spec": {"desiredState": "Stopped"}})
            await asyncio.to_thread(
                kube.wait_condition, "recording", "match", "Succeeded", seconds=120
            )
            publisher.stop()
    for pod in old:
        until(lambda pod=pod: release.kubectl.find("pod", pod) is None, 120, "the old pod goes")  # type: ignore[misc]
    [file] = download(kube, "match", tmp_path)
    assert decode_errors(file) == ""
    assert len(runs(file, {"A": clip})) == 1
