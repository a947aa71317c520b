"""Recording: made anew, from Git or a backup, while its store holds the files of the former one."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_media.contract import RecordedFile, StoredResult
from sluice_operator.domain.recording.store_calls import farewell
from tests.unit.domain.builders import (
    RecordingCase,
    at,
    make_mediastore,
    make_recording,
    recorded_file,
)

FORMER = "uid-former"


def ready_file(index: int = 1, **more: Any) -> RecordedFile:
    return recorded_file(
        index, "Ready", 60.0, size_bytes=1000, uri=f"s3://b/{index}.mp4", ended_at=at(60), **more
    )


def held(case: RecordingCase, *files: RecordedFile) -> RecordingCase:
    """Return a Recording whose store holds an earlier one of its name."""
    former = StoredResult(
        uid=FORMER,
        state="Done",
        files=list(files),
        end_reason="StreamEnded",
        recording_started_at=at(-86_400),
    )
    case.facts |= {"former": former, "stored": former}
    return case


def asked_again(case: RecordingCase) -> RecordingCase:
    """Prepare the next pass, in which only the result of the uid in the status is requested."""
    case.facts |= {"former": None}
    return case


def kinds(case: RecordingCase) -> set[str]:
    assert case.last is not None
    return {child.manifest["kind"] for child in case.last.children}


def test_a_recording_that_the_store_holds_is_not_recorded_anew() -> None:
    case = held(make_recording("r"), ready_file(1), ready_file(2))
    decision = case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Completed", "Restored")
    assert case.word("Succeeded") == "True/Restored"
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Finished", "")
    assert [f["uri"] for f in case.status["files"]] == ["s3://b/1.mp4", "s3://b/2.mp4"]
    assert case.status["restoredUid"] == FORMER
    assert (case.status["fileCount"], case.status["sizeBytes"]) == (2, 2000)
    assert case.status["recordingDuration"] == 120.0
    assert case.status["recordingStartedAt"].startswith("2026")
    assert (kinds(case), decision.finalizer, decision.store_calls) == (set(), False, ())
    assert decision.event_reasons["Succeeded"] == "Normal"
    succeeded = case.condition("Succeeded")
    assert succeeded is not None
    assert "sluice.video/restart" in succeeded.message
    before = case.raw["status"]
    asked_again(case).later(3600).decide()
    assert case.raw["status"] == before


@pytest.mark.parametrize("change", ["stream deleted", "stopped"])
def test_it_stays_so_whatever_becomes_of_its_stream(change: str) -> None:
    case = held(make_recording("r"), ready_file())
    case.decide()
    asked_again(case)
    if change == "stream deleted":
        case.stream_deleted()
    else:
        case.spec(desiredState="Stopped")
    case.decide()
    assert (case.status["phase"], case.word("Succeeded")) == ("Completed", "True/Restored")


def test_one_that_must_find_its_stream_live_is_restored_all_the_same() -> None:
    case = held(make_recording("r"), ready_file())
    case.raw["spec"]["startWhenLive"] = False
    case.facts["former"], former = None, case.facts["former"]
    case.facts |= {"former_asked_seconds": 0.0, "stored": None}
    case.decide()
    assert (case.status["phase"], kinds(case)) == ("Pending", set())
    case.facts |= {"former_asked_seconds": None, "former": former, "stored": former}
    case.decide()
    assert case.word("Succeeded") == "True/Restored"


def test_no_recorder_is_made_before_the_store_has_answered() -> None:
    case = make_recording("r")
    case.facts["former_asked_seconds"] = 0.0
    decision = case.decide()
    assert (kinds(case), case.word("Ready")) == (set(), "Unknown/Starting")
    assert decision.requeue_after_seconds == pytest.approx(2)
    ready = case.condition("Ready")
    assert ready is not None
    assert ready.message == (
        "Checking whether MediaStore default already holds a Recording of this name."
    )
    case.facts["former_asked_seconds"] = None
    case.later(3).decide()
    assert "Job" in kinds(case)


@pytest.mark.parametrize("skew_seconds", [0, 3600, -3600])
def test_a_store_that_does_not_answer_for_two_minutes_is_not_waited_for(skew_seconds: int) -> None:
    """The operator measures the time: creation times are by the clock of the API server."""
    case = make_recording("r").later(skew_seconds)
    case.facts["former_asked_seconds"] = 0.0
    case.decide()
    assert kinds(case) == set()
    case.facts["former_asked_seconds"] = 119.0
    assert case.later(119).decide().requeue_after_seconds == pytest.approx(1)
    case.facts["former_asked_seconds"] = 120.0
    case.later(1).decide()
    assert "Job" in kinds(case)


def test_the_trouble_of_the_store_is_shown_while_it_is_waited_for() -> None:
    case = make_recording("r")
    store = make_mediastore("default")
    store.raw["status"] = {
        "conditions": [
            {"type": "Stalled", "status": "True", "reason": "NoSuchBucket", "message": "No bucket."}
        ]
    }
    case.into(store).facts["former_asked_seconds"] = 0.0
    decision = case.decide()
    assert case.word("Stalled") == "True/StoreNotReady"
    assert kinds(case) == set()
    assert decision.requeue_after_seconds == pytest.approx(2)


def test_the_restart_annotation_starts_a_new_one_and_frees_the_name_first() -> None:
    case = held(make_recording("r"), ready_file())
    case.decide()
    asked_again(case).annotated(restart="1")
    first = case._decide()
    (call,) = first.store_calls
    assert (call.body["uid"], call.body["deleted"]) == (FORMER, True)
    assert (call.body["name"], call.body["namespace"]) == ("r", "show")
    assert first.status["endReason"] == "Restored"
    assert first.children == ()
    assert first.requeue_after_seconds == pytest.approx(0.1)
    del case.raw["status"]["restoredUid"]  # the store was told
    case.decide()
    assert "Job" in kinds(case)
    assert (case.status["phase"], case.status.get("files")) == ("Pending", None)
    assert case.status.get("endReason") is None
    case.facts["stored"] = None
    case.decide()
    assert case.status["phase"] == "Pending", "it is a Recording like any other now"


def test_its_files_are_kept_and_deleted_under_their_former_uid() -> None:
    case = held(make_recording("r"), ready_file())
    case.raw["spec"]["deletionPolicy"] = "Delete"
    assert case.decide().finalizer
    asked_again(case).spec(retention={"seconds": 60})
    (call,) = case.decide().store_calls
    assert (call.body["uid"], call.body["prefix"]) == (FORMER, f"recordings/{FORMER}")
    assert call.body["retentionSeconds"] == 60
    calls = case.deleted().decide().store_calls
    assert [(c.delete, c.body["uid"], c.body["deleted"]) for c in calls] == [
        (False, FORMER, True),
        (True, FORMER, True),
    ]
    case.facts["stored"] = StoredResult(uid=FORMER, state="Deleted")
    assert not case.decide().finalizer


def test_the_store_is_told_that_the_name_of_a_deleted_recording_is_free() -> None:
    case = make_recording("r")
    assert farewell(case.raw) is None, "nothing was recorded"
    case.raw["status"] = {"endReason": "Stopped", "files": [{"index": 1, "state": "Ready"}]}
    call = farewell(case.raw)
    assert call is not None
    assert (call.body["uid"], call.body["deleted"], call.delete) == ("uid-r", True, False)
    assert call.body["recorderGone"]
    case.raw["status"]["restoredUid"] = FORMER
    call = farewell(case.raw)
    assert call is not None
    assert call.body["uid"] == FORMER
