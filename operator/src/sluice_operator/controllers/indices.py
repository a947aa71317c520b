"""Indices of the cache: the relations between objects, and the parts of an object that are kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime

from sluice_operator.api.v1alpha1 import Retention
from sluice_operator.api.v1alpha1.reasons import RecordingPhase
from sluice_operator.domain.livestream.auto_recording import automatic_session
from sluice_operator.domain.manifests.pod import key_volumes
from sluice_operator.domain.names import FINALIZER
from sluice_operator.engine.cache import Manifest, slim
from sluice_operator.kube.client import FIELD_MANAGER
from sluice_operator.pods.endpoints import POD_INDEX, pod_owners

FOLLOWER_INDEX = "follower"
"""(namespace, LiveStream) -> its Restreams, and those of its Recordings that still depend on it or
that it must still look at. Most Recordings are over and not among them."""
SESSION_INDEX = "session"
"""(namespace, uid of a LiveStream, start of a session) -> the Recordings that autoRecord made."""
STORE_INDEX = "store"
"""(namespace, MediaStore) -> Recordings that what it does still matters to."""
FINAL_PHASES = frozenset(
    {RecordingPhase.COMPLETED, RecordingPhase.FAILED, RecordingPhase.DISCARDED}
)
"""Of a Recording that is over."""
RESTORED_INDEX = "restored"
"""uid of a former Recording -> the Recording that was made anew for it."""
DEFAULT_STORE = "default"
"""What an absent storeRef means."""
_DEFAULT_RETENTION = Retention().model_dump(by_alias=True, exclude_none=True)


def _is_over(recording: Manifest) -> bool:
    """It has its end, and nobody deletes it: most Recordings of a cluster are like that."""
    phase = (recording.get("status") or {}).get("phase")
    return phase in FINAL_PHASES and "deletionTimestamp" not in recording["metadata"]


def _followed(obj: Manifest) -> list[tuple[str, str]]:
    if obj["kind"] not in ("Recording", "Restream"):
        return []
    if obj["kind"] == "Recording" and _is_over(obj):
        # One of autoRecord is held until its stream remembers it.
        held = FINALIZER in (obj["metadata"].get("finalizers") or ())
        if not held or obj["spec"].get("deletionPolicy") == "Delete":
            return []
    return [(obj["metadata"]["namespace"], obj["spec"]["streamRef"]["name"])]


def _sessions(obj: Manifest) -> list[tuple[str, str, datetime]]:
    found = automatic_session(obj) if obj["kind"] == "Recording" else None
    return [(obj["metadata"]["namespace"], *found)] if found is not None else []


def store_name(recording: Manifest) -> str:
    reference = recording["spec"].get("storeRef") or {}
    return str(reference.get("name", DEFAULT_STORE))


def _stores(obj: Manifest) -> list[tuple[str, str]]:
    if obj["kind"] != "Recording":
        return []
    if _is_over(obj) and not _is_to_be_told(obj):
        return []
    return [(obj["metadata"]["namespace"], store_name(obj))]


def _is_to_be_told(recording: Manifest) -> bool:
    """Return whether the store of a Recording that is over must be told its retention.

    Without files there is nothing to tell. Of files that were restored the store is told only
    another retention than the default."""
    status = recording.get("status") or {}
    told = status.get("storeGeneration")
    if told is not None:
        return bool(told != recording["metadata"].get("generation"))
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
    """What the cache keeps of an object: of the spec of a pod, which are most and biggest, only
    which keys it mounts."""
    small = slim(obj, FIELD_MANAGER)
    if obj["kind"] != "Pod":
        return small
    keys = key_volumes((obj.get("spec") or {}).get("volumes") or ())
    rest = {name: value for name, value in small.items() if name != "spec"}
    return {**rest, "spec": {"volumes": keys}} if keys else rest
