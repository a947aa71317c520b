"""Recording, row by row of the lifecycle table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice_media.contract import Gap, RecorderPhase
from tests.unit.domain.builders import (
    RecordingCase,
    make_recording,
    recorded_file,
    text,
)

WAITING, RECORDING = RecorderPhase.WAITING, RecorderPhase.RECORDING
INTERRUPTED, RETURN = RecorderPhase.INTERRUPTED, RecorderPhase.WAITING_FOR_RETURN
DONE = RecorderPhase.DONE


def up() -> RecordingCase:
    """Return a Recording whose recorder waits for the stream."""
    case = make_recording("r")
    case.settled().recorder(WAITING).decide()
    return case


def running(seconds: float = 60.0) -> RecordingCase:
    case = up()
    case.recorder(RECORDING, recorded_file(seconds=seconds)).decide()
    return case


def done(reason: str, *files: Any) -> RecordingCase:
    case = running()
    files = files or (recorded_file(state="Finalizing", seconds=60),)
    case.recorder(DONE, *files, end_reason=reason).decide()
    return case


# --------------------------------------------------------------------------- the table


@dataclass(slots=True, frozen=True)
class Row:
    case: RecordingCase
    want_phase: str
    want_recording: bool
    want_succeeded: str
    want: dict[str, Any] = field(default_factory=dict)


def made_while_the_stream_is_off_air() -> Row:
    return Row(up(), "Pending", False, "Unknown/WaitingForStream")


def on_air() -> Row:
    case = up().recorder(RECORDING, recorded_file(seconds=4.2))
    return Row(
        case,
        "Recording",
        True,
        "Unknown/Recording",
        {"recordingDuration": 4.2, "recordingStartedAt": text(0), "fileCount": 1},
    )


def interrupted_inside_the_window() -> Row:
    file = recorded_file(state="Interrupted", seconds=60)
    return Row(
        running().recorder(INTERRUPTED, file),
        "Interrupted",
        True,
        "Unknown/Interrupted",
        {"recordingDuration": 60.0},
    )


def back_inside_the_window() -> Row:
    file = recorded_file(seconds=66, gaps=[Gap(at_seconds=60, wall_seconds=6.2)])
    return Row(
        running().recorder(RECORDING, file),
        "Recording",
        True,
        "Unknown/Recording",
        {"fileCount": 1},
    )


def window_passed_and_the_file_is_being_made() -> Row:
    file = recorded_file(state="Finalizing", seconds=60, end_reason="SessionEnded")
    return Row(running().recorder(RETURN, file), "Finalizing", False, "Unknown/WaitingForReturn")


def window_passed_and_the_file_is_there() -> Row:
    file = recorded_file(state="Finalizing", seconds=60, end_reason="SessionEnded")
    case = running().recorder(RETURN, file)
    case.decide()
    case.stored("Open", recorded_file(state="Ready", seconds=60, size_bytes=7, sha256="ab"))
    return Row(case, "Pending", False, "Unknown/WaitingForReturn", {"sizeBytes": 7})


def the_return_opens_the_next_file() -> Row:
    first = recorded_file(state="Finalizing", seconds=60)
    case = running().recorder(RETURN, first)
    case.decide()
    return Row(
        case.recorder(RECORDING, first, recorded_file(2, seconds=5)),
        "Recording",
        True,
        "Unknown/Recording",
        {"recordingDuration": 65.0, "fileCount": 2},
    )


def nobody_returns() -> Row:
    return Row(
        done("StreamEnded"), "Finalizing", False, "Unknown/Finalizing", {"endReason": "StreamEnded"}
    )


def nobody_returned_and_the_files_are_there() -> Row:
    case = done("StreamEnded").stored("Done", recorded_file(state="Ready", seconds=60.1))
    return Row(case, "Completed", False, "True/StreamEnded", {"recordingDuration": 60.1})


def stopped() -> Row:
    return Row(done("Stopped"), "Finalizing", False, "Unknown/Finalizing")


def stopped_and_the_files_are_there() -> Row:
    case = done("Stopped").stored("Done", recorded_file(state="Ready", seconds=60))
    return Row(case, "Completed", False, "True/Stopped")


def stopped_too_soon() -> Row:
    case = done("TooShort", recorded_file(state="Discarded", seconds=3))
    return Row(case, "Discarded", False, "True/TooShort")


def stopped_before_anything_was_there() -> Row:
    case = up().recorder(DONE, end_reason="Stopped")
    return Row(case, "Discarded", False, "True/TooShort")


def the_stream_is_deleted_before_anything_was_there() -> Row:
    case = up().stream_deleted().recorder(DONE, end_reason="StreamEnded")
    return Row(case, "Failed", False, "False/NothingRecorded")


def a_file_could_not_be_made() -> Row:
    case = done("Stopped").stored("Failed", message="disk full")
    return Row(case, "Failed", False, "False/FinalizeFailed")


def a_file_could_be_made_after_all() -> Row:
    case = done("Stopped").stored("Failed", message="disk full")
    case.decide()
    return Row(
        case.stored("Done", recorded_file(state="Ready", seconds=60)),
        "Completed",
        False,
        "True/Stopped",
    )


def a_newer_store_uses_words_that_are_not_known() -> Row:
    case = done("Stopped").stored("Archiving", recorded_file(state="Archived", seconds=60))
    return Row(case, "Finalizing", False, "Unknown/Finalizing", {"fileCount": 1})


def a_newer_store_is_done_with_a_file_in_an_unknown_state() -> Row:
    case = done("Stopped").stored("Archiving", recorded_file(state="Archived", seconds=60))
    case.decide()
    case.stored("Done", recorded_file(state="Archived", seconds=60))
    return Row(case, "Completed", False, "True/Stopped", {"recordingDuration": 60.0})


def the_recorder_ended_while_nobody_listened() -> Row:
    case = running().operator_restarted()
    case.stored("Done", recorded_file(state="Ready", seconds=90), end_reason="Stopped")
    return Row(
        case,
        "Completed",
        False,
        "True/Stopped",
        {"recordingDuration": 90.0, "endReason": "Stopped"},
    )


def the_recorder_is_away_for_a_moment() -> Row:
    return Row(running().no_pod().later(9, in_touch=False), "Recording", True, "Unknown/Recording")


def the_recorder_is_away_for_long() -> Row:
    return Row(running().no_pod().later(11, in_touch=False), "Interrupted", False, "Unknown/Stale")


def the_operator_was_away() -> Row:
    return Row(running().later(600).operator_restarted(), "Recording", True, "Unknown/Recording")


ROWS = [
    made_while_the_stream_is_off_air,
    on_air,
    interrupted_inside_the_window,
    back_inside_the_window,
    window_passed_and_the_file_is_being_made,
    window_passed_and_the_file_is_there,
    the_return_opens_the_next_file,
    nobody_returns,
    nobody_returned_and_the_files_are_there,
    stopped,
    stopped_and_the_files_are_there,
    stopped_too_soon,
    stopped_before_anything_was_there,
    the_stream_is_deleted_before_anything_was_there,
    a_file_could_not_be_made,
    a_file_could_be_made_after_all,
    a_newer_store_uses_words_that_are_not_known,
    a_newer_store_is_done_with_a_file_in_an_unknown_state,
    the_recorder_ended_while_nobody_listened,
    the_recorder_is_away_for_a_moment,
    the_recorder_is_away_for_long,
    the_operator_was_away,
]


@pytest.mark.parametrize("make_row", ROWS, ids=lambda make: make.__name__)
def test_each_row_of_the_lifecycle(make_row: Any) -> None:
    row: Row = make_row()
    row.case.decide()
    status = row.case.status
    assert status["phase"] == row.want_phase
    assert status["recording"] is row.want_recording
    assert row.case.word("Succeeded") == row.want_succeeded
    assert {key: status.get(key) for key in row.want} == row.want
