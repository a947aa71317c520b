"""A drain waits for a stream that is on air, and goes on when it is over."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.support.cluster import pod_names, publish_url
from tests.support.kubectl import Kubectl, KubectlError
from tests.support.objects import livestream
from tests.support.publish import Publisher

BUDGET = "match-ingest"
EVICT, DISRUPT = "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"


def keepers(pod: dict[str, Any]) -> dict[str, str]:
    found = pod["metadata"].get("annotations") or {}
    return {name: found[name] for name in (EVICT, DISRUPT) if name in found}


def evict(kube: Kubectl, pod: str) -> str:
    """What the API server says to an eviction that is only tried; empty: it may be."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": kube.namespace},
        "deleteOptions": {"dryRun": ["All"]},
    }
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    try:
        kube("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    except KubectlError as error:
        return str(error)
    return ""


def test_the_ingest_pod_of_a_stream_on_air_is_not_evicted_and_not_restarted_for_it(
    kube: Kubectl, clip: Path
) -> None:
    kube.apply(livestream("match", resumeWindowSeconds=2))
    url = publish_url(kube, "match")
    [pod] = pod_names(kube, "sluice.video/role=ingest")
    # For its first seconds a hub may still take over what a former one had on air.
    deadline = time.monotonic() + 30
    while kube.find("poddisruptionbudget", BUDGET) is not None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert kube.find("poddisruptionbudget", BUDGET) is None
    kube.wait("pod", pod, lambda o: keepers(o) == {}, why="may be evicted", seconds=30)
    with Publisher(clip, url) as publisher:
        kube.wait_condition("livestream", "match", "Live")
        kube.wait(
            "poddisruptionbudget",
            BUDGET,
            lambda o: o.get("status", {}).get("observedGeneration") == o["metadata"]["generation"],
            why="is known to the controller",
        )
        kube.wait(
            "pod",
            pod,
            lambda o: keepers(o) == {EVICT: "false", DISRUPT: "true"},
            why="is kept by autoscalers",
        )
        assert "disruption budget" in evict(kube, pod)
        assert kube.status("livestream", "match")["live"]
        publisher.stop()
    kube("wait", f"poddisruptionbudget/{BUDGET}", "--for=delete", "--timeout=60s")
    kube.wait("pod", pod, lambda o: keepers(o) == {}, why="may be evicted", seconds=30)
    assert evict(kube, pod) == ""
    assert pod_names(kube, "sluice.video/role=ingest") == [pod], "it was never replaced"
