"""Restreams tell the truth about their target, and one bad target harms no other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.restreams import wait_state
from tests.support.cluster import Cluster, publish_url
from tests.support.frames import runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, restream, secret
from tests.support.publish import Publisher
from tests.support.target import RtmpTarget, address_towards, free_port


def push_to(target: RtmpTarget, name: str, stream: str) -> dict[str, object]:
    return restream(
        name, stream, uri=target.url, streamKeySecretRef={"name": "target-key", "key": "key"}
    )


@pytest.mark.long
def test_a_killed_target_is_found_again_and_its_neighbour_loses_nothing(
    kube: Kubectl, sluice: Cluster, clip: Path, tmp_path: Path
) -> None:
    host = address_towards(sluice.node_ip)
    good = RtmpTarget(host, free_port(host), tmp_path / "good.flv")
    bad = RtmpTarget(host, free_port(host), tmp_path / "bad.flv")
    # Long enough to see the loss and to start another encoder within it.
    kube.apply(livestream("show", resumeWindowSeconds=60), secret("target-key", key="key"))
    url = publish_url(kube, "show")
    with good, bad:
        kube.apply(push_to(good, "good", "show"), push_to(bad, "bad", "show"))
        for name in ("good", "bad"):
            kube.wait_condition("restream", name, "Ready")
            assert kube.status("restream", name)["state"] == "Idle"
        with Publisher(clip, url) as publisher:
            for name in ("good", "bad"):
                wait_state(kube, name, "Live")
            bad.wait_bytes()
            bad.kill()
            failed = kube.wait(
                "restream",
                "bad",
                lambda o: not o["status"].get("live"),
                why="is not live",
                seconds=60,
            )
            assert failed["status"]["state"] in ("Backoff", "Connecting")
            refused = kube.wait(
                "restream",
                "bad",
                lambda o: o["status"].get("lastError", {}).get("class") == "Refused",
                why="says that the target refuses connections",
                seconds=60,
            )
            assert condition(refused, "Ready")["status"] == "True"
            time.sleep(2)
            bad.start()
            assert wait_state(kube, "bad", "Live")["reconnects"] >= 1
            bad.wait_bytes()
            # Lost source, held target: no reconnect.
            reconnects = kube.status("restream", "good")["reconnects"]
            publisher.kill()
        wait_state(kube, "good", "Waiting")
        with Publisher(clip, url, start_seconds=100) as publisher:
            wait_state(kube, "good", "Live")
            time.sleep(4)
            assert kube.status("restream", "good")["reconnects"] == reconnects
            kube.wait(
                "livestream",
                "show",
                lambda o: o["status"]["restreams"] == {"total": 2, "live": 2},
                why="counts every push as live",
            )
            publisher.stop()
        wait_state(kube, "good", "Idle", 150)
        good.finish()
    found = runs(good.file, {"A": clip})
    assert len(found) == 2, found
    assert found[0].first == 0
