"""One target, one Restream; and a pusher that is restarted, killed or deleted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.restreams import into, make_sink, wait_state
from tests.support.cluster import pod_names, publish_url
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, restream, secret, secret_key
from tests.support.publish import Publisher

PUSHERS = "sluice.video/role=push"


def wait_duplicate(kube: Kubectl, name: str, of: str, seconds: float = 60) -> None:
    found = kube.wait(
        "restream",
        name,
        lambda o: condition(o, "Stalled").get("reason") == "DuplicateTarget",
        why="is refused as a duplicate",
        seconds=seconds,
    )
    assert f"Restream {of} pushes to the same target" in condition(found, "Stalled")["message"]
    assert condition(found, "Live")["reason"] == "DuplicateTarget"
    assert found["status"]["state"] == "Idle"


@pytest.mark.long
def test_of_two_with_the_same_target_only_the_older_one_ever_dials(
    kube: Kubectl, clip: Path
) -> None:
    make_sink(kube, "sink")
    # The same server and key, once in two Secrets' keys and once in one string.
    kube.apply(livestream("show"), restream("older", "show", **into("sink", "rtmp")))
    kube.wait_condition("restream", "older", "Ready", seconds=120)
    time.sleep(1.1)  # creation times are whole seconds
    kube.apply(restream("younger", "show", **into("sink", "rtmpUrl")))
    wait_duplicate(kube, "younger", "older", 120)
    with Publisher(clip, publish_url(kube, "show"), loop=True):
        wait_state(kube, "older", "Live")
        session = kube.wait_condition("livestream", "sink", "Live")["status"]["startedAt"]
        time.sleep(3)
        assert not kube.status("restream", "younger").get("attempts")
        kube.wait(
            "livestream",
            "show",
            lambda o: o["status"].get("restreams") == {"total": 2, "live": 1},
            why="counts one of two",
        )

        kube.patch("restream", "older", {"spec": {"active": False}})
        wait_state(kube, "younger", "Live")
        assert condition(kube.get("restream", "younger"), "Stalled") == {}

        kube.patch("restream", "older", {"spec": {"active": True}})
        wait_state(kube, "older", "Live", 90)
        wait_duplicate(kube, "younger", "older")

        kube.delete("restream", "older")
        wait_state(kube, "younger", "Live", 90)
        sink = kube.status("livestream", "sink")
        assert sink["startedAt"] == session, "each takeover within the resume window"
        assert "lastRejection" not in sink, "a second publisher would have been refused as Busy"


@pytest.mark.long
def test_another_key_is_another_target_and_deleted_restreams_leave_nothing(
    kube: Kubectl, clip: Path
) -> None:
    make_sink(kube, "one")
    make_sink(kube, "two")
    kube.apply(livestream("show"), secret("where", uri="rtmp://192.0.2.1/none"))
    spec = into("one") | {"uriSecretRef": secret_key("where", "uri")}
    del spec["streamKeySecretRef"]
    point_at(kube, "one")
    kube.apply(restream("first", "show", **into("one")))
    time.sleep(1.1)
    kube.apply(restream("second", "show", **spec))
    wait_duplicate(kube, "second", "first", 120)
    point_at(kube, "two")
    kube("annotate", "restream", "second", "sluice.video/restart=1", "--overwrite")
    with Publisher(clip, publish_url(kube, "show"), loop=True):
        for name in ("first", "second"):
            wait_state(kube, name, "Live", 120)
        for name in ("one", "two"):
            kube.wait_condition("livestream", name, "Live")

        # The key is changed under a push that is up, which goes on until it is told to restart.
        make_sink(kube, "three")
        before = kube.status("restream", "second")["attempts"]
        point_at(kube, "three")
        kube("annotate", "restream", "second", "sluice.video/restart=2", "--overwrite")
        kube.wait_condition("livestream", "three", "Live", seconds=120)
        kube.wait(
            "restream",
            "second",
            lambda o: o["status"].get("live") and o["status"]["attempts"] > before,
            why="has dialled again",
        )
        assert kube.status("restream", "first")["reconnects"] == 0, "its neighbour saw nothing"

        kube("delete", "restream", "first", "second")
        kube.wait(
            "livestream",
            "show",
            lambda o: o["status"].get("restreams") == {"total": 0, "live": 0},
            why="has no restream",
        )
        assert condition(kube.get("livestream", "show"), "Live")["status"] == "True"
        deadline = time.monotonic() + 90
        while left := everything_of_pushers(kube):
            assert time.monotonic() < deadline, left
            time.sleep(1)


def everything_of_pushers(kube: Kubectl) -> list[str]:
    kinds = "pods,deployments,replicasets,configmaps,secrets"
    return [f"{o['kind']}/{o['metadata']['name']}" for o in kube.list(kinds, "-l", PUSHERS)]


def point_at(kube: Kubectl, sink: str) -> None:
    """Has the Secret `where` name this stream as the target, with its key."""
    url = kube.get("secret", f"{sink}-ingest")["data"]["rtmpUrl"]
    kube.patch("secret", "where", {"data": {"uri": url}})


def test_a_killed_pusher_pushes_again(kube: Kubectl, clip: Path) -> None:
    make_sink(kube, "sink")
    kube.apply(livestream("show"), restream("out", "show", **into("sink")))
    with Publisher(clip, publish_url(kube, "show"), loop=True):
        wait_state(kube, "out", "Live", 120)
        session = kube.wait_condition("livestream", "sink", "Live")["status"]["startedAt"]
        [pod] = pod_names(kube, PUSHERS)
        killed = time.monotonic()
        kube("delete", "pod", pod, "--force", "--grace-period=0")
        kube.wait(
            "restream",
            "out",
            lambda o: o["status"].get("live") and pod not in pod_names(kube, PUSHERS),
            why="pushes from another pod",
            seconds=60,
        )
        print(f"pushing again {time.monotonic() - killed:.1f} s after the pod was killed")
        # It restarts with what was cleared before; the platform's resume window was enough.
        kube.wait_condition("livestream", "sink", "Live", seconds=30)
        assert kube.status("livestream", "sink")["startedAt"] == session
