"""Every protocol in, every protocol out; and targets that may not be dialled or trusted."""

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
@pytest.mark.parametrize("way_in", ["rtmpUrl", "rtmpsUrl", "srtUrl"])
def test_what_comes_in_goes_out_over_each_protocol_frame_by_frame(
    kube: Kubectl, sluice: Cluster, clip: Path, tmp_path: Path, way_in: str
) -> None:
    host = address_towards(sluice.node_ip)
    make_sink(kube, "sink")
    gateway_authority(kube, sluice)
    kube.apply(
        livestream("show", resumeWindowSeconds=2),
        recording("sink", "sink", minimumSeconds=0),
        secret("rtmp", key="key"),
        secret("srt", passphrase=PASSPHRASE, streamid="a/b?c=d&e"),
    )
    url = publish_url(kube, "show", way_in)
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
        # Over SRT an encoder may have begun before the gateway listens to it.
        assert run.first in (0, GOP_FRAMES), (file, run)
        assert len(run) >= 100, (file, run)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted_until_somebody_does(
    kube: Kubectl, sluice: Cluster, clip: Path
) -> None:
    make_sink(kube, "sink")
    kube.apply(livestream("show"), restream("sealed", "show", **into("sink", "rtmps")))
    with Publisher(clip, publish_url(kube, "show")):
        refused = wait_class(kube, "sealed", "Tls")
        assert refused["status"]["state"] == "Rejected"
        assert condition(refused, "Live")["reason"] == "Tls"
        gateway_authority(kube, sluice)
        authority = {"caSecretRef": secret_key(AUTHORITY, "ca.crt")}
        kube.patch("restream", "sealed", {"spec": authority})
        wait_state(kube, "sealed", "Live")
        kube.wait_condition("livestream", "sink", "Live")


def test_what_only_the_cluster_may_reach_is_not_dialled(kube: Kubectl, clip: Path) -> None:
    """The addresses that the guard refuses are for tests/unit/net/test_guard.py."""
    uri = "rtmps://kubernetes.default.svc.cluster.local/api"
    kube.apply(livestream("show"), secret("key", key="key"))
    kube.apply(restream("probe", "show", uri=uri, streamKeySecretRef=secret_key("key", "key")))
    with Publisher(clip, publish_url(kube, "show")):
        refused = wait_class(kube, "probe", "Forbidden")
        assert condition(refused, "Live")["reason"] == "Forbidden"
        assert "not allowed" in refused["status"]["lastError"]["message"]


def test_a_secret_that_is_missing_is_named_and_its_arrival_is_enough(
    kube: Kubectl, clip: Path
) -> None:
    make_sink(kube, "sink")
    spec = into("sink") | {"streamKeySecretRef": secret_key("later", "key")}
    kube.apply(livestream("show"), restream("out", "show", **spec))
    stalled = kube.wait_condition("restream", "out", "Stalled", seconds=120)
    assert condition(stalled, "Stalled")["reason"] == "SecretKeyMissing"
    assert "key key of Secret later" in condition(stalled, "Stalled")["message"]
    key = kube.get("secret", "sink-ingest")["data"]["streamKey"]
    kube.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"}, "data": {"key": key}}
    )
    with Publisher(clip, publish_url(kube, "show"), loop=True):
        # Nobody tells us of a Secret that is made: the kubelet mounts it when it looks again.
        wait_state(kube, "out", "Live", 150)
