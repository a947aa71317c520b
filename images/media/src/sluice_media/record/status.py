"""The status of a recorder (pure). In: its machine. Out: fields of its RecorderStatus."""

from __future__ import annotations

from collections.abc import Callable

from sluice_media.contract import (
    MAX_LISTED_GAPS,
    FileState,
    RecordedFile,
    RecorderPhase,
    RecordingEndReason,
)
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.plan import PlannedFile
from sluice_media.recording.keys import mp4_name

TICKING = frozenset(
    {"recording_duration", "current_file_duration", "files", "older_files", "pending_bytes"}
)
"""Status fields that change often, and alone publish no new version. A changed file changes
``transitions``."""

_FILES_BYTES = 192 * 1024
"""Maximum size of the listed files in the JSON of a status, which has at most 256 KiB."""
_FILE_BYTES = 400
"""Size of one file's JSON without its name, its URI and its gaps."""
_GAP_BYTES = 64


def recorder_status(
    machine: RecorderMachine,
    phase: RecorderPhase,
    uid: str,
    original_uri: Callable[[PlannedFile], str | None],
) -> dict[str, object]:
    """Return the machine's part of :class:`~sluice_media.contract.RecorderStatus`, by field."""
    current = machine.current
    files = _newest([_listed(file, machine, phase, uid, original_uri) for file in machine.files])
    return {
        "phase": phase,
        "earlier_unknown": False,
        "end_reason": machine.finished if phase is RecorderPhase.DONE else None,
        "recording_started_at": machine.started_at,
        "recording_duration": round(machine.duration_seconds, 3),
        "current_file_duration": round(current.duration_seconds, 3) if current else 0.0,
        "transitions": machine.transitions,
        "files": files,
        "older_files": len(machine.files) - len(files),
    }


def _listed(
    file: PlannedFile,
    machine: RecorderMachine,
    phase: RecorderPhase,
    uid: str,
    original_uri: Callable[[PlannedFile], str | None],
) -> RecordedFile:
    return RecordedFile(
        index=file.index,
        name=mp4_name(uid, file.index),
        state=_state(file, phase, machine.finished),
        started_at=file.started_at,
        ended_at=file.ended_at,
        duration_seconds=round(file.duration_seconds, 3),
        original_uri=original_uri(file),
        gaps=[g.public() for g in file.gaps[:MAX_LISTED_GAPS]],
        end_reason=file.end_reason,
    )


def _newest(files: list[RecordedFile]) -> list[RecordedFile]:
    """Return the newest files that fit into a status, oldest first: at least one, if there is
    any."""
    left = _FILES_BYTES
    for position in range(len(files) - 1, -1, -1):
        file = files[position]
        left -= _FILE_BYTES + len(file.name) + len(file.original_uri or "")
        left -= _GAP_BYTES * len(file.gaps)
        if left < 0 and position < len(files) - 1:
            return files[position + 1 :]
    return files


def _state(file: PlannedFile, phase: RecorderPhase, finished: str | None) -> str:
    if finished == RecordingEndReason.TOO_SHORT:
        return FileState.DISCARDED
    if file.end_reason is not None:
        return FileState.FINALIZING
    return FileState.INTERRUPTED if phase is RecorderPhase.INTERRUPTED else FileState.RECORDING
