"""Keys: only the right one, only one publisher, and nowhere but where they belong."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from pathlib import Path

import pytest

from tests.support.api_server import RefusalError
from tests.support.cluster import SYSTEM_NAMESPACE, Cluster, publish_url, refused_for
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording, restream, secret
from tests.support.publish import Publisher


@pytest.mark.long
def test_a_stream_takes_one_publisher_with_its_key_over_a_listed_protocol(
    kube: Kubectl, clip: Path
) -> None:
    """All others are refused with the reason. A new key cuts the publisher of its stream only."""
    kube.apply(livestream("door"), livestream("sealed", source={"push": {"protocols": ["RTMPS"]}}))
    url, sealed_url = publish_url(kube, "door"), publish_url(kube, "sealed", "rtmpsUrl")
    server = url.rpartition("/")[0]
    with Publisher(clip, f"{server}/door?wrong") as wrong:
        assert "BadKey" in wrong.wait_refused()
    refused_for(kube, "door", "BadKey")
    with Publisher(clip, f"{server}/nobody?wrong") as unknown:
        assert "UnknownStream" in unknown.wait_refused()
    with Publisher(clip, f"{server}/sealed?{sealed_url.rpartition('?')[2]}") as plain:
        assert "ProtocolNotAllowed" in plain.wait_refused()
    refused_for(kube, "sealed", "ProtocolNotAllowed")

    with Publisher(clip, url) as first, Publisher(clip, sealed_url) as neighbour:
        for name in ("door", "sealed"):
            kube.wait_condition("livestream", name, "Live")
        kube.wait(
            "livestream",
            "sealed",
            lambda o: o["status"]["sessions"][0]["protocol"] == "RTMPS",
            why="says how it came in",
        )
        with Publisher(clip, url) as second:
            assert "Busy" in second.wait_refused()
        refused_for(kube, "door", "Busy")
        assert first.running
        assert kube.status("livestream", "door")["live"] is True

        kube("annotate", "livestream", "door", "sluice.video/rotate-key=now")
        first.wait_refused()
        assert neighbour.running
    kube.wait(
        "secret",
        "door-ingest",
        lambda s: base64.b64decode(s["data"]["rtmpUrl"]).decode() != url,
        why="has a new URL",
    )
    with Publisher(clip, publish_url(kube, "door")):
        kube.wait_condition("livestream", "door", "Live")


def test_a_key_appears_nowhere_but_in_its_secret(
    kube: Kubectl, sluice: Cluster, clip: Path
) -> None:
    canary = "canary5f0e7c3a9b"
    target_canary = "targetcanary77d1e2"
    passphrase = "phrasecanary30b8f4"
    canaries = (canary, target_canary, passphrase)
    passphrase_ref = {"passphraseSecretRef": {"name": "srt", "key": "passphrase"}}
    kube.apply(
        livestream("quiet", source={"push": {"srt": passphrase_ref}}),
        secret("target", key=f"stream?{target_canary}&a=b"),
        secret("srt", passphrase=passphrase),
    )
    publish_url(kube, "quiet")
    token = {"data": {"token": base64.b64encode(canary.encode()).decode()}}
    kube.patch("secret", "quiet-ingest", token)
    kube.apply(
        recording("quiet", "quiet"),
        restream(
            "quiet",
            "quiet",
            uri=f"rtmp://sluice-gateway.{SYSTEM_NAMESPACE}.svc.cluster.local:1935/nowhere",
            streamKeySecretRef={"name": "target", "key": "key"},
        ),
    )
    kube("annotate", "livestream", "quiet", "sluice.video/resync=1")
    url = publish_url(kube, "quiet")
    url = f"{url.rpartition('?')[0]}?{canary}"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with Publisher(clip, url) as publisher:
            if is_let_in(kube, "quiet", publisher):
                kube.wait(
                    "restream",
                    "quiet",
                    lambda o: o["status"].get("lastError"),
                    why="is refused by its target",
                )
                found = places_with(canaries, kube, sluice)
                break
        with Publisher(clip, url.replace(canary, f"x{canary}")) as refused:
            refused.wait_refused()
    else:
        raise AssertionError("the edited key never came into force")
    assert found == []
    for way_in in ("rtmpsUrl", "srtUrl"):
        url = f"{publish_url(kube, 'quiet', way_in).rpartition('?')[0]}?{canary}"
        if way_in == "srtUrl":
            url += f"&passphrase={passphrase}"
        with Publisher(clip, url):
            kube.wait_condition("livestream", "quiet", "Live")
            assert places_with(canaries, kube, sluice) == []
        kube.wait(
            "livestream", "quiet", lambda o: not o["status"].get("live"), why="has no publisher"
        )


def is_let_in(kube: Kubectl, stream: str, publisher: Publisher) -> bool:
    """Wait until the stream is on air or its publisher was refused."""
    while publisher.running:
        if condition(kube.get("livestream", stream), "Live").get("status") == "True":
            return True
        time.sleep(0.2)
    return False


def places_with(canaries: tuple[str, ...], kube: Kubectl, sluice: Cluster) -> list[str]:
    """Everything of ours that a person or a collector could read, where a canary is."""
    texts: dict[str, str] = {}
    kinds = "livestreams,recordings,restreams,mediastores,events,configmaps,pods,deployments,jobs"
    texts["objects"] = kube("get", kinds, "-o", "json")
    for namespace in (kube, sluice.system):
        for pod in namespace.list("pods"):
            name, spec = pod["metadata"]["name"], pod["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                path = f"{name}/log?container={container['name']}"
                texts[f"log {path}"] = answer_of(namespace, path)
            texts[f"proc {name}"] = namespace(
                "exec",
                name,
                "--",
                "sh",
                "-c",
                "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ",
                check=False,
            )
            port = {"operator": 8080}.get(name.split("-")[1], 9100)
            texts[f"metrics {name}"] = answer_of(namespace, f"{name}:{port}/proxy/metrics")
    if sluice.audit_log is not None and sluice.audit_log.exists():
        texts["audit log"] = sluice.audit_log.read_text(errors="replace")
    assert json.loads(texts["objects"])["items"]
    for kind, known in (("log", '"event"'), ("proc", "sluice_media"), ("metrics", "sluice_")):
        seen = [text for place, text in texts.items() if place.startswith(f"{kind} ")]
        assert any(known in text for text in seen), f"no {kind} was looked at"
    return [place for place, text in texts.items() for canary in canaries if canary in text]


def answer_of(kube: Kubectl, path: str) -> str:
    """The answer to a GET below the pods of the namespace; empty where a pod does not answer."""
    with contextlib.suppress(RefusalError):
        return kube.api.text(f"{kube.api.resource('pods').path(kube.namespace)}/{path}")
    return ""
