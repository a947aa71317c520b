"""Endpoints of the media pods in the cache, from which the operator reads ``/v1/status``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice_media.contract import (
    IngestStatus,
    PlayStatus,
    PodStatus,
    PusherStatus,
    RecorderStatus,
    StoreStatus,
)
from sluice_operator.domain.names import KIND_LABEL, NAME_LABEL, ROLE_LABEL, UID_LABEL
from sluice_operator.engine.cache import Manifest
from sluice_operator.engine.queue import Key
from sluice_operator.pods.http import PodAddress

POD_INDEX = "pod-of"
"""Cache index: uid of an object -> its pods."""
STATUS_MODELS: Mapping[str, type[PodStatus]] = {
    "ingest": IngestStatus,
    "play": PlayStatus,
    "record": RecorderStatus,
    "push": PusherStatus,
    "store": StoreStatus,
}
"""The model of ``/v1/status`` for each role of a pod."""


@dataclass(slots=True, frozen=True)
class PodEndpoint:
    """A running media pod that serves ``/v1/status``."""

    pod_uid: str
    created: str
    address: PodAddress
    role: str
    owner: Key
    owner_uid: str
    ready: bool = field(compare=False, default=False)


def endpoint_of(pod: Manifest) -> PodEndpoint | None:
    """Return the endpoint of a pod; None while it does not run or is not a media pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels = meta.get("labels") or {}
    running = status.get("phase") == "Running" and "deletionTimestamp" not in meta
    named = all(label in labels for label in (ROLE_LABEL, KIND_LABEL, NAME_LABEL, UID_LABEL))
    if not running or not named or not status.get("podIP"):
        return None
    if labels[ROLE_LABEL] not in STATUS_MODELS:
        return None
    return PodEndpoint(
        pod_uid=meta["uid"],
        created=meta["creationTimestamp"],
        address=PodAddress(meta["namespace"], meta["name"], status["podIP"]),
        role=labels[ROLE_LABEL],
        owner=Key(labels[KIND_LABEL], meta["namespace"], labels[NAME_LABEL]),
        owner_uid=labels[UID_LABEL],
        ready=any(
            c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
        ),
    )


def pod_owners(obj: Manifest) -> list[str]:
    """Return the uid of the object that a pod belongs to, for POD_INDEX."""
    if obj["kind"] != "Pod":
        return []
    uid = (obj["metadata"].get("labels") or {}).get(UID_LABEL)
    return [uid] if uid else []
