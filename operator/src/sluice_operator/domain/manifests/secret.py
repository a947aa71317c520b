"""Secrets that the operator makes: the publisher's key with its addresses, and pods' own tokens."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.names import ROTATED_ANNOTATION, child_name
from sluice_operator.domain.owner import Owner

__all__ = ["TOKEN_KEY", "ingest_secret", "rtmp_server", "token_secret"]

TOKEN_KEY = "token"


def rtmp_server(host: str, port: int, namespace: str) -> str:
    """What OBS calls "Server"."""
    literal = f"[{host}]" if ":" in host else host
    return f"rtmp://{literal}:{port}/{namespace}"


def ingest_secret(
    owner: Owner, token: str, address: tuple[str, int] | None, rotation: str
) -> dict[str, Any]:
    """Secret ``<stream>-ingest``: ``token`` is input, the rest follows from it.

    ``address`` is the gateway's host and RTMP port; without one there are no addresses to give."""
    stream_key = f"{owner.name}?{token}"
    values = {TOKEN_KEY: token, "streamKey": stream_key}
    if address is not None:
        server = rtmp_server(*address, owner.namespace)
        values |= {"rtmpServer": server, "rtmpUrl": f"{server}/{stream_key}"}
    annotations = {ROTATED_ANNOTATION: rotation} if rotation else None
    return _secret(owner, child_name(owner.name, "ingest"), values, annotations)


def token_secret(owner: Owner, suffix: str, token: str) -> dict[str, Any]:
    """A Secret with one token: of a hub, of a store, or a reader's copy of its hub's."""
    return _secret(owner, child_name(owner.name, suffix), {TOKEN_KEY: token})


def _secret(
    owner: Owner, name: str, values: dict[str, str], annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(owner, name, annotations),
        "type": "Opaque",
        # `data`, because the API server forgets who owns what was given as `stringData`.
        "data": {key: b64encode(value.encode()).decode() for key, value in values.items()},
    }
