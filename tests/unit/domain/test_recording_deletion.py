"""Recording: the waits of its finalizer, and their limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_media.contract import RecorderPhase
from tests.unit.domain.builders import (
    RecordingCase,
    at,
    make_livestream,
    make_mediastore,
    make_recording,
    recorded_file,
)

WAITING, RECORDING = RecorderPhase.WAITING, RecorderPhase.RECORDING
CLOSING, DONE = RecorderPhase.CLOSING, RecorderPhase.DONE


def running(seconds: float = 60.0, **spec: Any) -> RecordingCase:
    case = make_recording("r")
    case.raw["spec"] |= spec
    case.settled().recorder(WAITING).decide()
    case.recorder(RECORDING, recorded_file(seconds=seconds)).decide()
    return case


def finished(**spec: Any) -> RecordingCase:
    """Return a Recording whose MP4 is in the store."""
    case = running(**spec)
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=60), end_reason="Stopped")
    case.decide()
    case.stored("Done", recorded_file(state="Ready", seconds=60)).decide()
    case.decide()
    return case


def config(case: RecordingCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


# --------------------------------------------------------------------------- Retain


def test_deleting_a_running_recording_closes_it_and_keeps_everything() -> None:
    case = running(3).deleted()
    decision = case.decide()
    settings = config(case)
    assert (settings["desiredState"], settings["minimumSeconds"]) == ("Stopped", 0)
    assert decision.finalizer
    assert len(decision.pod_config_hashes) == 1
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=4), end_reason="Stopped")
    after = case.decide()
    assert not after.finalizer
    assert len(after.store_calls) == 1


def test_a_recorder_that_never_closes_has_a_minute() -> None:
    case = running().deleted()
    assert case.decide().requeue_after_seconds == pytest.approx(55)
    given_up = case.later(56).decide()
    (call,) = given_up.store_calls
    assert call.body["recorderGone"] is True
    assert not given_up.finalizer, "the engine removes the finalizer once the store acknowledged"


def test_a_recorder_that_never_answered_may_have_written() -> None:
    case = make_recording("r")
    case.decide()
    case.pod().deleted()
    assert case.decide().finalizer
    assert config(case)["desiredState"] == "Stopped"
    given_up = case.later(56).decide()
    assert [call.body["recorderGone"] for call in given_up.store_calls] == [True]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Unknown"])
def test_a_pod_that_has_run_may_have_written(phase: str) -> None:
    case = make_recording("r")
    case.decide()
    case.pod(phase=phase, ready=False).deleted()
    assert case.decide().finalizer


def test_a_job_without_pods_shows_whether_one_has_run() -> None:
    case = make_recording("r")
    case.decide()
    case.child("Job")["status"] = {"failed": 1}
    assert case.deleted().decide().finalizer


def test_chunks_that_wait_for_a_store_that_is_away_are_not_given_up() -> None:
    case = running().deleted()
    case.decide()
    file = recorded_file(state="Finalizing", seconds=60)
    case.later(300).recorder(CLOSING, file, pending_bytes=9, store_error="timed out")
    waiting = case.decide()
    assert waiting.finalizer
    assert waiting.store_calls == ()
    case.recorder(DONE, file, end_reason="Stopped")
    assert not case.decide().finalizer


def test_a_recorder_with_waiting_chunks_that_stops_answering_has_a_minute() -> None:
    file = recorded_file(seconds=60)
    case = running().recorder(RECORDING, file, pending_bytes=9).deleted()
    closing = case.decide()
    assert closing.requeue_after_seconds == pytest.approx(55), "nothing else starts the next pass"
    given_up = case.later(56).recorder(RECORDING, file, pending_bytes=9, age=56).decide()
    assert len(given_up.store_calls) == 1


def test_a_recorder_with_waiting_chunks_that_answers_is_looked_at_again() -> None:
    case = running().deleted()
    case.later(300).recorder(RECORDING, recorded_file(seconds=60), pending_bytes=9)
    assert case.decide().requeue_after_seconds == pytest.approx(5)


def test_a_store_that_never_answers_is_given_up_with_a_warning() -> None:
    case = running().deleted()
    assert case.later(600).decide().store_calls != ()
    given_up = case.later(60).decide()
    assert (given_up.finalizer, given_up.store_calls) == (False, ())
    (notice,) = given_up.notices
    assert (notice.type, notice.reason) == ("Warning", "StoreNotTold")
    assert "recordings/uid-r/" in notice.text


def test_without_its_mediastore_no_call_is_made() -> None:
    case = running().storeless().deleted()
    case.decide()
    let_go = case.later(56).decide()
    assert (let_go.finalizer, let_go.store_calls) == (False, ())


def test_deleting_a_recording_that_never_ran_takes_no_time() -> None:
    case = make_recording("r")
    case.decide()
    assert not case.deleted().decide().finalizer


def test_a_recorder_that_found_no_node_has_not_run() -> None:
    case = make_recording("r")
    case.decide()
    case.pod(phase="Pending", ready=False, ip=None, unschedulable_message="no node", since=at(0))
    assert not case.deleted().decide().finalizer


def test_a_recording_deleted_just_after_the_operators_start_waits_for_the_recorders_answer() -> (
    None
):
    case = make_recording("r")
    case.decide()
    case.pod().operator_restarted().deleted()
    assert case.decide().finalizer


def test_a_finished_recording_vanishes_at_once_and_keeps_its_files() -> None:
    case = finished()
    assert case.last is not None
    assert not case.last.finalizer
    gone = case.deleted().decide()
    assert (gone.finalizer, gone.store_calls) == (False, ())


# --------------------------------------------------------------------------- Delete


def test_with_delete_a_finished_recording_waits_for_the_deletion_of_its_files() -> None:
    case = finished(deletionPolicy="Delete")
    assert case.last is not None
    assert case.last.finalizer
    asked = case.deleted().decide()
    assert asked.finalizer
    assert [call.delete for call in asked.store_calls] == [False, True]
    assert asked.store_calls[0].body["recorderGone"] is True
    case.stored("Deleting")
    again = case.decide()
    assert again.finalizer
    assert [call.delete for call in again.store_calls] == [True]
    case.stored("Deleted")
    assert not case.decide().finalizer


def test_with_delete_a_running_recording_is_stopped_before_its_files_are_deleted() -> None:
    case = running(deletionPolicy="Delete").deleted()
    first = case.decide()
    assert config(case)["desiredState"] == "Stopped"
    assert (first.finalizer, first.store_calls) == (True, ())
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=60), end_reason="Stopped")
    after = case.decide()
    assert [(call.delete, call.body["recorderGone"]) for call in after.store_calls] == [
        (False, False),
        (True, False),
    ]
    assert after.finalizer


def test_with_delete_a_recorder_that_does_not_answer_is_deleted_first() -> None:
    case = running(deletionPolicy="Delete").deleted()
    case.decide()
    given_up = case.later(56).decide()
    assert [d.kind for d in given_up.deletions] == ["Job"]
    assert given_up.store_calls[0].body["recorderGone"] is True
    assert given_up.finalizer


def test_a_blocked_deletion_is_reported_every_ten_minutes() -> None:
    case = finished(deletionPolicy="Delete").deleted()
    case.facts["stored"] = None
    assert case.decide().notices == ()
    assert case.later(599).decide().notices == ()
    late = case.later(2).decide()
    (notice,) = late.notices
    assert (notice.type, notice.reason) == ("Warning", "DeletionBlocked")
    assert "The pod of MediaStore default does not answer." in notice.text
    assert "kubectl patch recording r --namespace=show --type=merge" in notice.text
    assert case.word("Stalled") == "True/DeletionBlocked"
    assert late.finalizer
    assert late.store_calls != (), "it is tried again"
    assert case.later(300).decide().notices == ()
    assert len(case.later(301).decide().notices) == 1


def test_the_trouble_of_the_store_is_the_cause() -> None:
    store = make_mediastore("default").named_claim("tapes")
    store.decide()
    case = finished(deletionPolicy="Delete").into(store).deleted()
    (notice,) = case.later(601).decide().notices
    assert "PersistentVolumeClaim tapes" in notice.text


def test_files_of_a_deleted_mediastore_stay_and_the_recording_vanishes() -> None:
    """Otherwise a namespace that is being deleted would wait without end."""
    case = finished(deletionPolicy="Delete").storeless().deleted()
    assert case.decide().finalizer, "it may be made again"
    let_go = case.later(601).decide()
    assert not let_go.finalizer
    assert [notice.reason for notice in let_go.notices] == ["FilesLeft"]


def test_with_delete_an_empty_recording_vanishes_at_once() -> None:
    case = make_recording("r")
    case.raw["spec"]["deletionPolicy"] = "Delete"
    case.decide()
    assert not case.deleted().decide().finalizer


def test_a_stream_that_is_gone_holds_nothing() -> None:
    case = finished().of(make_livestream("a")).stream_deleted()
    assert not case.deleted().decide().finalizer
