"""Specs that the cases of the CustomResourceDefinitions begin with, and what a case is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CLAIM",
    "KEY",
    "KEYS",
    "PULLED",
    "RTMP",
    "STREAM",
    "Change",
    "Invalid",
    "Valid",
    "bucket",
    "pull",
]

KEY = {"name": "platform", "key": "key"}
RTMP = {"uri": "rtmp://platform.example/live", "streamKeySecretRef": KEY}
STREAM = {"streamRef": {"name": "a"}}
CLAIM: dict[str, Any] = {"persistentVolumeClaim": {"claimName": "tapes"}}
KEYS = {"accessKeySecretRef": KEY, "secretKeySecretRef": {"name": "minio", "key": "secret"}}
PULLED = {"uri": "rtmp://a.example/live/x"}


def pull(*uris: Any, **fields: Any) -> Any:
    """The spec of a stream that is pulled."""
    return {"source": {"pull": {"uris": list(uris)} | fields}}


def bucket(**fields: Any) -> dict[str, Any]:
    """The spec of a MediaStore in S3."""
    return {"s3": {"bucket": "tapes"} | KEYS | fields}


@dataclass(slots=True, frozen=True)
class Invalid:
    why: str
    kind: str
    want: str
    spec: Any = field(default_factory=dict)
    name: str = "a"


@dataclass(slots=True, frozen=True)
class Valid:
    why: str
    kind: str
    spec: Any
    name: str = "a"


@dataclass(slots=True, frozen=True)
class Change:
    why: str
    kind: str
    before: Any
    after: Any
    want: str = ""
    """What is said; empty: the change is taken."""
