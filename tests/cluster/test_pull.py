"""Streams that fetch their media themselves, on real pods."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.recordings import has_recorded
from tests.support.cluster import Cluster
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import pulled, recording, secret
from tests.support.publish import HttpSource
from tests.support.recordings import download
from tests.support.target import address_towards, free_port


@pytest.mark.long
def test_pulled_uris_take_turns_until_one_delivers(
    kube: Kubectl, sluice: Cluster, clip: Path, tmp_path: Path
) -> None:
    host = address_towards(sluice.node_ip)
    dead, good = free_port(host), free_port(host)
    canary = "pullcanary9c41"
    kube.apply(
        secret("camera", uri=f"http://{host}:{good}/{canary}.ts"),
        pulled(
            "camera",
            f"http://{host}:{dead}/none.ts",
            ("camera", "uri"),
            pull={"stallSeconds": 2},
        ),
        recording("camera", "camera"),
    )
    kube.wait_condition("livestream", "camera", "Ready", seconds=120)
    with HttpSource(clip, f"http://{host}:{good}/{canary}.ts"):
        live = kube.wait_condition("livestream", "camera", "Live", seconds=60)["status"]
        assert live["activeSource"] == "Pull"
        assert live["live"] is True
        assert live["pull"]["uriIndex"] == 1
        has_recorded(kube, "camera")
        kube.patch("recording", "camera", {"spec": {"desiredState": "Stopped"}})
        kube.wait_condition("recording", "camera", "Succeeded", seconds=90)
        assert canary not in kube("get", "livestreams,pods,events,configmaps", "-o", "json")
        assert canary not in everything_said(kube)
    [file] = download(kube, "camera", tmp_path)
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert len(run) > 75


@pytest.mark.long
def test_a_pull_that_was_given_up_stays_so_in_the_next_pod_until_a_restart_is_asked_for(
    kube: Kubectl, sluice: Cluster, clip: Path
) -> None:
    host = address_towards(sluice.node_ip)
    url = f"http://{host}:{free_port(host)}/late.ts"
    kube.apply(pulled("late", url, pull={"inactivitySeconds": 10, "retrySeconds": 1}))
    gave_up = wait_given_up(kube, "late")["status"]["pull"]["givenUp"]
    [before] = ingest_pods(kube)
    kube("delete", "pod", before, "--wait=false")
    with HttpSource(clip, url):
        kube("wait", "--for=delete", f"pod/{before}", "--timeout=60s")
        kube("rollout", "status", "deployment/late-ingest", "--timeout=120s")
        # What the pod before said would be Unknown/Stale by then.
        time.sleep(15)
        stream = wait_given_up(kube, "late")
        assert ingest_pods(kube) != [before]
        assert stream["status"]["pull"]["givenUp"] == gave_up
        assert "startedAt" not in stream["status"]
        kube("annotate", "livestream", "late", "sluice.video/restart=1")
        live = kube.wait_condition("livestream", "late", "Live", seconds=60)
        assert "givenUp" not in live["status"]["pull"]


def wait_given_up(kube: Kubectl, name: str) -> dict[str, Any]:
    return kube.wait(
        "livestream",
        name,
        lambda o: condition(o, "Live").get("reason") == "InactivityTimeout",
        why="gives up",
        seconds=120,
    )


def ingest_pods(kube: Kubectl) -> list[str]:
    return [p["metadata"]["name"] for p in kube.list("pods", "-l", "sluice.video/role=ingest")]


def everything_said(kube: Kubectl) -> str:
    """Logs, command lines and environments of all pods of the namespace."""
    words = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    return "".join(
        kube("logs", pod["metadata"]["name"], check=False)
        + kube("exec", pod["metadata"]["name"], "--", "sh", "-c", words, check=False)
        for pod in kube.list("pods")
    )
