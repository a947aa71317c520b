"""autoRecord: one Recording per session, also when pods or the operator restart."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from sluice_media.contract import RecordableSession, RecorderPhase, Session
from sluice_operator.domain.decision import Child
from tests.unit.domain.builders import (
    RecordingCase,
    StreamCase,
    at,
    make_livestream,
    make_recording,
    recorded_file,
)

MICRO = timedelta(microseconds=123_456)


def config(case: StreamCase | RecordingCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def automatic(case: StreamCase) -> list[Any]:
    """Return the Recordings that the last pass makes."""
    assert case.last is not None
    wanted: list[Child] = [c for c in case.last.children if c.manifest["kind"] == "Recording"]
    assert all((child.create_only, child.owned) == (True, False) for child in wanted)
    return [child.manifest for child in wanted]


def on_air(*sessions: datetime, **template: Any) -> StreamCase:
    """Return a stream with autoRecord, whose hub holds these sessions."""
    case = make_livestream("a").key("k" * 32)
    case.raw["spec"] |= {"autoRecord": True}
    if template:
        case.raw["spec"]["recordingTemplate"] = template
    case.settled()
    return holds(case, *sessions)


def holds(case: StreamCase, *sessions: datetime) -> StreamCase:
    held = [RecordableSession(started_at=moment, on=True) for moment in sessions]
    return case.on_air(session=Session(started_at=at(0)), recordable=held)


def made(case: StreamCase, manifest: Any) -> RecordingCase:
    """Return the Recording as it is in the cluster after its creation."""
    recording = make_recording(manifest["metadata"]["name"], case)
    recording.raw["metadata"] |= {
        key: value for key, value in manifest["metadata"].items() if key != "namespace"
    }
    recording.raw["spec"] = manifest["spec"]
    return recording


def test_a_session_gets_a_recording_named_after_it() -> None:
    case = on_air(at(-2) + MICRO)
    case.decide()
    (manifest,) = automatic(case)
    assert manifest["metadata"] == {
        "name": "a-20260504-095958",
        "namespace": "show",
        "labels": {"sluice.video/stream": "a", "sluice.video/automatic": "true"},
        "annotations": {
            "sluice.video/session-started-at": "2026-05-04T09:59:58.123456Z",
            "sluice.video/stream-uid": "uid-a",
        },
        "finalizers": ["sluice.video/recording"],
    }
    assert manifest["spec"]["rearmSeconds"] == 0
    assert manifest["spec"]["streamRef"] == {"name": "a"}


def test_it_is_made_from_the_template() -> None:
    case = on_air(
        at(0),
        storeRef={"name": "archive"},
        splitSeconds=3600,
        maxDurationSeconds=7200,
        retention={"seconds": 86_400, "keepOriginal": True},
        deletionPolicy="Delete",
    )
    case.decide()
    (manifest,) = automatic(case)
    assert manifest["spec"] == {
        "streamRef": {"name": "a"},
        "rearmSeconds": 0,
        "storeRef": {"name": "archive"},
        "recordType": "Origin",
        "splitSeconds": 3600,
        "maxDurationSeconds": 7200,
        "retention": {"seconds": 86_400, "keepOriginal": True, "originalSeconds": 604_800},
        "deletionPolicy": "Delete",
    }


def test_without_auto_record_none_is_made() -> None:
    case = on_air(at(0))
    case.raw["spec"]["autoRecord"] = False
    case.decide()
    assert automatic(case) == []
    assert config(case)["autoRecord"] is False


def test_it_is_made_once_and_its_session_is_pinned() -> None:
    session = at(-2) + MICRO
    case = on_air(session)
    case.decide()
    assert "autoRecorded" not in case.status, "it may be refused"
    recording = made(case, automatic(case)[0])
    case.related(recording).decide()
    assert automatic(case) == []
    assert case.status["autoRecorded"] == ["2026-05-04T09:59:58.123456Z"]
    settings = config(case)
    assert settings["autoRecorded"] == ["2026-05-04T09:59:58.123456Z"]
    assert settings["pins"] == [
        {
            "recordingUid": f"uid-{recording.name}",
            "since": "2026-05-04T09:59:58.123456Z",
            "sessionStartedAt": "2026-05-04T09:59:58.123456Z",
        }
    ]


def test_deleting_it_does_not_bring_it_back() -> None:
    case = on_air(at(0))
    case.decide()
    case.related(made(case, automatic(case)[0])).decide()
    case.related().decide()
    assert automatic(case) == []


def test_a_new_operator_counts_the_recordings_that_are_there() -> None:
    """The former operator made it and ended before it wrote the status."""
    case = on_air(at(0))
    case.decide()
    recording = made(case, automatic(case)[0]).deleted()
    case.raw.pop("status")
    case.related(recording).decide()
    assert automatic(case) == []
    assert case.status["autoRecorded"] == ["2026-05-04T10:00:00.000000Z"]


def test_it_may_not_vanish_before_it_is_remembered() -> None:
    case = on_air(at(0))
    case.decide()
    recording = made(case, automatic(case)[0])
    held = recording.of(case).deleted().decide()
    assert held.finalizer
    assert held.requeue_after_seconds is not None
    case.related(recording).decide()
    assert not recording.of(case).decide().finalizer


@pytest.mark.parametrize("gone", ["the stream", "a minute"])
def test_it_is_not_held_for_a_stream_that_never_remembers(gone: str) -> None:
    case = on_air(at(0))
    case.decide()
    recording = made(case, automatic(case)[0]).of(case).deleted()
    if gone == "the stream":
        recording.stream_deleted()
    else:
        recording.later(61)
    assert not recording.decide().finalizer


def test_missed_sessions_are_recorded_later_oldest_first() -> None:
    case = on_air(at(-20), at(-7200), at(-3600))
    case.decide()
    names = [manifest["metadata"]["name"] for manifest in automatic(case)]
    assert names == ["a-20260504-080000", "a-20260504-090000", "a-20260504-095940"]


def test_one_that_could_not_be_made_is_tried_again() -> None:
    case = on_air(at(-20))
    case.decide()
    case.decide()
    assert len(automatic(case)) == 1


def test_two_sessions_of_one_second_are_told_apart() -> None:
    case = on_air(at(0), at(0) + MICRO)
    case.decide()
    names = [manifest["metadata"]["name"] for manifest in automatic(case)]
    assert names == ["a-20260504-100000", "a-20260504-100000-2"]


def test_a_name_that_another_recording_has_is_not_used() -> None:
    case = on_air(at(0))
    case.facts["recording_names"] = frozenset({"a-20260504-100000"})
    case.decide()
    assert automatic(case)[0]["metadata"]["name"] == "a-20260504-100000-2"


def test_the_longest_name_of_a_stream_leaves_room_for_the_job() -> None:
    case = make_livestream("s" * 40).key("k" * 32)
    case.raw["spec"] |= {"autoRecord": True}
    case.facts["recording_names"] = frozenset({"s" * 40 + "-20260504-100000"})
    case.settled()
    holds(case, at(0)).decide()
    name = automatic(case)[0]["metadata"]["name"]
    assert (len(name), name[-18:]) == (56, "-20260504-100000-2")


def test_a_forged_session_time_in_the_future_stops_no_session() -> None:
    case = on_air(at(0))
    case.decide()
    forged = made(case, automatic(case)[0])
    forged.raw["metadata"]["annotations"]["sluice.video/session-started-at"] = (
        "2099-01-01T00:00:00Z"
    )
    case.related(forged).decide()
    assert len(automatic(case)) == 1


def test_a_recording_of_a_former_stream_of_the_name_does_not_count() -> None:
    case = on_air(at(-20))
    case.decide()
    former = made(case, automatic(case)[0])
    former.raw["metadata"]["annotations"]["sluice.video/stream-uid"] = "uid-of-the-former"
    case.related(former).decide()
    assert len(automatic(case)) == 1


def test_an_annotation_that_is_not_a_time_is_ignored() -> None:
    case = on_air(at(-20))
    case.decide()
    odd = made(case, automatic(case)[0])
    odd.raw["metadata"]["annotations"]["sluice.video/session-started-at"] = "yesterday"
    case.related(odd).decide()
    assert len(automatic(case)) == 1


def test_a_stale_answer_of_the_hub_makes_no_recording() -> None:
    case = on_air(at(0)).later(11, in_touch=False)
    case.decide()
    assert automatic(case) == []


def test_its_recorder_has_the_session_whatever_is_edited_later() -> None:
    case = on_air(at(-2) + MICRO)
    case.decide()
    recording = made(case, automatic(case)[0]).of(case)
    recording.decide()
    assert config(recording)["sessionStartedAt"] == "2026-05-04T09:59:58.123456Z"
    recording.raw["metadata"]["annotations"].clear()
    recording.decide()
    assert config(recording)["sessionStartedAt"] == "2026-05-04T09:59:58.123456Z"


def test_the_pods_disk_is_requested_only_when_sessions_are_kept_on_it() -> None:
    plain = make_livestream("a")
    plain.decide()

    def requests(case: StreamCase) -> Any:
        template = case.child("Deployment")["spec"]["template"]["spec"]
        return template["containers"][0]["resources"]["requests"]

    assert "ephemeral-storage" not in requests(plain)
    assert config(plain)["spoolLimitBytes"] == 1 << 30
    keeping = on_air(at(0))
    keeping.settings(ingest_spool_bytes=8 << 30).decide()
    assert requests(keeping)["ephemeral-storage"] == "10304Mi"
    assert config(keeping)["spoolLimitBytes"] == 8 << 30


def test_a_pod_that_holds_a_session_alone_is_not_replaced() -> None:
    case = make_livestream("a").key("k" * 32)
    case.raw["spec"] |= {"autoRecord": True}
    case.settled().idle().decide()
    held = [RecordableSession(started_at=at(-60), on=False)]
    case.idle(recordable=held).settings(media_image="sluice-media:next").decide()
    assert case.word("UpdatePending") == "True/WaitingForIdle"
    assert case.child("Deployment")["spec"]["paused"] is True
    assert config(case).get("drain", False) is False
    case.idle(recordable=[]).decide()
    assert config(case)["drain"] is True


def test_one_whose_stream_was_deleted_before_it_began_is_over() -> None:
    case = on_air(at(0))
    case.decide()
    recording = made(case, automatic(case)[0]).stream_deleted()
    recording.decide()
    assert (recording.status["phase"], recording.status["endReason"]) == ("Failed", "StreamEnded")
    assert recording.word("Stalled") == "True/NothingRecorded", "not StreamNotFound: it is over"


def test_one_that_is_over_is_held_until_it_is_remembered() -> None:
    case = on_air(at(0))
    case.decide()
    recording = made(case, automatic(case)[0]).of(case)
    recording.settled().recorder(RecorderPhase.DONE, end_reason="StreamEnded").decide()
    held = recording.decide()
    assert held.finalizer
    assert held.requeue_after_seconds == pytest.approx(30)
    case.related(recording).decide()
    assert not recording.of(case).decide().finalizer


def test_one_with_deletion_policy_delete_keeps_its_finalizer_and_is_not_queued_again() -> None:
    """The stream reads it only once it is deleted."""
    case = on_air(at(0), deletionPolicy="Delete")
    case.decide()
    recording = made(case, automatic(case)[0]).of(case)
    file = recorded_file(state="Ready", seconds=9)
    recording.settled().recorder(RecorderPhase.DONE, file, end_reason="StreamEnded")
    recording.stored("Done", file).decide()
    held = recording.decide()
    assert (recording.status["phase"], held.finalizer) == ("Completed", True)
    assert held.requeue_after_seconds is None
