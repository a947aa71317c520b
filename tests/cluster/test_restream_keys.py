"""Keys of targets, over every protocol, taken or refused: nowhere but in their Secrets."""

from __future__ import annotations

import base64
from contextlib import ExitStack
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
from tests.cluster.test_keys import places_with
from tests.support.cluster import Cluster, publish_url
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream, restream, secret, secret_key
from tests.support.publish import Publisher
from tests.support.srt_target import SrtTarget, free_udp_port
from tests.support.target import address_towards

CANARIES = {
    "streamid": "canarystreamid4e19",
    "passphrase": "canarypassphrase77",
    "wrong": "canarywrongphrase8",
    "key": "canarykeyc0ffee12",
    "rtmp-url": "canaryurlbeef55",
    "srt-url": "canarysrturlfeed3",
    "srt-url-phrase": "canaryurlphrase51",
}


def srt_targets(host: str, folder: Path, stack: ExitStack) -> dict[str, str]:
    """Listeners and the passphrases they want; their addresses by name."""
    wants = {
        "live": CANARIES["passphrase"],
        "url": CANARIES["srt-url-phrase"],
        "refusing": "not-what-is-sent",
    }
    made = {
        name: SrtTarget(host, free_udp_port(host), folder / f"{name}.ts", passphrase=passphrase)
        for name, passphrase in wants.items()
    }
    return {name: stack.enter_context(target).url for name, target in made.items()}


@pytest.mark.long
def test_keys_of_targets_are_nowhere_but_in_their_secrets(
    kube: Kubectl, sluice: Cluster, clip: Path, tmp_path: Path
) -> None:
    gateway_authority(kube, sluice)
    make_sink(kube, "sink")
    ingest = {
        name: base64.b64decode(value).decode()
        for name, value in kube.get("secret", "sink-ingest")["data"].items()
    }
    gateway = ingest["rtmpServer"].rpartition("/")[0]
    with ExitStack() as stack:
        srt = srt_targets(address_towards(sluice.node_ip), tmp_path, stack)
        in_url = f"?streamid={CANARIES['srt-url']}&passphrase={CANARIES['srt-url-phrase']}"
        kube.apply(
            livestream("quiet"),
            secret(
                "keys",
                streamid=CANARIES["streamid"],
                passphrase=CANARIES["passphrase"],
                wrong=CANARIES["wrong"],
                key=f"nobody?{CANARIES['key']}&a=b",
                rtmp=f"{gateway}/nowhere/none?{CANARIES['rtmp-url']}",
                srt=f"{srt['url']}{in_url}",
            ),
            restream(
                "srt",
                "quiet",
                uri=srt["live"],
                streamKeySecretRef=secret_key("keys", "streamid"),
                passphraseSecretRef=secret_key("keys", "passphrase"),
            ),
            restream("srt-url", "quiet", uriSecretRef=secret_key("keys", "srt")),
            restream(
                "srt-refused",
                "quiet",
                uri=srt["refusing"],
                streamKeySecretRef=secret_key("keys", "streamid"),
                passphraseSecretRef=secret_key("keys", "wrong"),
            ),
            restream(
                "rtmps",
                "quiet",
                **into("sink", "rtmps"),
                caSecretRef=secret_key(AUTHORITY, "ca.crt"),
            ),
            restream(
                "rtmps-refused",
                "quiet",
                uriSecretRef=secret_key("sink-ingest", "rtmpsServer"),
                streamKeySecretRef=secret_key("keys", "key"),
                caSecretRef=secret_key(AUTHORITY, "ca.crt"),
            ),
            restream(
                "rtmps-untrusted",
                "quiet",
                uriSecretRef=secret_key("sink-ingest", "rtmpsServer"),
                streamKeySecretRef=secret_key("keys", "streamid"),
            ),
            restream("rtmp-refused", "quiet", uriSecretRef=secret_key("keys", "rtmp")),
        )
        stack.enter_context(Publisher(clip, publish_url(kube, "quiet"), loop=True))
        for name in ("srt", "srt-url", "rtmps"):
            wait_state(kube, name, "Live", 150)
        for name in ("rtmps-refused", "rtmp-refused"):
            wait_class(kube, name, "BadName", 120)
        wait_class(kube, "srt-refused", "Unauthorized", 120)
        wait_class(kube, "rtmps-untrusted", "Tls", 120)
        token = ingest["streamKey"].rpartition("?")[2]
        assert len(token) >= 16
        assert places_with((*CANARIES.values(), token), kube, sluice) == []
