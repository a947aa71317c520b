"""Parts of a Recording's decision: its recorder's configuration, its store, its status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sluice_media.contract import BucketLocation, RecorderConfig, StoredRecording
from sluice_operator.api.v1alpha1 import DEFAULT_STORE, RecordingSpec, Retention
from sluice_operator.domain.decision import Condition, StoreCall
from sluice_operator.domain.livestream.auto_recording import session_of
from sluice_operator.domain.manifests.config import CONFIG_KEY, Configuration, configuration
from sluice_operator.domain.manifests.place import store_place
from sluice_operator.domain.manifests.pod import spool_limit_in
from sluice_operator.domain.manifests.recorder import (
    RecorderOrders,
    recorder_config,
    recording_prefix,
    retention_of,
)
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.readiness import Readiness
from sluice_operator.domain.recording.files import (
    OPEN_STATES,
    file_count,
    total_bytes,
    total_seconds,
)
from sluice_operator.domain.recording.state import Course, StreamPresence, is_stopped
from sluice_operator.domain.recording.storage import (
    storage_conditions,
    storage_damage,
    storage_events,
    storage_use,
)
from sluice_operator.domain.specs import read_spec
from sluice_operator.domain.streams import is_there, stream_ref
from sluice_operator.domain.times import exact_text, utc_text
from sluice_operator.domain.transitions import events_for

_TOLD = frozenset({"Recording", "Interrupted", "WaitingForReturn"})
"""Reasons of Succeeded=Unknown that are worth an event."""


def store_name(raw: Raw) -> str:
    """The MediaStore that a Recording uses."""
    return _store_of(read_spec(RecordingSpec, raw))


def _store_of(spec: RecordingSpec) -> str:
    return spec.store_ref.name if spec.store_ref is not None else DEFAULT_STORE


def job_of(observed: ObservedRecording, owner: Owner) -> Raw | None:
    return observed.children.get(("Job", owner.workload_name))


def recorder_configuration(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    presence: StreamPresence,
) -> Configuration:
    stream = None
    if presence == "There" and is_there(observed.stream) and observed.stream is not None:
        stream = stream_ref(observed.stream, observed.settings)
    deleted = owner.deleted_at is not None
    s3, uri_base = _place(observed, owner)
    spool = observed.settings.recorder_spool_bytes
    fits = spool_limit_in(job_of(observed, owner))
    orders = RecorderOrders(
        stream=stream,
        stopped=deleted or is_stopped(spec, stored),
        keep_all=deleted and not is_stopped(spec, stored),
        session_started_at=session_of(observed.raw),
        s3=s3,
        uri_base=uri_base,
        # The setting may have grown since the Job was made, and its volume has not.
        spool_limit_bytes=spool if fits is None else min(spool, fits),
    )
    return configuration(owner, recorder_config(owner, spec, orders))


def _place(observed: ObservedRecording, owner: Owner) -> tuple[BucketLocation | None, str]:
    """Where the recorder writes to. It goes on writing there when the MediaStore is deleted."""
    if observed.store is not None:
        place = store_place(observed.store)
        return place.s3, place.uri_base
    known = observed.children.get(("ConfigMap", owner.workload_name))
    if known is None:
        return None, ""
    config = RecorderConfig.model_validate_json(known["data"][CONFIG_KEY])
    return config.s3, config.uri_base


def _retention_is_news(owner: Owner, spec: RecordingSpec, stored: Stored, course: Course) -> bool:
    """The store holds files and has not been told of this generation's retention."""
    known = stored.get("storeGeneration")
    if known == owner.generation:
        return False
    if course.terminal and known is None and spec.retention == Retention():
        return False
    return any(file["state"] not in OPEN_STATES for file in course.files)


def store_calls(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    stored: Stored,
    course: Course,
) -> tuple[StoreCall, ...]:
    """The store learns of each file that is closed, of the end, and of another retention.

    Not of what its answers leave open: it can know a file, having looked, and yet not have been
    told that it is time to finish it."""
    if observed.store is None:
        return ()
    result = observed.stored
    closed = sorted(f["index"] for f in course.files if f["state"] == "Finalizing")
    ended = course.end_reason is not None
    is_over = result is not None and result.state in {"Done", "Failed"}
    finishing = not course.terminal and (closed or (ended and course.files and not is_over))
    if not finishing and not _retention_is_news(owner, spec, stored, course):
        return ()
    gone = ended and job_of(observed, owner) is None
    occasion = f"closed {closed}, ended {ended}, generation {owner.generation}"
    return (store_call(observed, owner, spec, recorder_gone=gone, occasion=occasion),)


def store_call(
    observed: ObservedRecording,
    owner: Owner,
    spec: RecordingSpec,
    *,
    recorder_gone: bool,
    occasion: str,
    delete: bool = False,
) -> StoreCall:
    uid = observed.former.uid if observed.former is not None else stored_uid(observed.raw)
    return _call(owner, spec, uid, occasion, recorder_gone=recorder_gone, delete=delete)


def stored_uid(raw: Raw) -> str:
    """By which uid the store knows a Recording: of one that was restored its former one."""
    found: str = Stored.of(raw).get("restoredUid") or raw["metadata"]["uid"]
    return found


def farewell(raw: Raw) -> StoreCall | None:
    """What its store is told of a Recording that is gone: its name is free. None: the store holds
    nothing of it. Raises InvalidSpecError."""
    owner, stored = Owner.of(raw), Stored.of(raw)
    if not stored.get("recordingStartedAt") and not stored.get("files"):
        return None
    spec = read_spec(RecordingSpec, raw)
    over = bool(stored.get("endReason"))
    call = _call(owner, spec, stored_uid(raw), "gone", recorder_gone=over, delete=False)
    return replace(call, body={**call.body, "deleted": True})


def _call(
    owner: Owner,
    spec: RecordingSpec,
    uid: str,
    occasion: str,
    *,
    recorder_gone: bool,
    delete: bool,
) -> StoreCall:
    body = StoredRecording(
        uid=uid,
        name=owner.name,
        namespace=owner.namespace,
        prefix=recording_prefix(uid),
        deleted=owner.deleted_at is not None,
        recorder_gone=recorder_gone,
        **retention_of(spec).model_dump(),
    )
    document = body.model_dump(by_alias=True, mode="json")
    return StoreCall(_store_of(spec), document, occasion, delete)


def status_of(
    observed: ObservedRecording,
    owner: Owner,
    stored: Stored,
    presence: StreamPresence,
    course: Course,
) -> dict[str, Any]:
    stream_uid = stored.get("streamUid")
    if presence == "There" and observed.stream is not None:
        stream_uid = observed.stream["metadata"]["uid"]
    session = session_of(observed.raw)
    recorder = course.from_recorder
    duration, observed_at = stored.get("recordingDuration"), stored.get("observedAt")
    started_at = stored.get("recordingStartedAt")
    if recorder is not None and not recorder.earlier_unknown:
        duration = round(recorder.recording_duration, 3)
        observed_at = utc_text(recorder.observed_at)
        if recorder.recording_started_at is not None:
            started_at = utc_text(recorder.recording_started_at)
    if course.terminal or (course.end_reason is not None and recorder is None):
        duration = total_seconds(course.files)
    if observed.stored is not None and observed.stored.recording_started_at and not started_at:
        started_at = utc_text(observed.stored.recording_started_at)
    status: dict[str, Any] = {
        "observedGeneration": owner.generation,
        "recording": course.recording,
        "recordingDuration": duration,
        "observedAt": observed_at,
        "recordingStartedAt": started_at,
        "phase": course.phase,
        "endReason": course.end_reason,
        "restoredUid": observed.former.uid if observed.former else stored.get("restoredUid"),
        "sessionStartedAt": exact_text(session) if session is not None else None,
        "streamUid": stream_uid,
        "storeName": store_name(observed.raw),
        "storeGeneration": stored.get("storeGeneration"),
        "storage": storage_use(observed, stored, course),
        "damage": storage_damage(observed, stored),
        "sizeBytes": total_bytes(course.files),
        "fileCount": file_count(course.files),
        "files": course.files or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def conditions_of(
    observed: ObservedRecording,
    readiness: Readiness,
    course: Course,
    spec: RecordingSpec,
    stored: Stored,
) -> tuple[Condition, ...]:
    first, *rest = readiness.conditions()
    latched: tuple[Condition, ...] = ()
    if is_stopped(spec, stored):
        words = "It was stopped, which is final."
        if spec.desired_state != "Stopped":
            words += " desiredState: Recording changes nothing any more; make a new Recording."
        latched = (Condition("StopLatched", "True", "Stopped", words),)
    storage = storage_conditions(observed, stored, course)
    return (first, course.succeeded, *storage, *latched, *rest)


def events_of(stored: Stored, conditions: tuple[Condition, ...], course: Course) -> dict[str, str]:
    kind = "Warning" if course.succeeded.status == "False" else "Normal"
    types = {"Succeeded": kind, "StopLatched": "Normal"}
    if not course.failed:  # else Succeeded says the same
        types["Stalled"] = "Warning"
    told = events_for(stored, conditions, types) | storage_events(stored, conditions)
    tell = course.terminal or course.succeeded.reason in _TOLD
    return told | ({"Succeeded": kind} if tell else {})
