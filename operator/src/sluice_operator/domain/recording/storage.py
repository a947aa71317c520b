"""The conditions and fields of a Recording that describe its store."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import RecorderPhase, RecorderStatus
from sluice_operator.api.v1alpha1.reasons import StorageReachableReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.headroom import headroom_condition, headroom_event
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.quantities import bytes_text
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.state import Progress
from sluice_operator.domain.samples import fresh
from sluice_operator.domain.times import utc_text

_REACHABLE = "StorageReachable"
_HEADROOM = "StorageHeadroom"
_COMPLETE = "Complete"
_PENDING_STEP_BYTES = 64 << 20
"""Step to which the message rounds the bytes that wait for the store. Their number grows all the
time while the store does not answer, and each new message is a write."""


def storage_conditions(facts: RecordingFacts, progress: Progress) -> tuple[Condition, ...]:
    """Return StorageReachable and StorageHeadroom until the end is final, and Complete."""
    found = [_complete(facts)]
    if not progress.terminal:
        found = [_reachable(facts, progress), _headroom(facts), *found]
    return tuple(condition for condition in found if condition is not None)


def _reachable(facts: RecordingFacts, progress: Progress) -> Condition | None:
    if progress.end_reason is not None:
        return None
    recorder = progress.from_recorder
    if recorder is None:
        return facts.stored.as_condition(_REACHABLE) if facts.in_start_grace else None
    if recorder.store_error:
        reason = recorder.store_error_reason or StorageReachableReason.UNREACHABLE
        return Condition(_REACHABLE, "False", reason, _trouble(recorder))
    if recorder.phase is RecorderPhase.WAITING or recorder.earlier_unknown:
        return None
    return Condition(
        _REACHABLE, "True", StorageReachableReason.REACHABLE, "Recorded media reaches the store."
    )


def _complete(facts: RecordingFacts) -> Condition | None:
    """Return Complete=False when the store lost content, or may have lost some; None without
    loss."""
    result = facts.observed.stored
    if result is None:
        return facts.stored.as_condition(_COMPLETE)
    if result.incomplete_reason is None:
        return None
    message = result.incomplete_message or "Recorded media is lost."
    if result.kept_chunks and result.kept_until is not None:
        message += (
            f" {result.kept_chunks} chunks that are in no MP4 are kept until "
            f"{utc_text(result.kept_until)}."
        )
    return Condition(_COMPLETE, "False", result.incomplete_reason, message)


def storage_damage(facts: RecordingFacts) -> dict[str, Any] | None:
    """Return the counts of chunks and segments that the store cannot read, or has in no MP4."""
    result = facts.observed.stored
    if result is None:
        known: dict[str, Any] | None = facts.stored.get("damage")
        return known
    until = result.kept_until if result.kept_chunks else None
    found = {
        "journalSegments": result.faulty_segments or None,
        "lostChunks": result.lost_chunks or None,
        "keptChunks": result.kept_chunks or None,
        "keptUntil": utc_text(until) if until is not None else None,
    }
    return {key: value for key, value in found.items() if value is not None} or None


def _trouble(recorder: RecorderStatus) -> str:
    waiting = recorder.pending_bytes // _PENDING_STEP_BYTES * _PENDING_STEP_BYTES
    if waiting:
        pending = f"More than {bytes_text(waiting)} wait"
    else:
        pending = f"Less than {bytes_text(_PENDING_STEP_BYTES)} wait"
    error = (recorder.store_error or "").rstrip(".")
    return (
        f"Uploads to the store fail: {error}. {pending} on the recorder's disk until they succeed."
    )


def _headroom(facts: RecordingFacts) -> Condition | None:
    known = facts.stored.as_condition(_HEADROOM)
    status, store = fresh(facts.observed.store_sample), facts.observed.store
    if status is None or store is None:
        # The MediaStore reports a pod that does not answer.
        return known
    return headroom_condition(status, f"MediaStore {store['metadata']['name']}")


def storage_events(stored: Stored, conditions: tuple[Condition, ...]) -> dict[str, str]:
    events: dict[str, str] = {}
    for condition in conditions:
        if condition.type == _HEADROOM:
            events |= headroom_event(stored, condition)
        elif condition.type == _REACHABLE:
            before = stored.condition(_REACHABLE)
            if condition.status == "False":
                events[_REACHABLE] = "Warning"
            elif before is not None and before["status"] == "False":
                events[_REACHABLE] = "Normal"
        elif condition.type == _COMPLETE:
            events[_COMPLETE] = "Warning"
    return events


def storage_use(facts: RecordingFacts, progress: Progress) -> dict[str, Any] | None:
    """Return used and limit of the store while this Recording writes; the last ones afterwards."""
    status = fresh(facts.observed.store_sample)
    if status is None or not progress.recording:
        known: dict[str, Any] | None = facts.stored.get("storage")
        return known
    use = {"usedBytes": status.used_bytes, "limitBytes": status.limit_bytes}
    return {key: value for key, value in use.items() if value is not None}
