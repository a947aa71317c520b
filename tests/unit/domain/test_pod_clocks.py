"""Times of a pod are compared with times of the same pod only, whatever its clock says."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_media.contract import PullStatus, PushState, RecorderPhase, Rejection, Session
from sluice_operator.domain.decision import Decision
from tests.unit.domain.builders import (
    StreamCase,
    at,
    make_livestream,
    make_mediastore,
    make_recording,
    make_restream,
    recorded_file,
    text,
)
from tests.unit.domain.lifecycle import failover, settled

HOUR = 3600.0
SKEWS = pytest.mark.parametrize("skew", [-HOUR, 0.0, HOUR], ids=["behind", "right", "ahead"])
RECORDING = RecorderPhase.RECORDING


@SKEWS
def test_a_recorders_duration_ticks_every_ten_seconds(skew: float) -> None:
    case = make_recording("r")
    case.settled()

    def tick(seconds: float) -> Any:
        case.now = at(seconds)
        case.recorder(RECORDING, recorded_file(seconds=seconds), observed_at=at(seconds + skew))
        return case.decide().status["recordingDuration"]

    assert [tick(n) for n in (0, 4, 9, 10, 19, 20.5)] == [0, 0, 0, 10, 10, 20.5]
    assert case.status["observedAt"] == text(20.5 + skew)


@SKEWS
def test_the_stream_mirrors_the_duration_at_the_same_rate(skew: float) -> None:
    case = settled().on_air()
    recording = make_recording("r", case)

    def tick(seconds: float) -> Any:
        case.now = at(seconds)
        files = [{"index": 1, "state": "Recording", "durationSeconds": seconds}]
        clock = text(seconds + skew)
        recording.raw["status"] = {"recording": True, "observedAt": clock, "files": files}
        return case.related(recording).decide().status["recordingDuration"]

    assert [tick(n) for n in (0, 4, 9, 10, 19, 20.5)] == [0, 0, 0, 10, 10, 20.5]
    assert case.status["recordingObservedAt"] == text(20.5 + skew)


@SKEWS
def test_sent_and_used_bytes_tick_at_the_same_rate(skew: float) -> None:
    restream, store = make_restream("x"), make_mediastore("default").own_claim()
    restream.settled()
    store.settled()

    def tick(seconds: int) -> tuple[Any, Any]:
        clock = at(seconds + skew)
        restream.now = store.now = at(seconds)
        restream.pusher(PushState.LIVE, bytes_sent=seconds, observed_at=clock).decide()
        store.store(used_bytes=seconds, observed_at=clock).decide()
        return restream.status["bytesSent"], store.status["usedBytes"]

    assert [tick(n) for n in (0, 9, 10)] == [(0, 0), (0, 0), (10, 10)]


def test_an_answer_that_comes_early_by_a_little_is_not_held() -> None:
    """Otherwise pass would follow pass until the next answer, ten seconds later."""
    case = make_recording("r")
    case.settled().recorder(RECORDING, recorded_file(seconds=0)).decide()
    held = case.later(9.4).recorder(RECORDING, recorded_file(seconds=9.4)).decide()
    assert held.status["recordingDuration"] == 0
    assert held.requeue_after_seconds == pytest.approx(2.5)
    case.later(0.59).recorder(RECORDING, recorded_file(seconds=9.99)).decide()
    assert case.status["recordingDuration"] == 9.99


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_a_recorder_on_another_node_continues_at_once(skew: float) -> None:
    case = make_recording("r")
    case.settled().recorder(RECORDING, recorded_file(seconds=60)).decide()
    case.later(4).recorder(RECORDING, recorded_file(seconds=64), observed_at=at(4 + skew)).decide()
    assert case.status["recordingDuration"] == 64


# --------------------------------------------------------------------------- the age of `live`


def answered(case: StreamCase, seconds: float, skew: float, **facts: Any) -> Decision:
    case.now = at(seconds)
    return case.hub(observed_at=at(seconds + skew), **facts).decide()


ON_AIR = {"on_air": True, "primary_connected": True, "primary_delivers": True}


@SKEWS
def test_live_has_the_time_of_its_measurement(skew: float) -> None:
    case = settled()
    answered(case, 5, skew, **ON_AIR)
    assert (case.status["live"], case.status["observedAt"]) == (True, text(5 + skew))
    held = answered(case, 25, skew, **ON_AIR)
    assert case.status["observedAt"] == text(5 + skew)
    assert held.requeue_after_seconds is None, "only the next answer can be newer"
    answered(case, 35, skew, **ON_AIR)
    assert case.status["observedAt"] == text(35 + skew), "nothing changed but its age"
    answered(case, 40, skew)
    assert (case.status["live"], case.status["observedAt"]) == (False, text(40 + skew))


def test_off_air_it_costs_no_write() -> None:
    case = settled()
    before = case.raw["status"]
    assert (before["live"], before["observedAt"]) == (False, text(0))
    decision = answered(case, 3600, 0)
    assert case.raw["status"] == before
    assert decision.requeue_after_seconds is None


def test_without_an_answer_observed_at_is_not_renewed() -> None:
    case = settled().on_air()
    case.decide()
    case.later(11, in_touch=False).decide()
    assert (case.word("Live"), case.status["live"]) == ("Unknown/Stale", False)
    assert case.status["observedAt"] == text(0)
    case.operator_restarted().later(100).decide()
    assert case.status["observedAt"] == text(0)


def test_a_status_of_an_earlier_version_gets_its_age() -> None:
    case = settled()
    del case.raw["status"]["observedAt"]
    answered(case, 60, 0)
    assert case.status["observedAt"] == text(60)


# --------------------------------------------------------------------------- what happened last


@SKEWS
def test_a_new_cause_of_a_failed_source_is_written_after_half_a_minute(skew: float) -> None:
    case = make_livestream("a").pull("rtmp://a.example/x", "rtmp://b.example/x")
    case.settled()

    def report(seconds: float, message: str) -> Any:
        answered(case, seconds, skew, pull=PullStatus(uri_index=0, message=message))
        return case.status["pull"]["message"]

    assert report(0, "refused") == "refused"
    assert report(29, "no such host") == "refused"
    assert report(31, "no such host") == "no such host"


@SKEWS
def test_events_of_the_next_pod_are_later(skew: float) -> None:
    """By its clock the event may be earlier than that of the former pod."""
    case = settled().on_air(
        last_rejection=Rejection(reason="BadKey", at=at(0)),
        last_failover=failover(0, "Primary", "Backup"),
        failovers=1,
    )
    case.decide()
    case.later(60).pod("pod-2").on_air(
        last_rejection=Rejection(reason="BadKey", at=at(60 + skew)),
        last_failover=failover(60 + skew, "Backup", "Primary"),
        failovers=1,
    )
    case.decide()
    assert case.status["lastRejection"]["at"] == text(60 + skew)
    assert case.status["lastFailover"]["at"] == text(60 + skew)


@SKEWS
def test_the_session_that_is_on_is_the_one_that_began_last(skew: float) -> None:
    """By its node's clock it may have begun before the former session on another node."""
    case = settled().finished(0, 50)
    case.decide()
    case.later(60).pod("pod-2").on_air(since=60 + skew).decide()
    assert case.status["startedAt"] == text(60 + skew)
    assert case.status["finishedAt"] == text(50)
    assert [s["startedAt"] for s in case.status["sessions"]] == [text(60 + skew), text(0)]
    case.later(10).pod("pod-3", created_at=at(0)).idle().decide()
    assert case.word("Live") == "False/Interrupted", "it was on, and the new hub has none"
    case.later(11).idle().decide()
    assert case.status["sessions"][0]["endReason"] == "HubLost"


def test_a_session_that_left_the_list_is_not_new() -> None:
    case = settled()
    past = [
        Session(started_at=at(60 * n), finished_at=at(60 * n + 50)) for n in reversed(range(10))
    ]
    case.idle(session=past[0], past_sessions=past).decide()
    case.later(600).on_air(since=600, past_sessions=past).decide()
    want = [text(60 * n) for n in reversed(range(1, 11))]
    assert [s["startedAt"] for s in case.status["sessions"]] == want
    case.on_air(since=600, past_sessions=past, failovers=1).decide()
    assert [s["startedAt"] for s in case.status["sessions"]] == want
