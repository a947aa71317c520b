"""Recording: its recorder, its store, missing references, and its deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_media.contract import Gap, RecorderPhase
from tests.unit.domain.builders import (
    RecordingCase,
    make_livestream,
    make_mediastore,
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


def config(case: RecordingCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


# --------------------------------------------------------------------------- the recorder


def test_waiting_for_the_stream_is_ready() -> None:
    assert up().word("Ready") == "True/Configured"


def test_the_recorders_configuration_has_place_and_start() -> None:
    case = up()
    settings = config(case)
    assert settings["prefix"] == "recordings/uid-r"
    assert settings["createdAt"] == case.raw["metadata"]["creationTimestamp"]
    assert settings["desiredState"] == "Recording"
    assert settings["stream"]["host"] == "a-ingest.show.svc.cluster.local."
    assert settings["stream"]["uid"] == "uid-a"


def test_a_job_is_made_once_and_never_applied_again() -> None:
    decision = make_recording("r").decide()
    job = next(c for c in decision.children if c.manifest["kind"] == "Job")
    assert job.create_only
    assert job.manifest["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    assert job.manifest["spec"]["backoffLimit"] == 2_147_483_647
    assert decision.finalizer


def test_a_stop_reaches_the_recorder_as_configuration_and_is_latched() -> None:
    case = running().spec(desiredState="Stopped")
    decision = case.decide()
    assert config(case)["desiredState"] == "Stopped"
    assert len(decision.pod_config_hashes) == 1
    assert case.word("StopLatched") == "True/Stopped"
    case.spec(desiredState="Recording").decide()
    assert config(case)["desiredState"] == "Stopped"
    latched = case.condition("StopLatched")
    assert latched is not None
    assert "make a new Recording" in latched.message


def test_a_stop_does_not_wait_for_a_store_that_is_missing() -> None:
    case = running()
    case.facts["store"] = None
    case.spec(storeRef={"name": "gone"}, desiredState="Stopped").decide()
    assert config(case)["desiredState"] == "Stopped"


def test_a_deleted_stream_ends_the_recording_through_its_recorder() -> None:
    case = running().stream_deleted()
    decision = case.decide()
    assert "stream" not in config(case)
    assert decision.finalizer
    assert case.status["streamUid"] == "uid-a"


def test_a_stream_made_anew_under_the_name_is_another_stream() -> None:
    case = running()
    other = make_livestream("a")
    other.raw["metadata"]["uid"] = "uid-of-another"
    case.of(other).decide()
    assert "stream" not in config(case)
    assert case.status["streamUid"] == "uid-a"


def test_a_stream_that_never_had_a_recorder_and_goes_ends_it_at_once() -> None:
    case = make_recording("r")
    case.facts["hub_token"] = None
    case.decide()
    case.stream_deleted().decide()
    assert case.word("Succeeded") == "False/NothingRecorded"


def test_the_end_is_written_before_the_recorder_is_deleted() -> None:
    case = running().recorder(DONE, recorded_file(state="Finalizing"), end_reason="Stopped")
    first = case.decide()
    assert first.deletions == ()
    assert first.requeue_after_seconds == pytest.approx(0.1), "nothing else may happen"
    second = case.decide()
    assert {d.kind for d in second.deletions} == {"Job", "ConfigMap", "Secret"}
    assert {d.uid for d in second.deletions} == {"uid-r-record"}
    assert [d.reason for d in second.deletions if d.reason] == ["RecorderFinished"], "one event"
    assert case.decide().deletions == ()


def test_the_finalizer_is_there_until_the_chunks_are_closed() -> None:
    case = running()
    assert case.last is not None
    assert case.last.finalizer
    case.recorder(DONE, recorded_file(state="Finalizing"), end_reason="Stopped")
    assert not case.decide().finalizer


def test_the_verdict_of_a_finished_recording_never_changes() -> None:
    case = done("Stopped").stored("Done", recorded_file(state="Ready", seconds=60, size_bytes=9))
    case.decide()
    before = case.raw["status"]
    case.facts |= {"stored": None, "sample": None, "store": None, "stream": None}
    case.no_pod().later(100_000).decide()
    assert case.raw["status"] == before


# --------------------------------------------------------------------------- the store


def test_the_store_is_told_of_a_file_as_soon_as_it_is_closed() -> None:
    case = running()
    assert case.last is not None
    assert case.last.store_calls == ()
    case.recorder(RETURN, recorded_file(state="Finalizing", seconds=60))
    (call,) = case.decide().store_calls
    assert call.store_name == "default"
    assert call.body == {
        "uid": "uid-r",
        "name": "r",
        "namespace": "show",
        "prefix": "recordings/uid-r",
        "deleted": False,
        "recorderGone": False,
        "retentionSeconds": None,
        "keepOriginal": False,
        "originalSeconds": 604_800.0,
    }


def test_the_store_is_told_of_the_end_even_if_it_has_looked_before() -> None:
    case = done("Stopped")
    case.decide()
    assert case.last is not None
    (call,) = case.last.store_calls
    # The store has answered a request for its result, but was not told of the end.
    case.stored("Finalizing", recorded_file(state="Finalizing", seconds=60))
    (again,) = case.decide().store_calls
    assert again.occasion == call.occasion
    case.stored("Done", recorded_file(state="Ready", seconds=60))
    assert case.decide().store_calls == ()


def test_without_its_mediastore_a_finished_recording_is_stalled_after_a_minute() -> None:
    case = done("Stopped")
    case.facts["store"] = None
    case.decide()
    assert case.word("Ready") == "Unknown/StoreNotFound"
    case.later(61).decide()
    assert case.word("Stalled") == "True/StoreNotFound"


def test_the_store_makes_the_files_final_and_keeps_the_gaps() -> None:
    gap = Gap(at_seconds=60, wall_seconds=6.2)
    case = running().recorder(
        DONE, recorded_file(state="Finalizing", seconds=66, gaps=[gap]), end_reason="Stopped"
    )
    case.decide()
    ready = recorded_file(state="Ready", seconds=66.01, size_bytes=5, sha256="ab", uri="pvc://c/x")
    case.stored("Done", ready).decide()
    (file,) = case.status["files"]
    assert file["gaps"] == [{"atSeconds": 60, "wallSeconds": 6.2}]
    assert (file["state"], file["sizeBytes"], file["uri"]) == ("Ready", 5, "pvc://c/x")


# --------------------------------------------------------------------------- what may be missing


def test_an_unknown_stream_is_reconciling_and_then_stalled() -> None:
    case = make_recording("r").stream_deleted()
    decision = case.decide()
    assert case.word("Ready") == "Unknown/StreamNotFound"
    assert decision.children == ()
    assert not decision.finalizer
    assert decision.requeue_after_seconds == pytest.approx(60)
    case.later(61).decide()
    assert case.word("Stalled") == "True/StreamNotFound"
    case.of(make_livestream("a")).decide()
    assert case.word("Stalled") == ""


def test_a_namespace_without_a_mediastore_gets_one() -> None:
    case = make_recording("r")
    case.facts["store"] = None
    (child,) = case.decide().children
    assert (child.owned, child.create_only) == (False, True)
    assert child.manifest["kind"] == "MediaStore"
    assert child.manifest["metadata"] == {"name": "default", "namespace": "show"}
    assert case.word("Ready") == "Unknown/Starting"


@pytest.mark.parametrize("switched_off", [True, False])
def test_a_missing_mediastore_is_reconciling_and_then_stalled(switched_off: bool) -> None:
    case = make_recording("r")
    case.facts["store"] = None
    if switched_off:
        case.settings(default_store=None)
    else:
        case.spec(storeRef={"name": "archive"})
    case.decide()
    case.later(61).decide()
    assert case.word("Stalled") == "True/StoreNotFound"


def test_the_trouble_of_a_stalled_mediastore_is_the_cause() -> None:
    store = make_mediastore("default").named_claim("tapes")
    store.decide()
    case = make_recording("r").into(store)
    case.decide()
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.reason == "StoreNotReady"
    assert "PersistentVolumeClaim tapes" in stalled.message


def test_a_name_conflict_is_stalled() -> None:
    case = make_recording("r").conflict("Job", "record")
    assert case.decide().children == ()
    assert case.word("Stalled") == "True/NameConflict"


# --------------------------------------------------------------------------- ticks


def test_a_duration_that_only_ticks_is_written_every_ten_seconds() -> None:
    case = running(60)
    case.later(4).recorder(RECORDING, recorded_file(seconds=64))
    held = case.decide()
    assert held.status["recordingDuration"] == 60
    assert held.requeue_after_seconds == pytest.approx(6)
    case.later(6).recorder(RECORDING, recorded_file(seconds=70))
    assert case.decide().status["recordingDuration"] == 70
    assert case.status["observedAt"] == text(10)


def test_a_transition_brings_the_duration_up_to_date_at_once() -> None:
    case = running(60).later(4)
    case.recorder(INTERRUPTED, recorded_file(state="Interrupted", seconds=64)).decide()
    assert case.status["recordingDuration"] == 64


def test_an_unchanged_duration_is_not_written_again() -> None:
    case = running(60)
    case.recorder(INTERRUPTED, recorded_file(state="Interrupted", seconds=64)).decide()
    before = case.raw["status"]
    case.later(100).recorder(INTERRUPTED, recorded_file(state="Interrupted", seconds=64)).decide()
    assert case.raw["status"] == before


def test_transitions_make_events_and_the_start_makes_none() -> None:
    case = make_recording("r")
    assert case.decide().event_reasons == {}
    case.pod().recorder(WAITING)
    assert case.decide().event_reasons == {}
    assert case.recorder(RECORDING, recorded_file()).decide().event_reasons == {
        "Succeeded": "Normal"
    }


@pytest.mark.parametrize(
    ("state", "want"), [("Done", {"Succeeded": "Normal"}), ("Failed", {"Succeeded": "Warning"})]
)
def test_the_end_is_an_event_however_it_ends(state: str, want: dict[str, str]) -> None:
    case = done("Stopped").stored(state, recorded_file(state="Ready", seconds=60))
    assert case.decide().event_reasons == want
