"""What the tests of Restreams share: streams of our own as targets, and waiting for states."""

from __future__ import annotations

from typing import Any

from tests.support.cluster import Cluster, publish_url
from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, secret_key

__all__ = ["AUTHORITY", "gateway_authority", "into", "make_sink", "wait_class", "wait_state"]

AUTHORITY = "authority"


def make_sink(kube: Kubectl, name: str) -> None:
    """A LiveStream as a platform: it takes one publisher, and says so when there are two."""
    kube.apply(livestream(name, resumeWindowSeconds=60))
    publish_url(kube, name)


def into(sink: str, how: str = "rtmp") -> dict[str, Any]:
    """The fields of a Restream whose target is a sink, by the Secret that its producers get.

    ``rtmp`` and ``rtmps`` name server and key apart, ``rtmpUrl`` and ``srtUrl`` in one string."""
    ingest = f"{sink}-ingest"
    if how in ("rtmp", "rtmps"):
        return {
            "uriSecretRef": secret_key(ingest, f"{how}Server"),
            "streamKeySecretRef": secret_key(ingest, "streamKey"),
        }
    return {"uriSecretRef": secret_key(ingest, how)}


def gateway_authority(kube: Kubectl, sluice: Cluster) -> None:
    """Puts the authority of the gateway's certificate into a Secret of this namespace."""
    certificate = sluice.system.get("secret", "sluice-gateway-tls")["data"]["tls.crt"]
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": AUTHORITY},
            "data": {"ca.crt": certificate},
        }
    )


def wait_state(kube: Kubectl, name: str, state: str, seconds: float = 60) -> dict[str, Any]:
    found = kube.wait(
        "restream",
        name,
        lambda o: o["status"].get("state") == state,
        why=f"state {state}",
        seconds=seconds,
    )
    status: dict[str, Any] = found["status"]
    return status


def wait_class(kube: Kubectl, name: str, class_: str, seconds: float = 60) -> dict[str, Any]:
    """Waits until the target said no in this class, and the user has to act; the whole object."""
    found = kube.wait(
        "restream",
        name,
        lambda o: o["status"].get("lastError", {}).get("class") == class_,
        why=f"lastError of class {class_}",
        seconds=seconds,
    )
    assert condition(found, "Ready")["status"] == "False"
    assert condition(found, "Stalled")["reason"] == class_
    return found
