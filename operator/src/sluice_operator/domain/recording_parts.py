"""Parts of a Recording's decision: its recorder's configuration, its store, its status."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import StoredRecording
from sluice_operator.api.v1alpha1 import DEFAULT_STORE, RecordingSpec
from sluice_operator.domain.decision import Condition, StoreCall
from sluice_operator.domain.files import file_count, total_bytes, total_seconds
from sluice_operator.domain.manifests.config import Configuration, configuration
from sluice_operator.domain.manifests.recorder import recorder_config, recording_prefix
from sluice_operator.domain.observed import ObservedRecording, Raw
from sluice_operator.domain.owner import Owner, Stored
from sluice_operator.domain.readiness import Readiness
from sluice_operator.domain.recording_course import Course, StreamPresence, is_stopped
from sluice_operator.domain.streams import is_there, stream_ref
from sluice_operator.domain.times import utc_text
from sluice_operator.domain.transitions import events_for

__all__ = [
    "conditions_of",
    "events_of",
    "job_of",
    "recorder_configuration",
    "status_of",
    "store_calls",
    "store_name",
]

_TOLD = frozenset({"Recording", "Interrupted", "WaitingForReturn"})
"""Reasons of Succeeded=Unknown that are worth an event."""


def store_name(raw: Raw) -> str:
    """The MediaStore that a Recording uses."""
    ref = RecordingSpec.model_validate(raw["spec"]).store_ref
    return ref.name if ref is not None else DEFAULT_STORE


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
    config = recorder_config(
        owner,
        spec,
        stream,
        stopped=deleted or is_stopped(spec, stored),
        keep_all=deleted and not is_stopped(spec, stored),
    )
    return configuration(owner, config)


def store_calls(
    observed: ObservedRecording, owner: Owner, course: Course, *, recorder_gone: bool = False
) -> tuple[StoreCall, ...]:
    """The store learns of each file that is closed, and of the end.

    Not of what its answers leave open: it can know a file, having looked, and yet not have been
    told that it is time to finish it."""
    if observed.store is None or course.terminal:
        return ()
    result = observed.stored
    closed = sorted(f["index"] for f in course.files if f["state"] == "Finalizing")
    ended = course.end_reason is not None or recorder_gone
    is_over = result is not None and result.state in {"Done", "Failed"}
    if not closed and not (ended and course.files and not is_over):
        return ()
    body = StoredRecording(
        uid=owner.uid,
        name=owner.name,
        prefix=recording_prefix(owner),
        recorder_gone=recorder_gone or (ended and job_of(observed, owner) is None),
    )
    name = store_name(observed.raw)
    occasion = f"closed {closed}, ended {ended}"
    return (StoreCall(name, body.model_dump(by_alias=True, mode="json"), occasion),)


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
    recorder = course.from_recorder
    duration, observed_at = stored.get("recordingDuration"), stored.get("observedAt")
    started_at = stored.get("recordingStartedAt")
    if recorder is not None:
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
        "streamUid": stream_uid,
        "storeName": store_name(observed.raw),
        "sizeBytes": total_bytes(course.files),
        "fileCount": file_count(course.files),
        "files": course.files or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def conditions_of(
    readiness: Readiness, course: Course, spec: RecordingSpec, stored: Stored
) -> tuple[Condition, ...]:
    first, *rest = readiness.conditions()
    latched: tuple[Condition, ...] = ()
    if is_stopped(spec, stored):
        words = "It was stopped, which is final."
        if spec.desired_state != "Stopped":
            words += " desiredState: Recording changes nothing any more; make a new Recording."
        latched = (Condition("StopLatched", "True", "Stopped", words),)
    return (first, course.succeeded, *latched, *rest)


def events_of(stored: Stored, conditions: tuple[Condition, ...], course: Course) -> dict[str, str]:
    kind = "Warning" if course.succeeded.status == "False" else "Normal"
    types = {"Succeeded": kind, "Stalled": "Warning", "StopLatched": "Normal"}
    told = events_for(stored, conditions, types)
    tell = course.terminal or course.succeeded.reason in _TOLD
    return told | ({"Succeeded": kind} if tell else {})
