"""The status of a Recording: its fields, its conditions, and the events for their changes."""

from __future__ import annotations

from typing import Any

from sluice_operator.api.v1alpha1.reasons import StopLatchedReason, SucceededReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.livestream.auto_recording import session_of
from sluice_operator.domain.readiness import Readiness
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.files import file_count, total_bytes, total_seconds
from sluice_operator.domain.recording.state import Progress
from sluice_operator.domain.recording.storage import (
    storage_conditions,
    storage_damage,
    storage_events,
    storage_use,
)
from sluice_operator.domain.times import exact_text, utc_text
from sluice_operator.domain.transitions import events_for

_REPORTED = frozenset(
    {SucceededReason.RECORDING, SucceededReason.INTERRUPTED, SucceededReason.WAITING_FOR_RETURN}
)
"""Reasons of Succeeded=Unknown that are worth an event."""


def status_of(facts: RecordingFacts, progress: Progress) -> dict[str, Any]:
    observed, stored = facts.observed, facts.stored
    stream_uid = stored.get("streamUid")
    if facts.presence == "There" and observed.stream is not None:
        stream_uid = observed.stream["metadata"]["uid"]
    session = session_of(observed.raw)
    status: dict[str, Any] = {
        "observedGeneration": facts.owner.generation,
        "recording": progress.recording,
        **_measured(facts, progress),
        "phase": progress.phase,
        "endReason": progress.end_reason,
        "restoredUid": observed.former.uid if observed.former else stored.get("restoredUid"),
        "sessionStartedAt": exact_text(session) if session is not None else None,
        "streamUid": stream_uid,
        "storeName": facts.store_name,
        "storeGeneration": stored.get("storeGeneration"),
        "storage": storage_use(facts, progress),
        "damage": storage_damage(facts),
        "sizeBytes": total_bytes(progress.files),
        "fileCount": file_count(progress.files),
        "files": progress.files or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def _measured(facts: RecordingFacts, progress: Progress) -> dict[str, Any]:
    stored, recorder, result = facts.stored, progress.from_recorder, facts.observed.stored
    duration, observed_at = stored.get("recordingDuration"), stored.get("observedAt")
    started_at = stored.get("recordingStartedAt")
    if recorder is not None and not recorder.earlier_unknown:
        duration = round(recorder.recording_duration, 3)
        observed_at = utc_text(recorder.observed_at)
        if recorder.recording_started_at is not None:
            started_at = utc_text(recorder.recording_started_at)
    if progress.terminal or (progress.end_reason is not None and recorder is None):
        duration = total_seconds(progress.files)
    if result is not None and result.recording_started_at and not started_at:
        started_at = utc_text(result.recording_started_at)
    return {
        "recordingDuration": duration,
        "observedAt": observed_at,
        "recordingStartedAt": started_at,
    }


def conditions_of(
    facts: RecordingFacts, progress: Progress, readiness: Readiness
) -> tuple[Condition, ...]:
    first, *rest = readiness.conditions()
    latched: tuple[Condition, ...] = ()
    if facts.stopped:
        message = "The Recording was stopped, which is final."
        if facts.spec.desired_state != "Stopped":
            message += " desiredState: Recording has no effect any more; make a new Recording."
        latched = (Condition("StopLatched", "True", StopLatchedReason.STOPPED, message),)
    storage = storage_conditions(facts, progress)
    return (first, progress.succeeded, *storage, *latched, *rest)


def events_of(
    facts: RecordingFacts, progress: Progress, conditions: tuple[Condition, ...]
) -> dict[str, str]:
    kind = "Warning" if progress.succeeded.status == "False" else "Normal"
    types = {"Succeeded": kind, "StopLatched": "Normal"}
    if not progress.failed:  # the event of Succeeded has the same message
        types["Stalled"] = "Warning"
    events = events_for(facts.stored, conditions, types)
    events |= storage_events(facts.stored, conditions)
    if progress.terminal or progress.succeeded.reason in _REPORTED:
        events["Succeeded"] = kind
    return events
