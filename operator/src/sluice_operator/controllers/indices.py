"""Indices of the cache, which find related objects, and the slim copy of an object in the cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime

from sluice_operator.api.v1alpha1 import DEFAULT_STORE, Retention
from sluice_operator.api.v1alpha1.reasons import RecordingPhase
from sluice_operator.domain.livestream.auto_recording import automatic_session
from sluice_operator.domain.manifests.pod import key_volumes
from sluice_operator.domain.names import FINALIZER
from sluice_operator.engine.cache import Manifest, slim
from sluice_operator.kube.client import FIELD_MANAGER
from sluice_operator.pods.endpoints import POD_INDEX, pod_owners

FOLLOWER_INDEX = "follower"
"""(namespace, LiveStream) -> its Restreams, its Recordings that are not over, and those whose
session its status does not list yet. Other Recordings are left out, because they are many."""
SESSION_INDEX = "session"
"""(namespace, uid of a LiveStream, start of a session) -> the Recordings of autoRecord."""
STORE_INDEX = "store"
"""(namespace, MediaStore) -> the Recordings that still depend on the state of the store."""
FINAL_PHASES = frozenset(
    {RecordingPhase.COMPLETED, RecordingPhase.FAILED, RecordingPhase.DISCARDED}
)
"""Phases of a Recording that is over."""
RESTORED_INDEX = "restored"
"""uid of a former Recording -> the Recording that was created again in its place."""
_DEFAULT_RETENTION = Retention().model_dump(by_alias=True, exclude_none=True)


def _is_over(recording: Manifest) -> bool:
    """Return whether a Recording has ended and is not being deleted."""
    phase = (recording.get("status") or {}).get("phase")
    return phase in FINAL_PHASES and "deletionTimestamp" not in recording["metadata"]


def _followed(obj: Manifest) -> list[tuple[str, str]]:
    if obj["kind"] not in ("Recording", "Restream"):
        return []
    if obj["kind"] == "Recording" and _is_over(obj):
        # The finalizer of an automatic Recording stays until the stream's status lists its session.
        held = FINALIZER in (obj["metadata"].get("finalizers") or ())
        if not held or obj["spec"].get("deletionPolicy") == "Delete":
            return []
    return [(obj["metadata"]["namespace"], obj["spec"]["streamRef"]["name"])]


def _sessions(obj: Manifest) -> list[tuple[str, str, datetime]]:
    found = automatic_session(obj) if obj["kind"] == "Recording" else None
    return [(obj["metadata"]["namespace"], *found)] if found is not None else []


def store_name(recording: Manifest) -> str:
    """Return the name of the MediaStore of a Recording."""
    reference = recording["spec"].get("storeRef") or {}
    return str(reference.get("name", DEFAULT_STORE))


def _stores(obj: Manifest) -> list[tuple[str, str]]:
    if obj["kind"] != "Recording":
        return []
    if _is_over(obj) and not _has_new_retention(obj):
        return []
    return [(obj["metadata"]["namespace"], store_name(obj))]


def _has_new_retention(recording: Manifest) -> bool:
    """Return whether a Recording that is over has a retention that its store does not have yet.

    A Recording without files needs no retention. For restored files, the store needs only a
    retention that is not the default."""
    status = recording.get("status") or {}
    acknowledged = status.get("storeGeneration")
    if acknowledged is not None:
        return bool(acknowledged != recording["metadata"].get("generation"))
    retention = {**_DEFAULT_RETENTION, **(recording["spec"].get("retention") or {})}
    return bool(status.get("files")) and retention != _DEFAULT_RETENTION


def _restored(obj: Manifest) -> list[str]:
    uid = (obj.get("status") or {}).get("restoredUid") if obj["kind"] == "Recording" else None
    return [uid] if uid else []


INDICES: Mapping[str, Callable[[Manifest], Iterable[Hashable]]] = {
    FOLLOWER_INDEX: _followed,
    SESSION_INDEX: _sessions,
    STORE_INDEX: _stores,
    RESTORED_INDEX: _restored,
    POD_INDEX: pod_owners,
}


def slim_object(obj: Manifest) -> Manifest:
    """Return the part of an object that the cache keeps.

    Pods are the most and largest objects. Of the spec of a pod, only the volumes with keys stay."""
    small = slim(obj, FIELD_MANAGER)
    if obj["kind"] != "Pod":
        return small
    keys = key_volumes((obj.get("spec") or {}).get("volumes") or ())
    rest = {name: value for name, value in small.items() if name != "spec"}
    return {**rest, "spec": {"volumes": keys}} if keys else rest
