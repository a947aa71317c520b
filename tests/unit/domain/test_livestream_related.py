"""LiveStream: its part in its Recordings and Restreams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_operator.domain.decision import Decision
from sluice_operator.domain.invalid_spec import InvalidSpecError
from tests.unit.domain.builders import StreamCase, make_recording, make_restream, text
from tests.unit.domain.lifecycle import settled


def config(case: StreamCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def test_a_recording_that_is_not_over_pins_the_ring() -> None:
    case = settled()
    recording = make_recording("r", case)
    case.related(recording).decide()
    since = recording.raw["metadata"]["creationTimestamp"]
    pin = {"recordingUid": "uid-r", "since": since}
    assert config(case)["pins"] == [pin]
    recording.raw["status"] = {"recordingStartedAt": text(1)}
    case.decide()
    assert config(case)["pins"] == [pin], "its recorder may still need the rest"
    closing = {"type": "Succeeded", "status": "Unknown", "reason": "Closing", "message": ""}
    for over in ({"conditions": [closing]}, {"endReason": "Stopped"}):
        recording.raw["status"] = {"recordingStartedAt": text(1), **over}
        case.decide()
        assert config(case)["pins"] == []


def test_a_recording_that_cannot_be_made_pins_nothing() -> None:
    """An older version stored a spec that this one cannot read, and no recorder was made."""
    case = settled()
    recording = make_recording("r", case).spec(recordType="Transcoded")
    with pytest.raises(InvalidSpecError) as caught:
        recording.decide()
    conditions = caught.value.decision(recording.raw).conditions
    [stalled] = [
        {"type": c.type, "status": c.status, "reason": c.reason, "lastTransitionTime": text(0)}
        for c in conditions
        if c.type == "Stalled"
    ]
    recording.raw["status"] = {"conditions": [stalled]}
    case.related(recording).decide()
    assert config(case)["pins"] == []
    recording_on = {"type": "Succeeded", "status": "Unknown", "reason": "Recording", "message": ""}
    recording.raw["status"] = {"conditions": [stalled, recording_on]}
    case.decide()
    assert len(config(case)["pins"]) == 1, "its recorder still works"


def test_the_oldest_running_recording_is_mirrored() -> None:
    case = settled().on_air()
    older, newer, done = (make_recording(name, case) for name in ("older", "newer", "done"))
    for recording, created, seconds in ((older, "09:00:00", 70.5), (newer, "09:30:00", 9.0)):
        recording.raw["metadata"]["creationTimestamp"] = f"2026-05-04T{created}Z"
        recording.raw["status"] = {
            "recording": True,
            "observedAt": text(0),
            "files": [
                {"index": 1, "state": "Ready", "durationSeconds": 600.0},
                {"index": 2, "state": "Recording", "durationSeconds": seconds},
            ],
        }
    done.raw["status"] = {"recording": False}
    case.related(newer, older, done).decide()
    assert case.status["recording"] is True
    assert case.status["recordingName"] == "older"
    assert case.status["recordingDuration"] == 70.5
    assert case.word("Recording") == "True/Recording"


def test_a_duration_that_only_ticks_is_written_every_ten_seconds() -> None:
    case = settled().on_air()
    recording = make_recording("r", case)

    def tick(seconds: float) -> Decision:
        files = [{"index": 1, "state": "Recording", "durationSeconds": seconds}]
        recording.raw["status"] = {"recording": True, "observedAt": text(seconds), "files": files}
        return case.related(recording).decide()

    tick(0)
    case.later(4)
    held = tick(4)
    assert held.status["recordingDuration"] == 0
    assert held.requeue_after_seconds == pytest.approx(6)
    case.later(6)
    assert tick(10).status["recordingDuration"] == 10


def test_restreams_are_counted() -> None:
    case = settled()
    live, idle = make_restream("x", case), make_restream("y", case)
    live.raw["status"] = {"live": True}
    case.related(live, idle).decide()
    assert case.status["restreams"] == {"total": 2, "live": 1}
