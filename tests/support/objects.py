"""Manifests of our kinds, as a user would write them."""

from __future__ import annotations

import base64
from typing import Any

__all__ = ["livestream", "mediastore", "pulled", "recording", "restream", "secret", "secret_key"]

API_VERSION = "sluice.video/v1alpha1"


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def livestream(name: str, *, title: str | None = None, **spec: Any) -> dict[str, Any]:
    return _object(
        "LiveStream", name, {"title": title or f"Stream {name}", "source": {"push": {}}, **spec}
    )


def pulled(name: str, *uris: str | tuple[str, str], **spec: Any) -> dict[str, Any]:
    """Return a LiveStream that pulls. A source is a URI, or (Secret, key). ``pull`` in ``spec`` has
    the other fields of spec.source.pull."""
    sources = [
        {"uri": uri} if isinstance(uri, str) else {"uriSecretRef": secret_key(*uri)} for uri in uris
    ]
    pull = {"uris": sources, **spec.pop("pull", {})}
    return livestream(name, source={"pull": pull}, **spec)


def secret_key(name: str, key: str) -> dict[str, str]:
    return {"name": name, "key": key}


def recording(name: str, stream: str, **spec: Any) -> dict[str, Any]:
    """Return a Recording with ``minimumSeconds`` 0, unless ``spec`` sets it."""
    return _object("Recording", name, {"streamRef": {"name": stream}, "minimumSeconds": 0, **spec})


def restream(name: str, stream: str, **spec: Any) -> dict[str, Any]:
    return _object("Restream", name, {"streamRef": {"name": stream}, **spec})


def mediastore(name: str, **spec: Any) -> dict[str, Any]:
    return _object("MediaStore", name, spec)


def secret(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()},
    }
