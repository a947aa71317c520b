"""Recording: its end when its recorder cannot be started."""

from __future__ import annotations

import pytest

from sluice_media.contract import RecorderPhase
from tests.unit.domain.builders import RecordingCase, at, make_recording, recorded_file


def unschedulable(seconds: float = 130) -> RecordingCase:
    """Return a Recording whose recorder finds no node."""
    case = make_recording("r")
    case.decide()
    case.pod(phase="Pending", ready=False, ip=None, unschedulable_message="no node", since=at(0))
    case.later(seconds).decide()
    return case


def test_a_stop_ends_a_recording_whose_recorder_could_not_be_started() -> None:
    case = unschedulable()
    assert case.word("Stalled") == "True/Unschedulable"
    case.spec(desiredState="Stopped")
    first = case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Failed", "Stopped")
    assert case.word("Succeeded") == "False/NothingRecorded"
    assert case.word("Ready") == "False/NothingRecorded"
    assert case.word("Stalled") == "True/NothingRecorded"
    succeeded = case.condition("Succeeded")
    assert succeeded is not None
    assert succeeded.message.endswith("No node can run the recorder: no node")
    assert first.event_reasons["Succeeded"] == "Warning"
    assert (first.finalizer, first.deletions) == (False, ())
    assert first.requeue_after_seconds == pytest.approx(0.1)
    second = case.decide()
    assert {d.kind for d in second.deletions} == {"Job", "ConfigMap", "Secret"}
    before = case.raw["status"]
    assert case.no_pod().decide().deletions == ()
    assert case.raw["status"] == before


def test_the_end_of_its_stream_ends_it_too() -> None:
    case = unschedulable().stream_deleted()
    case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Failed", "StreamEnded")
    assert case.word("Succeeded") == "False/NothingRecorded"


def test_a_recorder_that_starts_slowly_still_carries_out_the_stop() -> None:
    """The ring still holds the media since the Recording's creation."""
    case = unschedulable(20).spec(desiredState="Stopped")
    decision = case.decide()
    assert (case.status["phase"], case.word("Stalled")) == ("Pending", "")
    assert decision.requeue_after_seconds == pytest.approx(100)


def test_an_operator_that_just_started_asks_the_recorder_first() -> None:
    case = unschedulable().operator_restarted().spec(desiredState="Stopped")
    case.pod().decide()
    assert case.status["phase"] == "Pending"


def lost() -> RecordingCase:
    """Return a Recording that ran for a minute, and whose recorder then found no node."""
    case = make_recording("r")
    case.settled().recorder(RecorderPhase.RECORDING, recorded_file(seconds=60)).decide()
    case.pod("pod-2", phase="Pending", ready=False, unschedulable_message="no node", since=at(0))
    case.later(200, in_touch=False).decide()
    assert case.word("Stalled") == "True/Unschedulable"
    return case


def test_the_media_of_a_lost_recorder_becomes_a_file_at_the_stop() -> None:
    case = lost().spec(desiredState="Stopped")
    first = case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Finalizing", "RecorderLost")
    assert [call.body["recorderGone"] for call in first.store_calls] == [False]
    assert case.decide().deletions != ()
    (call,) = case.no_pod().decide().store_calls
    assert call.body["recorderGone"] is True, "only once it is"
    case.stored("Done", recorded_file(state="Ready", seconds=60)).decide()
    assert (case.status["phase"], case.word("Succeeded")) == ("Completed", "True/RecorderLost")


def test_until_the_stop_a_lost_recorder_is_waited_for() -> None:
    assert lost().status.get("endReason") is None


def test_a_recorder_that_answers_is_the_one_to_end_it() -> None:
    case = make_recording("r")
    case.settled().recorder(RecorderPhase.RECORDING, recorded_file(seconds=60)).decide()
    case.recorder(RecorderPhase.RECORDING, recorded_file(seconds=60), config_error="unreadable")
    case.spec(desiredState="Stopped").decide()
    assert case.word("Stalled") == "True/InvalidConfiguration"
    assert case.status.get("endReason") is None
