"""What a Recording says of its store while it depends on it."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import RecorderPhase, RecorderStatus
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.headroom import headroom_condition, headroom_event
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.quantities import bytes_text
from sluice_operator.domain.recording.state import Course
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.times import utc_text

_REACHABLE = "StorageReachable"
_HEADROOM = "StorageHeadroom"
_COMPLETE = "Complete"
_PENDING_STEP_BYTES = 64 << 20
"""What waits grows all the time while the store is away; the sentence follows in coarse steps."""


def storage_conditions(
    observed: ObservedRecording, stored: Stored, course: Course
) -> tuple[Condition, ...]:
    """The first two: of a Recording that still writes, or whose files are being made."""
    found = [_complete(observed, stored)]
    if not course.terminal:
        found = [_reachable(observed, stored, course), _headroom(observed, stored), *found]
    return tuple(condition for condition in found if condition is not None)


def _reachable(observed: ObservedRecording, stored: Stored, course: Course) -> Condition | None:
    if course.end_reason is not None:
        return None
    recorder = course.from_recorder
    if recorder is None:
        in_grace = in_start_grace(observed.sample, observed.operator_uptime_seconds)
        return stored.as_condition(_REACHABLE) if in_grace else None
    if recorder.store_error:
        reason = recorder.store_error_reason or "Unreachable"
        return Condition(_REACHABLE, "False", reason, _trouble(recorder))
    if recorder.phase is RecorderPhase.WAITING or recorder.earlier_unknown:
        return None
    return Condition(_REACHABLE, "True", "Reachable", "What is recorded reaches the store.")


def _complete(observed: ObservedRecording, stored: Stored) -> Condition | None:
    """False when the store lost content, or may have; absent otherwise."""
    result = observed.stored
    if result is None:
        return stored.as_condition(_COMPLETE)
    if result.incomplete_reason is None:
        return None
    words = result.incomplete_message or "Content of it is lost."
    if result.kept_chunks and result.kept_until is not None:
        words += (
            f" {result.kept_chunks} chunks that are in no MP4 are kept until "
            f"{utc_text(result.kept_until)}."
        )
    return Condition(_COMPLETE, "False", result.incomplete_reason, words)


def storage_damage(observed: ObservedRecording, stored: Stored) -> dict[str, Any] | None:
    """What the store cannot read, or has in no MP4, in figures."""
    result = observed.stored
    if result is None:
        known: dict[str, Any] | None = stored.get("damage")
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
    return f"The store takes nothing: {error}. {pending} on the recorder's disk until it does."


def _headroom(observed: ObservedRecording, stored: Stored) -> Condition | None:
    known = stored.as_condition(_HEADROOM)
    status = fresh(observed.store_sample)
    if status is None or observed.store is None:
        # The MediaStore says itself when it is not heard of.
        return known
    return headroom_condition(status, f"MediaStore {observed.store['metadata']['name']}")


def storage_events(stored: Stored, conditions: tuple[Condition, ...]) -> dict[str, str]:
    told: dict[str, str] = {}
    for condition in conditions:
        if condition.type == _HEADROOM:
            told |= headroom_event(stored, condition)
        elif condition.type == _REACHABLE:
            before = stored.condition(_REACHABLE)
            if condition.status == "False":
                told[_REACHABLE] = "Warning"
            elif before is not None and before["status"] == "False":
                told[_REACHABLE] = "Normal"
        elif condition.type == _COMPLETE:
            told[_COMPLETE] = "Warning"
    return told


def storage_use(
    observed: ObservedRecording, stored: Stored, course: Course
) -> dict[str, Any] | None:
    """How full the store is, while this Recording fills it; afterwards as it was then."""
    status = fresh(observed.store_sample)
    if status is None or not course.recording:
        known: dict[str, Any] | None = stored.get("storage")
        return known
    use = {"usedBytes": status.used_bytes, "limitBytes": status.limit_bytes}
    return {key: value for key, value in use.items() if value is not None}
