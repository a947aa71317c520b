"""Recording: the conditions of its store, the place of its recorder, and its retention."""

from __future__ import annotations

import json
from typing import Any

from sluice_media.contract import RecorderPhase
from tests.unit.domain.builders import (
    RecordingCase,
    StoreCase,
    at,
    make_mediastore,
    make_recording,
    recorded_file,
    text,
)

RECORDING, DONE = RecorderPhase.RECORDING, RecorderPhase.DONE
GIB, MIB = 1 << 30, 1 << 20


def store(**facts: Any) -> StoreCase:
    case = make_mediastore("default").own_claim()
    case.settled().store(**facts)
    return case


def running(**facts: Any) -> RecordingCase:
    case = make_recording("r")
    case.settled().recorder(RECORDING, recorded_file(seconds=60), **facts).decide()
    return case


def finished(**spec: Any) -> RecordingCase:
    case = make_recording("r")
    case.raw["spec"] |= spec
    case.settled().recorder(RECORDING, recorded_file(seconds=60)).decide()
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=60), end_reason="Stopped")
    case.decide()
    case.stored("Done", recorded_file(state="Ready", seconds=60, size_bytes=7)).decide()
    case.decide()
    return case


def config(case: RecordingCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def message(case: RecordingCase, type_: str) -> str:
    condition = case.condition(type_)
    assert condition is not None
    return condition.message


# --------------------------------------------------------------------------- is it reachable


def test_a_recorder_without_its_history_keeps_the_former_figures() -> None:
    case = running()
    before = case.decide().status
    away: dict[str, Any] = {
        "store_error": "the store refuses connections",
        "store_error_reason": "Unreachable",
    }
    case.recorder(RecorderPhase.WAITING, earlier_unknown=True).decide()
    assert case.decide().status["phase"] == "Recording", "it has only just begun"
    after = case.recorder(RecorderPhase.WAITING, earlier_unknown=True, **away).decide().status
    for word in ("recordingDuration", "observedAt", "recordingStartedAt", "files"):
        assert after[word] == before[word]
    assert after["phase"] == "Interrupted"
    assert after["recording"] is False
    succeeded, reachable = case.condition("Succeeded"), case.condition("StorageReachable")
    assert succeeded is not None
    assert reachable is not None
    assert (succeeded.status, succeeded.reason) == ("Unknown", "WaitingForStore")
    assert (reachable.status, reachable.reason) == ("False", "Unreachable")
    case.recorder(RECORDING, recorded_file(seconds=90)).decide()
    assert case.decide().status["recordingDuration"] == 90


def test_a_reachable_store_makes_no_event() -> None:
    case = running()
    assert case.word("StorageReachable") == "True/Reachable"
    assert case.last is not None
    assert "StorageReachable" not in case.last.event_reasons


def test_an_unreachable_store_is_reported_with_the_waiting_bytes() -> None:
    error: dict[str, Any] = {
        "store_error": "the bucket is not there.",
        "store_error_reason": "NoSuchBucket",
    }
    case = running()
    case.recorder(RECORDING, recorded_file(seconds=60), pending_bytes=200 * MIB, **error)
    decision = case.decide()
    assert case.word("StorageReachable") == "False/NoSuchBucket"
    assert case.word("Succeeded") == "Unknown/Recording"
    assert case.status["recording"] is True
    assert message(case, "StorageReachable") == (
        "Uploads to the store fail: the bucket is not there. More than 192 MiB wait on the "
        "recorder's disk until they succeed."
    )
    assert decision.event_reasons["StorageReachable"] == "Warning"
    case.recorder(RECORDING, recorded_file(seconds=60))
    assert case.decide().event_reasons["StorageReachable"] == "Normal"


def test_after_the_end_the_store_is_no_condition() -> None:
    case = finished()
    assert case.word("StorageReachable") == ""
    assert case.word("StorageHeadroom") == ""


# --------------------------------------------------------------------------- how full it is


def test_a_store_that_is_almost_full_is_a_warning() -> None:
    case = running()
    case.into(store(headroom="AlmostExceeded", used_bytes=19 * GIB, limit_bytes=20 * GIB))
    decision = case.decide()
    assert case.word("StorageHeadroom") == "False/AlmostExceeded"
    assert message(case, "StorageHeadroom").startswith(
        "MediaStore default is almost full: 19 GiB of 20 GiB are used (95 %)."
    )
    assert decision.event_reasons["StorageHeadroom"] == "Warning"
    case.into(store(headroom="Enough", used_bytes=GIB, limit_bytes=20 * GIB))
    assert case.decide().event_reasons["StorageHeadroom"] == "Normal"


def test_free_space_makes_no_event() -> None:
    case = running()
    decision = case.into(store(headroom="Enough")).decide()
    assert case.word("StorageHeadroom") == "True/Enough"
    assert "StorageHeadroom" not in decision.event_reasons


def test_usage_is_shown_while_it_records_and_ticks_with_the_duration() -> None:
    case = running()
    case.into(store(used_bytes=5, limit_bytes=GIB)).later(10)
    case.recorder(RECORDING, recorded_file(seconds=70)).decide()
    assert case.status["storage"] == {"usedBytes": 5, "limitBytes": GIB}
    case.into(store(used_bytes=6, limit_bytes=GIB)).later(1)
    case.recorder(RECORDING, recorded_file(seconds=71))
    assert case.decide().status["storage"]["usedBytes"] == 5
    case.later(10).recorder(RECORDING, recorded_file(seconds=81))
    assert case.decide().status["storage"]["usedBytes"] == 6


# --------------------------------------------------------------------------- where it writes


def test_into_a_bucket_the_job_has_keys_and_no_claim() -> None:
    case = make_recording("r").into(make_mediastore("default").s3(prefix="studio"))
    case.decide()
    assert config(case)["uriBase"] == "s3://tapes/studio/"
    assert config(case)["s3"]["hasCredentials"] is True
    spec = case.child("Job")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert "store" not in volumes
    assert volumes["key-s3access"]["secret"]["optional"] is True
    assert "serviceAccountName" not in spec


def test_with_an_identity_the_job_runs_as_that_account_and_has_no_keys() -> None:
    case = make_recording("r").into(make_mediastore("default").s3(serviceAccountName="recorder"))
    case.decide()
    assert config(case)["s3"]["hasCredentials"] is False
    spec = case.child("Job")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "recorder"
    assert spec["automountServiceAccountToken"] is False
    assert not [v for v in spec["volumes"] if v["name"].startswith("key-s3")]


def test_a_recorder_keeps_its_place_when_its_mediastore_is_deleted() -> None:
    case = make_recording("r").into(make_mediastore("default").s3())
    case.settled().recorder(RECORDING, recorded_file(seconds=60)).decide()
    before = config(case)
    case.storeless().spec(desiredState="Stopped").decide()
    after = config(case)
    assert (after["s3"], after["uriBase"]) == (before["s3"], before["uriBase"])
    assert after["desiredState"] == "Stopped"


def test_a_recorder_keeps_to_the_disk_that_its_job_was_made_with() -> None:
    case = running().settings(recorder_spool_bytes=8 * GIB)
    case.decide()
    assert config(case)["spoolLimitBytes"] == GIB, (
        "the kubelet evicts a pod that exceeds the volume"
    )
    case.settings(recorder_spool_bytes=GIB // 2).decide()
    assert config(case)["spoolLimitBytes"] == GIB // 2


def test_a_missing_secret_is_named() -> None:
    case = make_recording("r").into(make_mediastore("default").s3())
    case.settled().recorder(
        RECORDING,
        config_error="The access key is not there.",
        config_error_reason="SecretKeyMissing",
    )
    case.decide()
    assert "key id of Secret minio" in message(case, "Stalled")


# --------------------------------------------------------------------------- retention


def test_the_store_is_told_the_retention_with_the_end() -> None:
    case = make_recording("r")
    case.raw["spec"]["retention"] = {"seconds": 60, "keepOriginal": True, "originalSeconds": 30}
    case.settled().recorder(RECORDING, recorded_file(seconds=60)).decide()
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=60), end_reason="Stopped")
    (call,) = case.decide().store_calls
    assert call.body["retentionSeconds"] == 60
    assert (call.body["keepOriginal"], call.body["originalSeconds"]) == (True, 30)


def test_another_retention_reaches_the_store_long_after_the_end() -> None:
    case = finished()
    assert case.last is not None
    assert case.last.store_calls == ()
    case.store_listens = False
    case.spec(retention={"seconds": 3600})
    (call,) = case.decide().store_calls
    assert call.body["retentionSeconds"] == 3600
    assert len(case.decide().store_calls) == 1, "until the store has acknowledged it"
    case.store_listens = True
    case.decide()
    assert case.decide().store_calls == ()


def test_a_recording_that_ended_with_the_default_retention_makes_no_call() -> None:
    case = finished()
    del case.raw["status"]["storeGeneration"]
    assert case.decide().store_calls == ()


def test_another_retention_reaches_the_store_while_the_next_file_is_written() -> None:
    case = running()
    files = recorded_file(state="Ready", seconds=60), recorded_file(2, seconds=5)
    case.recorder(RECORDING, *files).decide()
    case.decide()
    assert case.last is not None
    assert case.last.store_calls == ()
    (call,) = case.spec(retention={"seconds": 99}).decide().store_calls
    assert call.body["retentionSeconds"] == 99


def test_an_expired_file_stays_listed_but_is_not_counted() -> None:
    case = finished(retention={"seconds": 60})
    ready = recorded_file(state="Ready", seconds=60, size_bytes=7, expires_at=at(60))
    case.stored("Done", ready).decide()
    assert case.status["files"][0]["expiresAt"] == text(60)
    case.stored("Done", recorded_file(state="Expired", seconds=60)).decide()
    (file,) = case.status["files"]
    assert file["state"] == "Expired"
    assert (case.status["sizeBytes"], case.status["fileCount"]) == (0, 1)
    assert (case.status["phase"], case.word("Succeeded")) == ("Completed", "True/Stopped")
    case.stored("Done", ready).decide()
    assert case.status["files"][0]["state"] == "Expired", "a late answer changes nothing"


def test_the_playlist_can_be_watched_while_it_records_and_goes_with_the_chunks() -> None:
    case = running()
    uri = "pvc://c/recordings/u/1.m3u8"
    case.recorder(RECORDING, recorded_file(seconds=70, original_uri=uri)).decide()
    assert case.status["files"][0]["originUri"] == uri
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=70), end_reason="Stopped")
    case.decide()
    assert case.status["files"][0]["originUri"] == uri
    case.stored("Done", recorded_file(state="Ready", seconds=70)).decide()
    assert "originUri" not in case.status["files"][0]


# --------------------------------------------------------------------------- is it complete


DAMAGE: dict[str, Any] = {
    "incomplete_reason": "JournalDamaged",
    "incomplete_message": (
        "1 segment of the journal is damaged; chunks may be missing in the files."
    ),
    "faulty_segments": 1,
    "lost_chunks": 2,
    "kept_chunks": 3,
    "kept_since": at(0),
    "kept_until": at(7 * 86_400),
}


def ended(*files: Any, **facts: Any) -> RecordingCase:
    case = make_recording("r")
    case.settled().recorder(RECORDING, recorded_file(seconds=60)).decide()
    case.recorder(DONE, recorded_file(state="Finalizing", seconds=60), end_reason="Stopped")
    case.decide()
    case.stored("Done", *files, **facts).decide()
    return case


def test_a_loss_in_the_store_is_reported_and_stays_reported() -> None:
    case = ended(recorded_file(state="Ready", seconds=60, size_bytes=7), **DAMAGE)
    assert case.decide().event_reasons["Complete"] == "Warning"
    case.facts["stored"] = None
    status = case.decide().status
    complete = case.condition("Complete")
    assert complete is not None
    assert (complete.status, complete.reason) == ("False", "JournalDamaged")
    assert complete.message == (
        "1 segment of the journal is damaged; chunks may be missing in the files. "
        f"3 chunks that are in no MP4 are kept until {text(7 * 86_400)}."
    )
    assert status["phase"] == "Completed"
    assert status["damage"] == {
        "journalSegments": 1,
        "lostChunks": 2,
        "keptChunks": 3,
        "keptUntil": text(7 * 86_400),
    }


def test_a_complete_recording_has_no_condition_complete() -> None:
    case = ended(recorded_file(state="Ready", seconds=60, size_bytes=7))
    assert case.condition("Complete") is None
    assert "damage" not in case.decide().status


def test_a_file_that_no_journal_names_any_more_is_not_called_complete() -> None:
    case = ended(**DAMAGE)
    succeeded = case.condition("Succeeded")
    assert succeeded is not None
    assert (succeeded.status, succeeded.reason) == ("False", "FinalizeFailed")
    assert "could not be made. 1 segment of the journal is damaged" in succeeded.message
