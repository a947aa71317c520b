"""The state of a Recording: a row of the lifecycle table, found from recorder, store and status.

In: the `RecordingFacts`. Out: a `Progress`, which names the state and the values that the status
shows for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluice_media.contract import (
    FileState,
    RecorderPhase,
    RecorderStatus,
    ResultState,
    StoredResult,
)
from sluice_operator.api.v1alpha1.reasons import EndReason, RecordingPhase, SucceededReason
from sluice_operator.domain.decision import Condition
from sluice_operator.domain.owner import Stored
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.files import OPEN_STATES, merged_files

_NO_SPACE = (
    "No space for recording the stream. Delete recordings, set their retention.seconds, or raise "
    "the MediaStore's limit. Then make a new Recording."
)

_RECORDER_ENDED = frozenset({ResultState.FINALIZING, ResultState.DONE, ResultState.FAILED})
"""States that a store reports only after the recorder has ended."""
_UNFINISHED = OPEN_STATES | {FileState.FINALIZING}

Files = list[dict[str, Any]]
"""Entries of ``status.files``."""


class RecordingState(StrEnum):
    """Rows of the lifecycle table. The state is the reason of Succeeded while that is Unknown."""

    STARTING = SucceededReason.STARTING.value
    """No recorder has answered yet."""
    WAITING_FOR_STREAM = SucceededReason.WAITING_FOR_STREAM.value
    """The stream is not on air yet."""
    RECORDING = SucceededReason.RECORDING.value
    INTERRUPTED = SucceededReason.INTERRUPTED.value
    """The source is lost; the resume window has not passed."""
    WAITING_FOR_RETURN = SucceededReason.WAITING_FOR_RETURN.value
    """The session ended; ``rearmSeconds`` have not passed."""
    CLOSING = SucceededReason.CLOSING.value
    """The recorder uploads its last chunks."""
    WAITING_FOR_STORE = SucceededReason.WAITING_FOR_STORE.value
    """The recorder began in a new pod, and the store does not return what was recorded before."""
    STALE = SucceededReason.STALE.value
    """The recorder does not answer any more."""
    FINALIZING = SucceededReason.FINALIZING.value
    """The recorder is done; the store makes the MP4s."""
    COMPLETED = RecordingPhase.COMPLETED.value
    DISCARDED = RecordingPhase.DISCARDED.value
    """The recording is too short to keep."""
    FAILED = RecordingPhase.FAILED.value
    """The requested files do not exist; only the user can act."""


_FINAL = frozenset({RecordingState.COMPLETED, RecordingState.DISCARDED, RecordingState.FAILED})
_FILE_IS_OPEN = frozenset({RecordingState.RECORDING, RecordingState.INTERRUPTED})


@dataclass(slots=True, frozen=True)
class Progress:
    """The state of a Recording at one moment, with the values that its status shows."""

    state: RecordingState
    phase: str
    succeeded: Condition
    files: Files
    end_reason: str | None = None
    """Set once the recorder's work is over."""
    from_recorder: RecorderStatus | None = None
    """The fresh answer of the recorder, when it was used."""

    @property
    def recording(self) -> bool:
        """A file is open, also during an interruption."""
        return self.state in _FILE_IS_OPEN

    @property
    def terminal(self) -> bool:
        return self.state in _FINAL

    @property
    def failed(self) -> bool:
        return self.state is RecordingState.FAILED


def progress_of(facts: RecordingFacts) -> Progress:
    """Combine the answers of recorder and store with the stored status."""
    recorder, result = facts.recorder, facts.observed.stored
    files = merged_files(
        facts.stored.get("files") or (),
        recorder.files if recorder else (),
        result.files if result else (),
    )
    end_reason = _end_reason(facts)
    if end_reason is not None:
        return _ended(facts, end_reason, files, recorder)
    if recorder is None:
        return _without_answer(facts, files)
    if recorder.earlier_unknown:
        return _without_history(facts, recorder, files)
    return _running(recorder, files)


def _end_reason(facts: RecordingFacts) -> str | None:
    """Return the reason for the end of the recorder's work; None while the recorder works."""
    known: str | None = facts.stored.get("endReason")
    if known:
        return known
    recorder = facts.recorder
    if recorder is not None and recorder.phase is RecorderPhase.DONE:
        return recorder.end_reason or EndReason.STREAM_ENDED
    by_default = EndReason.STOPPED if facts.stopped else EndReason.STREAM_ENDED
    result = facts.observed.stored
    if result is not None and result.state in _RECORDER_ENDED:
        # The recorder ended while the operator was down; the journal in the store has its reason.
        return result.end_reason or by_default
    nothing_can_come = facts.presence == "Gone" or facts.stopped
    if nothing_can_come and recorder is None and not _may_have_written(facts):
        return by_default
    return None


def _may_have_written(facts: RecordingFacts) -> bool:
    """Return whether there is, or was, a recorder."""
    observed = facts.observed
    job = any(kind == "Job" for kind, _ in observed.children)
    return job or bool(observed.pods) or facts.stored.get("recordingStartedAt") is not None


# --------------------------------------------------------------------------- after the end


def never_started(end_reason: str, reason: str, message: str) -> Progress:
    """Return the end of a Recording that has no recorder. ``reason`` is that of Succeeded=False."""
    succeeded = Condition("Succeeded", "False", reason, message)
    return Progress(RecordingState.FAILED, RecordingPhase.FAILED, succeeded, [], end_reason)


def no_space() -> Progress:
    """Return the end of a Recording that found no room to begin."""
    return never_started(EndReason.NO_SPACE, SucceededReason.NO_SPACE, _NO_SPACE)


def recorder_lost(facts: RecordingFacts) -> Progress:
    """Return the end of a Recording whose recorder cannot be started again; the store makes files
    of the chunks that it has."""
    result = facts.observed.stored
    files = merged_files(facts.stored.get("files") or (), (), result.files if result else ())
    return _ended(facts, EndReason.RECORDER_LOST, files, None)


@dataclass(slots=True, frozen=True)
class _Outcome:
    """The result after the recorder's end; FINALIZING until the store has made the files."""

    state: RecordingState
    reason: str
    message: str


def _ended(
    facts: RecordingFacts, end_reason: str, files: Files, recorder: RecorderStatus | None
) -> Progress:
    result = facts.observed.stored
    outcome = _final_outcome(facts.stored, result) or _outcome(end_reason, files, result)
    phase = outcome.state.value
    if outcome.state is RecordingState.FINALIZING:
        succeeded = Condition("Succeeded", "Unknown", outcome.reason, outcome.message)
    elif outcome.state is RecordingState.FAILED:
        succeeded = Condition("Succeeded", "False", outcome.reason, outcome.message)
    else:
        succeeded = Condition("Succeeded", "True", outcome.reason, outcome.message)
    return Progress(outcome.state, phase, succeeded, files, end_reason, recorder)


def _final_outcome(stored: Stored, result: StoredResult | None) -> _Outcome | None:
    """Return the stored outcome. It is final unless the store retries a file."""
    known = stored.as_condition("Succeeded")
    if known is None or known.status == "Unknown":
        return None
    if known.reason == SucceededReason.FINALIZE_FAILED and result is not None:
        return None
    if known.status == "False":
        state = RecordingState.FAILED
    elif stored.get("phase") == RecordingState.DISCARDED:
        state = RecordingState.DISCARDED
    else:
        state = RecordingState.COMPLETED
    return _Outcome(state, known.reason, known.message)


def _outcome(
    end_reason: str, files: Sequence[dict[str, Any]], result: StoredResult | None
) -> _Outcome:
    if end_reason == EndReason.TOO_SHORT:
        message = "Stopped with less media than minimumSeconds, so nothing is kept."
        return _Outcome(RecordingState.DISCARDED, SucceededReason.TOO_SHORT, message)
    if end_reason == EndReason.NO_SPACE and not files:
        return _Outcome(RecordingState.FAILED, SucceededReason.NO_SPACE, _NO_SPACE)
    if not files and (result is None or result.state in {ResultState.UNKNOWN, ResultState.DONE}):
        return _nothing_recorded(end_reason)
    if result is not None and result.state == ResultState.FAILED:
        message = result.message or "The store could not finish the recording."
        return _Outcome(RecordingState.FAILED, SucceededReason.FINALIZE_FAILED, message)
    if result is not None and result.state == ResultState.DONE:
        fault = _missing_file(files, result)
        if fault is not None:
            return _Outcome(RecordingState.FAILED, SucceededReason.FINALIZE_FAILED, fault)
        return _Outcome(RecordingState.COMPLETED, end_reason, _count(files))
    return _Outcome(
        RecordingState.FINALIZING, SucceededReason.FINALIZING, "The store makes the MP4 files."
    )


def _nothing_recorded(end_reason: str) -> _Outcome:
    if end_reason == EndReason.STOPPED:
        message = "Stopped before anything was recorded."
        return _Outcome(RecordingState.DISCARDED, SucceededReason.TOO_SHORT, message)
    message = "The stream ended before anything was recorded."
    if end_reason != EndReason.STREAM_ENDED:
        message = f"The Recording ended ({end_reason}) before anything was recorded."
    return _Outcome(RecordingState.FAILED, SucceededReason.NOTHING_RECORDED, message)


def _missing_file(files: Sequence[dict[str, Any]], result: StoredResult) -> str | None:
    """Return a sentence about the first MP4 that the store could not make."""
    for file in files:
        if file["state"] == FileState.FAILED:
            cause = file.get("message", "the store gave no cause")
            return f"{file['name']} could not be made: {cause}"
        if file["state"] in _UNFINISHED and result.incomplete_message:
            return f"{file['name']} could not be made. {result.incomplete_message}"
    return None


def _count(files: Sequence[dict[str, Any]]) -> str:
    return "1 file is in the store." if len(files) == 1 else f"{len(files)} files are in the store."


# --------------------------------------------------------------------------- while it runs

_STATE_IN_PHASE = {
    RecorderPhase.WAITING: RecordingState.WAITING_FOR_STREAM,
    RecorderPhase.RECORDING: RecordingState.RECORDING,
    RecorderPhase.INTERRUPTED: RecordingState.INTERRUPTED,
    RecorderPhase.WAITING_FOR_RETURN: RecordingState.WAITING_FOR_RETURN,
}
_PHASES = {
    RecordingState.WAITING_FOR_STREAM: RecordingPhase.PENDING,
    RecordingState.RECORDING: RecordingPhase.RECORDING,
    RecordingState.INTERRUPTED: RecordingPhase.INTERRUPTED,
    RecordingState.WAITING_FOR_RETURN: RecordingPhase.PENDING,
    RecordingState.CLOSING: RecordingPhase.FINALIZING,
}
_MESSAGES = {
    RecordingState.STARTING: "The recorder is starting.",
    RecordingState.WAITING_FOR_STREAM: "Waiting for the stream to go on air.",
    RecordingState.RECORDING: "Recording.",
    RecordingState.INTERRUPTED: (
        "The source was lost. The same file continues if it returns within the stream's "
        "resumeWindowSeconds."
    ),
    RecordingState.WAITING_FOR_RETURN: (
        "The stream went off air. The next file begins if it returns within rearmSeconds."
    ),
    RecordingState.CLOSING: "The recorder uploads its last chunks to the store.",
    RecordingState.WAITING_FOR_STORE: (
        "The store does not answer, so the recorder does not know what was recorded before. It "
        "continues when the store answers."
    ),
    RecordingState.STALE: (
        "The recorder has not answered for more than 10 s; it may still be recording."
    ),
}


def _unknown(state: RecordingState) -> Condition:
    return Condition("Succeeded", "Unknown", state.value, _MESSAGES[state])


def _running(recorder: RecorderStatus, files: Files) -> Progress:
    state = _STATE_IN_PHASE.get(recorder.phase, RecordingState.CLOSING)
    phase = _PHASES[state]
    finalizing = any(file["state"] == FileState.FINALIZING for file in files)
    if state is RecordingState.WAITING_FOR_RETURN and finalizing:
        phase = RecordingPhase.FINALIZING
    return Progress(state, phase, _unknown(state), files, from_recorder=recorder)


def _without_history(facts: RecordingFacts, recorder: RecorderStatus, files: Files) -> Progress:
    """The recorder runs in a new pod, and the store has not returned what was recorded before."""
    if recorder.store_error is None:  # it has only just begun
        return _kept(facts, files, recorder)
    return _not_measured(facts, RecordingState.WAITING_FOR_STORE, files, recorder)


def _without_answer(facts: RecordingFacts, files: Files) -> Progress:
    known = facts.stored.as_condition("Succeeded")
    if known is not None and facts.stored.get("phase"):
        if facts.in_start_grace:
            return _kept(facts, files)
        if facts.stored.get("recordingStartedAt") or known.reason != RecordingState.STARTING:
            return _not_measured(facts, RecordingState.STALE, files)
    starting = RecordingState.STARTING
    return Progress(starting, RecordingPhase.PENDING, _unknown(starting), files)


def _kept(facts: RecordingFacts, files: Files, recorder: RecorderStatus | None = None) -> Progress:
    """Return the stored state, because the recorder is about to answer."""
    known = facts.stored.as_condition("Succeeded") or _unknown(RecordingState.STARTING)
    phase = facts.stored.get("phase") or RecordingPhase.PENDING
    return Progress(_stored_state(known), phase, known, files, from_recorder=recorder)


def _stored_state(succeeded: Condition) -> RecordingState:
    try:
        return RecordingState(succeeded.reason)
    except ValueError:  # a status of another version
        return RecordingState.STARTING


def _not_measured(
    facts: RecordingFacts,
    state: RecordingState,
    files: Files,
    recorder: RecorderStatus | None = None,
) -> Progress:
    """Return the stored phase, without an open file."""
    phase = facts.stored.get("phase") or RecordingPhase.PENDING
    phase = RecordingPhase.INTERRUPTED if phase == RecordingPhase.RECORDING else phase
    return Progress(state, phase, _unknown(state), files, from_recorder=recorder)
