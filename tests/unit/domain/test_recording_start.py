"""Recording: the checks before its recorder is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice_media.contract import RecorderPhase, Session
from tests.unit.domain.builders import (
    RecordingCase,
    StoreCase,
    StreamCase,
    at,
    make_livestream,
    make_mediastore,
    make_recording,
    recorded_file,
    text,
)

GIB = 1 << 30


def stream() -> StreamCase:
    case = make_livestream("a").key("k" * 32)
    case.settled()
    return case


def strict(live: StreamCase) -> RecordingCase:
    """Return a Recording with startWhenLive: false."""
    case = make_recording("r", live)
    case.raw["spec"]["startWhenLive"] = False
    return case


def kinds(case: RecordingCase) -> set[str]:
    assert case.last is not None
    return {child.manifest["kind"] for child in case.last.children}


def full() -> StoreCase:
    store = make_mediastore("default").own_claim()
    store.settled().store(headroom="Exceeded", used_bytes=20 * GIB, limit_bytes=20 * GIB).decide()
    return store


# --------------------------------------------------------------------------- startWhenLive


def test_a_stream_that_is_not_live_fails_the_recording_at_once() -> None:
    case = strict(stream().idle())
    decision = case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Failed", "StreamNotLive")
    assert case.word("Succeeded") == "False/StreamNotLive"
    succeeded = case.condition("Succeeded")
    assert succeeded is not None
    assert succeeded.message.startswith("Stream is not live. ")
    assert (kinds(case), decision.finalizer) == (set(), False)
    assert decision.event_reasons == {"Succeeded": "Warning"}, (
        "one event, although Stalled has the same message"
    )
    assert case.word("Ready") == "False/StreamNotLive"
    assert case.condition("Stalled") == replace(succeeded, type="Stalled", status="True")


def test_the_failure_is_final_also_when_the_stream_goes_live() -> None:
    live = stream()
    case = strict(live.idle())
    case.decide()
    before = case.raw["status"]
    case.of(live.on_air()).decide()
    assert case.raw["status"] == before
    assert kinds(case) == set()


@pytest.mark.parametrize("how", ["on air", "interrupted"])
def test_a_session_that_is_on_is_live(how: str) -> None:
    live = stream()
    case = strict(live.on_air() if how == "on air" else live.interrupted())
    case.decide()
    assert "Job" in kinds(case)
    assert case.status["phase"] == "Pending"


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_one_that_recorded_nothing_has_nothing_to_tell_its_store(policy: str) -> None:
    """Neither another retention nor its deletion makes a call."""
    case = strict(stream().idle()).spec(deletionPolicy=policy)
    case.decide()
    assert case.spec(retention={"seconds": 60}).decide().store_calls == ()
    deleted = case.deleted().decide()
    assert (deleted.store_calls, deleted.finalizer) == ((), False)


def test_a_session_that_was_on_at_the_creation_is_in_the_ring() -> None:
    case = strict(stream().finished(-100, 4))
    case.later(20).decide()
    assert "Job" in kinds(case)


def test_a_session_that_was_over_at_the_creation_is_not_live() -> None:
    case = strict(stream().finished(-100, -40))
    case.decide()
    assert case.status["endReason"] == "StreamNotLive"


def test_an_unknown_answer_is_waited_for() -> None:
    case = strict(stream())
    decision = case.decide()
    assert kinds(case) == set()
    assert case.status["phase"] == "Pending"
    assert case.word("Ready") == "Unknown/Starting"
    assert decision.requeue_after_seconds == pytest.approx(1)


def test_a_hub_that_has_just_come_up_may_still_adopt_its_session() -> None:
    live = stream().on_air()
    live.decide()
    live.idle(session=None)
    case = strict(live)
    case.decide()
    assert (case.status["phase"], kinds(case)) == ("Pending", set())


def test_a_recording_that_has_begun_is_not_checked_again() -> None:
    live = stream().on_air()
    case = strict(live)
    case.settled().recorder(RecorderPhase.RECORDING, recorded_file(seconds=5)).decide()
    case.of(live.idle(session=Session(started_at=at(-9), finished_at=at(-5)))).decide()
    assert case.status["phase"] == "Recording"


def test_without_it_the_stream_is_waited_for() -> None:
    case = make_recording("r", stream().idle())
    case.decide()
    assert "Job" in kinds(case)


# --------------------------------------------------------------------------- no room


def test_a_full_store_fails_the_recording_at_once() -> None:
    case = make_recording("r", stream().on_air()).into(full())
    decision = case.decide()
    assert (case.status["phase"], case.status["endReason"]) == ("Failed", "NoSpace")
    succeeded = case.condition("Succeeded")
    assert succeeded is not None
    assert succeeded.message.startswith("No space for recording the stream.")
    assert (kinds(case), decision.finalizer) == (set(), False)


def test_a_store_that_becomes_full_later_is_the_recorders_business() -> None:
    case = make_recording("r", stream().on_air())
    case.settled().recorder(RecorderPhase.RECORDING, recorded_file(seconds=5)).decide()
    case.into(full()).decide()
    assert case.status["phase"] == "Recording"
    assert case.word("StorageHeadroom") == "False/Exceeded"


def test_a_store_without_an_answer_stops_nothing() -> None:
    store = full().later(60, in_touch=False)
    case = make_recording("r", stream().on_air()).into(store)
    case.decide()
    assert "Job" in kinds(case)


# --------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("reason", "want"),
    [
        ("StorageLimit", ("Completed", "True/StorageLimit")),
        ("MaxDurationReached", ("Completed", "True/MaxDurationReached")),
    ],
)
def test_an_end_by_a_limit_is_a_success(reason: str, want: tuple[str, str]) -> None:
    case = make_recording("r")
    file = recorded_file(state="Finalizing", seconds=60, end_reason=reason)
    case.settled().recorder(RecorderPhase.DONE, file, end_reason=reason).decide()
    case.stored("Done", recorded_file(state="Ready", seconds=60)).decide()
    assert (case.status["phase"], case.word("Succeeded")) == want
    assert case.status["files"][0]["endReason"] == reason


def test_a_recorder_that_finds_no_room_to_begin_has_failed() -> None:
    case = make_recording("r")
    case.settled().recorder(RecorderPhase.DONE, end_reason="NoSpace").decide()
    assert (case.status["phase"], case.word("Succeeded")) == ("Failed", "False/NoSpace")


def test_its_configuration_follows_the_spec() -> None:
    case = make_recording("r")
    case.raw["spec"] |= {"splitSeconds": 20, "maxDurationSeconds": 90}
    case.decide()
    document: Any = case.child("ConfigMap")["data"]["config.json"]
    assert '"splitSeconds":20.0,"maxDurationSeconds":90.0' in document
    assert text(0)[:10] in document
