"""Every protocol out; and targets whose key, trust or permission is missing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.restreams import (
    AUTHORITY,
    gateway_authority,
    into,
    make_sink,
    wait_class,
    wait_state,
)
from tests.support.cluster import Cluster, publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording, restream, secret, secret_key
from tests.support.publish import Publisher
from tests.support.recordings import download
from tests.support.srt_target import SrtTarget, free_udp_port
from tests.support.target import RtmpTarget, address_towards, free_port

PASSPHRASE = "a-long-enough-passphrase"
GOP_FRAMES = 50


@pytest.mark.long
def test_what_comes_in_goes_out_over_each_protocol_frame_by_frame(
    kube: Kubectl, sluice: Cluster, clip: Path, tmp_path: Path
) -> None:
    """A pusher reads from the hub and does not know the way in. tests/media/test_push_pairs.py
    pairs each source with each protocol out."""
    host = address_towards(sluice.node_ip)
    make_sink(kube, "sink")
    gateway_authority(kube, sluice)
    kube.apply(
        livestream("show", resumeWindowSeconds=2),
        recording("sink", "sink", minimumSeconds=0),
        secret("rtmp", key="key"),
        secret("srt", passphrase=PASSPHRASE, streamid="a/b?c=d&e"),
    )
    url = publish_url(kube, "show", "rtmpsUrl")
    rtmp = RtmpTarget(host, free_port(host), tmp_path / "rtmp.flv")
    srt = SrtTarget(host, free_udp_port(host), tmp_path / "srt.ts", passphrase=PASSPHRASE)
    kube.apply(
        restream("plain", "show", uri=rtmp.url, streamKeySecretRef=secret_key("rtmp", "key")),
        restream(
            "sealed", "show", **into("sink", "rtmps"), caSecretRef=secret_key(AUTHORITY, "ca.crt")
        ),
        restream(
            "packets",
            "show",
            uri=f"{srt.url}?latency=200",
            streamKeySecretRef=secret_key("srt", "streamid"),
            passphraseSecretRef=secret_key("srt", "passphrase"),
        ),
    )
    names = ("plain", "sealed", "packets")
    for name in names:
        kube.wait_condition("restream", name, "Ready", seconds=120)
    kube.wait_condition("recording", "sink", "Ready", seconds=120)
    with rtmp, srt:
        with Publisher(clip, url) as publisher:
            for name in names:
                wait_state(kube, name, "Live")
            time.sleep(8)
            kube.wait(
                "livestream",
                "show",
                lambda o: o["status"]["restreams"] == {"total": 3, "live": 3},
                why="counts every push as live",
            )
            publisher.stop()
        for name in names:
            assert wait_state(kube, name, "Idle", 40)["reconnects"] == 0
        rtmp.finish()
        srt.finish()
    kube.patch("recording", "sink", {"spec": {"desiredState": "Stopped"}})
    kube.wait_condition("recording", "sink", "Succeeded", seconds=120)
    [recorded] = download(kube, "sink", tmp_path)
    assert decode_errors(recorded) == ""
    for file in (rtmp.file, srt.file, recorded):
        [run] = runs(file, {"A": clip})
        # On a busy machine a pusher may begin one group of pictures late.
        assert run.first in (0, GOP_FRAMES), (file, run)
        assert len(run) >= 100, (file, run)


@pytest.mark.long
def test_a_target_is_dialled_only_if_it_is_outside_of_the_cluster_and_trusted(
    kube: Kubectl, sluice: Cluster, clip: Path
) -> None:
    """The addresses that the guard refuses are for tests/unit/net/test_guard.py."""
    inside = "rtmps://kubernetes.default.svc.cluster.local/api"
    make_sink(kube, "sink")
    kube.apply(
        livestream("show"),
        secret("key", key="key"),
        restream("probe", "show", uri=inside, streamKeySecretRef=secret_key("key", "key")),
        restream("sealed", "show", **into("sink", "rtmps")),
    )
    with Publisher(clip, publish_url(kube, "show")):
        forbidden = wait_class(kube, "probe", "Forbidden")
        assert condition(forbidden, "Live")["reason"] == "Forbidden"
        assert "not allowed" in forbidden["status"]["lastError"]["message"]

        refused = wait_class(kube, "sealed", "Tls")
        assert refused["status"]["state"] == "Rejected"
        assert condition(refused, "Live")["reason"] == "Tls"
        gateway_authority(kube, sluice)
        authority = {"caSecretRef": secret_key(AUTHORITY, "ca.crt")}
        kube.patch("restream", "sealed", {"spec": authority})
        wait_state(kube, "sealed", "Live")
        kube.wait_condition("livestream", "sink", "Live")


@pytest.mark.long
def test_a_missing_secret_and_a_missing_key_are_named_and_healed(kube: Kubectl, clip: Path) -> None:
    """The arrival of a Secret is enough. A new key in a mounted Secret needs a restart."""
    make_sink(kube, "sink")
    later = into("sink") | {"streamKeySecretRef": secret_key("later", "key")}
    kube.apply(
        livestream("show"),
        secret("target", other="x"),
        restream("out", "show", **later),
        restream("keyless", "show", uriSecretRef=secret_key("target", "uri")),
    )
    for name, sentence in (
        ("out", "key key of Secret later"),
        ("keyless", "key uri of Secret target"),
    ):
        found = kube.wait_condition("restream", name, "Stalled", seconds=120)
        assert condition(found, "Stalled")["reason"] == "SecretKeyMissing"
        assert sentence in condition(found, "Stalled")["message"]
        assert condition(found, "Ready")["status"] == "False"
    key = kube.get("secret", "sink-ingest")["data"]["streamKey"]
    kube.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"}, "data": {"key": key}},
        secret("target", uri="rtmp://198.51.100.1/live/key"),
    )
    kube("annotate", "restream", "keyless", "sluice.video/restart=1")
    kube.wait_condition("restream", "keyless", "Ready", seconds=120)
    with Publisher(clip, publish_url(kube, "show"), loop=True):
        # Nobody tells us of a Secret that is made: the kubelet mounts it when it looks again.
        wait_state(kube, "out", "Live", 150)
