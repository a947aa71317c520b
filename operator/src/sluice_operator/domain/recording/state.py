"""How a Recording stands: the facts, and the row of LIFECYCLE that they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sluice_media.contract import RecorderPhase, RecorderStatus, StoredResult
from sluice_operator.api.v1alpha1 import RecordingSpec
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.names import STREAM_UID_ANNOTATION
from sluice_operator.domain.observed import ObservedRecording
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.recording.files import OPEN_STATES, merged_files
from sluice_operator.domain.samples import fresh, in_start_grace
from sluice_operator.domain.streams import is_there

FINALIZE_FAILED = "FinalizeFailed"
"""Reason of Succeeded=False that may still become True: the store tries again."""

NO_SPACE = "NoSpace"
_NO_SPACE_WORDS = (
    "No space for recording the stream. Delete recordings, set retention.seconds of those that are "
    "there, or raise the MediaStore's limit; then make a new Recording."
)

_UNFINISHED = OPEN_STATES | {"Finalizing"}

StreamPresence = Literal["There", "NeverSeen", "Gone"]


@dataclass(slots=True, frozen=True)
class Course:
    """One moment of a Recording, in the words of its status."""

    phase: str
    recording: bool
    succeeded: Condition
    end_reason: str | None
    """Set once the recorder's work is over."""
    terminal: bool
    files: list[dict[str, Any]]
    from_recorder: RecorderStatus | None = None
    """The fresh answer of the recorder, when it was used."""

    @property
    def failed(self) -> bool:
        """The Recording ended without the files that were asked for; only the user can act."""
        return self.terminal and self.succeeded.status == "False"


def presence_of(observed: ObservedRecording, stored: Stored) -> StreamPresence:
    """A stream made anew under the old name is another stream: what is recorded is gone."""
    annotations = observed.raw["metadata"].get("annotations") or {}
    known = stored.get("streamUid") or annotations.get(STREAM_UID_ANNOTATION)
    if is_there(observed.stream) and observed.stream is not None:
        return "There" if known in (None, observed.stream["metadata"]["uid"]) else "Gone"
    return "NeverSeen" if known is None else "Gone"


def is_stopped(spec: RecordingSpec, stored: Stored) -> bool:
    """A stop is latched: what was stopped once stays so, whatever spec says later."""
    return spec.desired_state == "Stopped" or stored.is_true("StopLatched")


def course_of(
    observed: ObservedRecording, spec: RecordingSpec, stored: Stored, presence: StreamPresence
) -> Course:
    """Combines what the recorder, the store and the last pass say."""
    status = fresh(observed.sample)
    files = merged_files(
        stored.get("files") or (),
        status.files if status else (),
        observed.stored.files if observed.stored else (),
    )
    end_reason = _end_reason(observed, stored, status, presence, stopped=is_stopped(spec, stored))
    if end_reason is not None:
        return _ended(end_reason, files, observed.stored, status, stored)
    if status is not None and status.earlier_unknown:
        return _uninformed(status, stored, files)
    if status is not None:
        return _running(status, files)
    return _unheard(observed, stored, files)


def _end_reason(
    observed: ObservedRecording,
    stored: Stored,
    status: RecorderStatus | None,
    presence: StreamPresence,
    *,
    stopped: bool,
) -> str | None:
    """Why the recorder's work is over; None while it is not."""
    known: str | None = stored.get("endReason")
    if known:
        return known
    if status is not None and status.phase is RecorderPhase.DONE:
        return status.end_reason or "StreamEnded"
    result = observed.stored
    if result is not None and result.state in {"Finalizing", "Done", "Failed"}:
        # The recorder ended while nobody listened; the journal in the store has its reason.
        return result.end_reason or ("Stopped" if stopped else "StreamEnded")
    nothing_can_come = presence == "Gone" or stopped
    if nothing_can_come and status is None and not _has_recorder(observed, stored):
        return "Stopped" if stopped else "StreamEnded"
    return None


def never_started(end_reason: str, reason: str, words: str) -> Course:
    """The end of a Recording that has no recorder to end it. ``reason``: of Succeeded=False."""
    succeeded = Condition("Succeeded", "False", reason, words)
    return Course("Failed", False, succeeded, end_reason, terminal=True, files=[])


def no_space() -> Course:
    """The end of a Recording that found no room to begin."""
    return never_started(NO_SPACE, NO_SPACE, _NO_SPACE_WORDS)


def recorder_lost(observed: ObservedRecording, stored: Stored) -> Course:
    """The end of a Recording whose recorder is not to be had back: the store has what there is."""
    written = observed.stored.files if observed.stored else ()
    files = merged_files(stored.get("files") or (), (), written)
    return _ended("RecorderLost", files, observed.stored, None, stored)


def _has_recorder(observed: ObservedRecording, stored: Stored) -> bool:
    """There is, or was, a recorder that may have written something."""
    job = any(kind == "Job" for kind, _ in observed.children)
    return job or bool(observed.pods) or stored.get("recordingStartedAt") is not None


# --------------------------------------------------------------------------- after the end


@dataclass(slots=True, frozen=True)
class _Verdict:
    phase: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def _ended(
    reason: str,
    files: list[dict[str, Any]],
    result: StoredResult | None,
    status: RecorderStatus | None,
    stored: Stored,
) -> Course:
    verdict = _already_said(stored, result) or _verdict(reason, files, result)
    return Course(
        phase=verdict.phase,
        recording=False,
        succeeded=Condition("Succeeded", verdict.status, verdict.reason, verdict.message),
        end_reason=reason,
        terminal=verdict.status != "Unknown",
        files=files,
        from_recorder=status,
    )


def _already_said(stored: Stored, result: StoredResult | None) -> _Verdict | None:
    """A verdict is final, but for a file that could not be made: the store tries that again."""
    known = stored.as_condition("Succeeded")
    if known is None or known.status == "Unknown":
        return None
    if known.reason == FINALIZE_FAILED and result is not None:
        return None
    phase = stored.get("phase") or ("Completed" if known.status == "True" else "Failed")
    return _Verdict(phase, known.status, known.reason, known.message)


def _verdict(reason: str, files: Sequence[dict[str, Any]], result: StoredResult | None) -> _Verdict:
    if reason == "TooShort":
        words = "Stopped before there was enough to be kept (minimumSeconds)."
        return _Verdict("Discarded", "True", "TooShort", words)
    if reason == NO_SPACE and not files:
        return _Verdict("Failed", "False", NO_SPACE, _NO_SPACE_WORDS)
    if not files and (result is None or result.state in {"Unknown", "Done"}):
        if reason == "Stopped":
            words = "Stopped before anything was recorded."
            return _Verdict("Discarded", "True", "TooShort", words)
        words = "The stream is gone; nothing of it was recorded."
        if reason != "StreamEnded":
            words = f"It ended ({reason}) before anything was recorded."
        return _Verdict("Failed", "False", "NothingRecorded", words)
    if result is not None and result.state == "Failed":
        words = result.message or "The store could not finish the recording."
        return _Verdict("Failed", "False", FINALIZE_FAILED, words)
    if result is not None and result.state == "Done":
        for file in files:
            if file["state"] == "Failed":
                cause = file.get("message", "the store gave no cause")
                words = f"{file['name']} could not be made: {cause}"
                return _Verdict("Failed", "False", FINALIZE_FAILED, words)
            if file["state"] in _UNFINISHED and result.incomplete_message:
                words = f"{file['name']} could not be made. {result.incomplete_message}"
                return _Verdict("Failed", "False", FINALIZE_FAILED, words)
        return _Verdict("Completed", "True", reason, _count(files))
    return _Verdict("Finalizing", "Unknown", "Finalizing", "The store makes the files.")


def _count(files: Sequence[dict[str, Any]]) -> str:
    return "1 file is in the store." if len(files) == 1 else f"{len(files)} files are in the store."


# --------------------------------------------------------------------------- while it runs


def _running(status: RecorderStatus, files: list[dict[str, Any]]) -> Course:
    finalizing = any(f["state"] == "Finalizing" for f in files)
    phase, reason, words = {
        RecorderPhase.WAITING: (
            "Pending",
            "WaitingForStream",
            "Waiting for the stream to go on air.",
        ),
        RecorderPhase.RECORDING: ("Recording", "Recording", "Recording."),
        RecorderPhase.INTERRUPTED: (
            "Interrupted",
            "Interrupted",
            "The source is gone; if it returns in time, the same file goes on.",
        ),
        RecorderPhase.WAITING_FOR_RETURN: (
            "Finalizing" if finalizing else "Pending",
            "WaitingForReturn",
            "The stream went off air; its return opens the next file.",
        ),
    }.get(
        status.phase,
        ("Finalizing", "Closing", "The last chunks are on their way into the store."),
    )
    return Course(
        phase=phase,
        recording=status.phase in {RecorderPhase.RECORDING, RecorderPhase.INTERRUPTED},
        succeeded=Condition("Succeeded", "Unknown", reason, words),
        end_reason=None,
        terminal=False,
        files=files,
        from_recorder=status,
    )


def _uninformed(status: RecorderStatus, stored: Stored, files: list[dict[str, Any]]) -> Course:
    """The recorder is there, but the store has not told it what was recorded before."""
    known, phase = stored.as_condition("Succeeded"), stored.get("phase") or "Pending"
    if status.store_error is None:  # it has only just begun
        condition = known or _STARTING
        return Course(phase, bool(stored.get("recording")), condition, None, False, files, status)
    words = "Nobody can tell what was recorded before: the store does not answer."
    condition = Condition("Succeeded", "Unknown", "WaitingForStore", words)
    calm = "Interrupted" if phase == "Recording" else phase
    return Course(calm, False, condition, None, False, files, status)


_STARTING = Condition("Succeeded", "Unknown", "Starting", "The recorder is starting.")


def _unheard(observed: ObservedRecording, stored: Stored, files: list[dict[str, Any]]) -> Course:
    known, phase = stored.as_condition("Succeeded"), stored.get("phase")
    if known is not None and phase:
        if in_start_grace(observed.sample, observed.operator_uptime_seconds):
            return Course(phase, bool(stored.get("recording")), known, None, False, files)
        if stored.get("recordingStartedAt") or known.reason != "Starting":
            words = "The recorder has not been heard of for more than 10 s."
            stale = Condition("Succeeded", "Unknown", "Stale", words)
            calm = "Interrupted" if phase == "Recording" else phase
            return Course(calm, False, stale, None, False, files)
    return Course("Pending", False, _STARTING, None, False, files)
